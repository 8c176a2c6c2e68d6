// SPDX-License-Identifier: BSD-3-Clause
// The probe inside a request: chunk after chunk is read, zeroed, flushed, written back and flushed.
//
//   RESTORE   FIRST_FLUSH -> GUARD -> [STATUS] -> READ -> ZERO -> FLUSH_ZERO -> [CHECK]
//                              ^                                                   |
//                              |                                                   v
//                 FINISH <- UNGUARD <----------- FLUSH_WRITE <- [WAIT <->] <---- WRITE
//
//   TEACH     FIRST_FLUSH -> ZERO -> FLUSH_ZERO -> WRITE -> FLUSH_WRITE -> ZERO_AGAIN
//                              ^                                               |
//                              +-----------------------------------------------+--> FINISH
//
// Whatever fails after ZERO was handed out goes to WRITE, whatever fails before it to UNGUARD; the
// moves are in a table below. One function a phase says what follows its outcome.
#include "parts.h"
#include <assert.h>

#define FIRST_FLUSH_WITHIN (100 * NS_PER_MS)
#define GUARD_WITHIN       (50 * NS_PER_MS)
#define RETRY_FOR          NS_PER_SEC       // a write-back that failed is tried again so long,
#define RETRY_FIRST        (10 * NS_PER_MS) // after this pause, then after twice that
#define CHUNK_ALIGN        (64u << 10)

enum phase {
    FIRST_FLUSH,
    GUARD,
    STATUS,
    READ,
    ZERO,
    FLUSH_ZERO,
    CHECK,
    WRITE,
    WAIT,
    FLUSH_WRITE,
    ZERO_AGAIN,
    UNGUARD,
    FINISH,
    PHASES,
};

#define BIT(phase) (1u << (phase))

// From which phase one may go to which.
static const uint32_t moves[PHASES] = {
    [FIRST_FLUSH] = BIT(GUARD) | BIT(ZERO) | BIT(FINISH),
    [GUARD] = BIT(STATUS) | BIT(READ) | BIT(UNGUARD),
    [STATUS] = BIT(READ) | BIT(UNGUARD),
    [READ] = BIT(ZERO) | BIT(UNGUARD),
    [ZERO] = BIT(FLUSH_ZERO) | BIT(WRITE) | BIT(UNGUARD) | BIT(FINISH),
    [FLUSH_ZERO] = BIT(CHECK) | BIT(WRITE) | BIT(UNGUARD) | BIT(FINISH),
    [CHECK] = BIT(WRITE) | BIT(UNGUARD),
    [WRITE] = BIT(FLUSH_WRITE) | BIT(WAIT) | BIT(UNGUARD) | BIT(FINISH),
    [WAIT] = BIT(WRITE) | BIT(UNGUARD),
    [FLUSH_WRITE] = BIT(UNGUARD) | BIT(WAIT) | BIT(ZERO_AGAIN) | BIT(FINISH),
    [ZERO_AGAIN] = BIT(ZERO) | BIT(FINISH),
    [UNGUARD] = BIT(GUARD) | BIT(FINISH),
};

static void
enter(struct probe *p, enum phase phase, nstime deadline)
{
    static const enum probe_want wants[PHASES] = {
        [FIRST_FLUSH] = PROBE_WANT_FLUSH, [GUARD] = PROBE_WANT_GUARD,
        [STATUS] = PROBE_WANT_STATUS,     [READ] = PROBE_WANT_READ,
        [ZERO] = PROBE_WANT_ZERO,         [FLUSH_ZERO] = PROBE_WANT_FLUSH,
        [CHECK] = PROBE_WANT_CHECK,       [WRITE] = PROBE_WANT_WRITE,
        [WAIT] = PROBE_WANT_WAIT,         [FLUSH_WRITE] = PROBE_WANT_FLUSH,
        [ZERO_AGAIN] = PROBE_WANT_ZERO,   [UNGUARD] = PROBE_WANT_UNGUARD,
        [FINISH] = PROBE_WANT_FINISH,
    };
    p->phase = phase;
    p->step = (struct probe_step){.want = wants[phase],
                                  .offset = p->chunk.offset,
                                  .length = (uint32_t)p->chunk.length,
                                  .deadline = deadline};
}

static void
go_until(struct probe *p, enum phase phase, nstime deadline)
{
    assert(moves[p->phase] & BIT(phase));
    enter(p, phase, deadline);
}

static void
go(struct probe *p, enum phase phase)
{
    go_until(p, phase, 0);
}

static void
finish(struct probe *p, enum zero_verdict verdict)
{
    p->verdict = verdict;
    // Fast by its slopes; the whole request in its pieces must be so, too.
    if (verdict == ZERO_FAST && zero_model_fast(&p->model, &p->rules, p->range.length))
        p->ending = PROBE_PROCEED;
    go(p, FINISH);
}

static void
fail(struct probe *p, const struct probe_outcome *o)
{
    p->failed = true;
    if (o->error == PROBE_ENOSPC)
        p->no_space = true;
}

// Storage reports a failed flush once. Ours has just taken the report that was another writer's.
static void
fail_flush(struct probe *p, const struct probe_outcome *o)
{
    fail(p, o);
    p->flush_owed = true;
}

static void
saw(struct probe *p, enum probe_op op, const struct probe_outcome *o)
{
    p->took[op] = o->took;
    if (!o->clean && op != PROBE_OP_READ) // the read is not measured
        p->clean = false;
    budget_saw(p, op, o->took);
}

static void
next_chunk(struct probe *p, nstime now)
{
    if (!chunk_take(p, now))
        finish(p, verdict_at_end(p));
    else if (p->mode == PROBE_TEACH)
        go(p, ZERO);
    else
        go_until(p, GUARD, now + GUARD_WITHIN);
}

// The chunk in work has ended, as it was before (or is given up). What now?
static void
chunk_ended(struct probe *p, nstime now)
{
    if (p->failed || p->aborted) {
        finish(p, ZERO_UNKNOWN);
        return;
    }
    enum zero_verdict verdict = ZERO_UNKNOWN;
    if (p->stop == PROBE_GOES_ON)
        verdict = chunk_count(p);
    if (p->stop != PROBE_GOES_ON)
        verdict = verdict_at_end(p);
    if (verdict != ZERO_UNKNOWN || p->stop != PROBE_GOES_ON)
        finish(p, verdict);
    else
        next_chunk(p, now);
}

// Before ZERO: nothing has changed, let the others go on.
static void
leave_chunk(struct probe *p)
{
    go(p, UNGUARD);
}

static void
give_up_chunk(struct probe *p)
{
    p->ending = PROBE_DAMAGED;
    p->damaged = p->chunk;
    go(p, UNGUARD);
}

// From ZERO on every way leads here, or (TEACH) out: there everything will be zeroed anyway.
static void
write_back(struct probe *p, nstime now)
{
    if (p->mode == PROBE_TEACH && (p->failed || p->aborted || p->stop != PROBE_GOES_ON)) {
        chunk_ended(p, now);
        return;
    }
    if (p->write_by && now > p->write_by) {
        give_up_chunk(p);
        return;
    }
    go(p, WRITE);
}

// The write-back or its flush failed. The whole chunk is written again even where only the flush
// failed: what that lost is no longer dirty, and a second flush would say "good" without it.
static void
write_again(struct probe *p, nstime now)
{
    if (p->mode == PROBE_TEACH) {
        finish(p, ZERO_UNKNOWN);
        return;
    }
    if (!p->retry_until) {
        p->retry_until = now + RETRY_FOR;
        p->retry_pause = RETRY_FIRST;
    }
    nstime at = now + p->retry_pause;
    if (at > p->retry_until || (p->write_by && at > p->write_by)) {
        give_up_chunk(p);
        return;
    }
    p->retry_pause *= 2;
    go_until(p, WAIT, at);
}

static void
after_first_flush(struct probe *p, const struct probe_outcome *o, nstime now)
{
    if (o->error && o->error != PROBE_LATE)
        fail_flush(p, o);
    if (o->error || p->aborted)
        finish(p, ZERO_UNKNOWN);
    else
        next_chunk(p, now);
}

static void
after_guard(struct probe *p, const struct probe_outcome *o, nstime now)
{
    if (o->error)
        p->stop = PROBE_NO_GUARD; // busy, not broken
    if (o->error || p->aborted)
        leave_chunk(p);
    else
        go(p, p->has_status ? STATUS : READ);
}

// From here to ZERO: each next step only if it fits with the write-back.
static void
go_if_it_fits(struct probe *p, enum phase phase, enum probe_op op, nstime now)
{
    if (budget_fits(p, op, now)) {
        go(p, phase);
        return;
    }
    p->stop = PROBE_NO_BUDGET;
    leave_chunk(p);
}

static void
after_status(struct probe *p, const struct probe_outcome *o, nstime now)
{
    if (o->error)
        fail(p, o);
    else if (o->no)
        chunk_skip(p);
    if (o->error || o->no || p->aborted)
        leave_chunk(p);
    else
        go_if_it_fits(p, READ, PROBE_OP_READ, now);
}

static void
after_read(struct probe *p, const struct probe_outcome *o, nstime now)
{
    if (o->error) {
        fail(p, o);
    } else {
        saw(p, PROBE_OP_READ, o);
        if (!p->has_status && o->no)
            chunk_skip(p);
    }
    if (o->error || p->skip || p->aborted)
        leave_chunk(p);
    else
        go_if_it_fits(p, ZERO, PROBE_OP_ZERO, now);
}

static void
after_zero(struct probe *p, const struct probe_outcome *o, nstime now)
{
    if (o->error)
        fail(p, o);
    else
        saw(p, PROBE_OP_ZERO, o);
    if (!p->failed && !p->aborted && budget_fits(p, PROBE_OP_FLUSH_ZERO, now)) {
        go(p, FLUSH_ZERO);
        return;
    }
    p->stop = PROBE_NO_BUDGET;
    write_back(p, now);
}

static void
after_flush_zero(struct probe *p, const struct probe_outcome *o, nstime now)
{
    if (o->error)
        fail_flush(p, o);
    else
        saw(p, PROBE_OP_FLUSH_ZERO, o);
    bool check = p->mode == PROBE_RESTORE && !p->checked && !p->failed && !p->aborted;
    if (check && budget_fits(p, PROBE_OP_WRITE, now + p->took[PROBE_OP_READ])) {
        go(p, CHECK);
        return;
    }
    if (check)
        p->stop = PROBE_NO_BUDGET; // never a sample of a zero that nobody has seen
    write_back(p, now);
}

// An upstream that does not zero when it says so is not measured any further.
static void
after_check(struct probe *p, const struct probe_outcome *o, nstime now)
{
    if (o->error || o->no)
        fail(p, o);
    p->checked = true;
    write_back(p, now);
}

static void
after_write(struct probe *p, const struct probe_outcome *o, nstime now)
{
    if (o->error) {
        fail(p, o);
        write_again(p, now);
        return;
    }
    saw(p, PROBE_OP_WRITE, o);
    go(p, FLUSH_WRITE);
}

static void
after_flush_write(struct probe *p, const struct probe_outcome *o, nstime now)
{
    if (o->error) {
        fail_flush(p, o);
        write_again(p, now);
        return;
    }
    saw(p, PROBE_OP_FLUSH_WRITE, o);
    p->altered = false;
    if (p->mode == PROBE_RESTORE)
        leave_chunk(p);
    else if (p->aborted)
        finish(p, ZERO_UNKNOWN);
    else
        go(p, ZERO_AGAIN);
}

// TEACH never asked what was stored, and zeroing nothing is quick everywhere. The second zero, over
// what was just written, shows it: the slower of the two counts.
static void
after_zero_again(struct probe *p, const struct probe_outcome *o, nstime now)
{
    if (o->error) {
        fail(p, o);
    } else {
        struct probe_outcome slower = *o;
        if (slower.took < p->took[PROBE_OP_ZERO])
            slower.took = p->took[PROBE_OP_ZERO];
        saw(p, PROBE_OP_ZERO, &slower);
    }
    chunk_ended(p, now);
}

static void
after_wait(struct probe *p, const struct probe_outcome *o, nstime now)
{
    write_back(p, now);
}

static void
after_unguard(struct probe *p, const struct probe_outcome *o, nstime now)
{
    chunk_ended(p, now);
}

void
probe_begin(struct probe *p, enum probe_mode mode, const struct zero_rules *r, struct range range,
            uint32_t preferred, bool has_status, nstime now)
{
    *p = (struct probe){
        .mode = mode,
        .rules = *r,
        .range = range,
        .align = CHUNK_ALIGN,
        .has_status = has_status,
        .began = now,
        .deadline = now + r->probe_time,
        .next_offset = range.offset,
        .ending = PROBE_REFUSED,
    };
    if (preferred > p->align && is_power_of_two(preferred))
        p->align = preferred;
    enter(p, FIRST_FLUSH, now + FIRST_FLUSH_WITHIN);
}

struct probe_step
probe_next(struct probe *p, nstime now)
{
    if (p->phase == ZERO && p->mode == PROBE_RESTORE && !p->altered) {
        if (p->aborted)
            leave_chunk(p);
        else
            p->altered = true; // sent is altered, whatever the answer will be
    }
    return p->step;
}

void
probe_report(struct probe *p, const struct probe_outcome *o, nstime now)
{
    static void (*const after[PHASES])(struct probe *, const struct probe_outcome *, nstime) = {
        [FIRST_FLUSH] = after_first_flush,
        [GUARD] = after_guard,
        [STATUS] = after_status,
        [READ] = after_read,
        [ZERO] = after_zero,
        [FLUSH_ZERO] = after_flush_zero,
        [CHECK] = after_check,
        [WRITE] = after_write,
        [WAIT] = after_wait,
        [FLUSH_WRITE] = after_flush_write,
        [ZERO_AGAIN] = after_zero_again,
        [UNGUARD] = after_unguard,
    };
    if (p->phase == FINISH)
        return;
    if (p->phase == WRITE)
        p->written += p->chunk.length;
    after[p->phase](p, o, now);
}

void
probe_abort(struct probe *p)
{
    p->aborted = true;
}

void
probe_client_gone(struct probe *p, nstime now)
{
    p->aborted = true;
    if (!p->write_by)
        p->write_by = now + PROBE_CLIENT_GONE;
}

void
probe_lost(struct probe *p)
{
    if (p->phase == FINISH)
        return;
    p->failed = true;
    p->verdict = ZERO_UNKNOWN;
    if (p->altered) {
        p->ending = PROBE_DAMAGED;
        p->damaged = p->chunk;
    }
    enter(p, FINISH, 0);
}

struct zero_finding
probe_finding(const struct probe *p)
{
    struct zero_finding f = {.verdict = p->verdict, .error = p->failed};
    for (unsigned level = 0; level < PROBE_LEVELS; level++)
        f.samples += p->levels[level].n;
    if (!f.error && p->verdict != ZERO_UNKNOWN) {
        f.has_model = p->has_model;
        f.model = p->model;
    }
    return f;
}
