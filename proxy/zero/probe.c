// SPDX-License-Identifier: BSD-3-Clause
// The probe inside a request: chunk after chunk is read, zeroed, flushed, written back and flushed.
//
//   RESTORE   FIRST_FLUSH -> GUARD -> [STATUS] -> READ -> ZERO -> FLUSH_ZERO -> [CHECK]
//                              ^                                                   |
//                              |                                                   v
//                 FINISH <- UNGUARD <----------- FLUSH_WRITE <- [WAIT <->] <---- WRITE
//
//   SCRATCH   as RESTORE, with FILL -> FLUSH_FILL for READ; what fails leads to UNGUARD at once
//
//   TEACH     FIRST_FLUSH -> ZERO -> FLUSH_ZERO -> WRITE -> FLUSH_WRITE -> ZERO_AGAIN
//                              ^                                               |
//                              +-----------------------------------------------+--> FINISH
//
// In RESTORE whatever fails after ZERO was handed out goes to WRITE, whatever fails before it to
// UNGUARD; the moves are in the table of phases.c. One function a phase says what follows its
// outcome.
#include "parts.h"
#include "phases.h"

#define FIRST_FLUSH_WITHIN (100 * NS_PER_MS)
#define GUARD_WITHIN       (50 * NS_PER_MS)
#define RETRY_FOR          NS_PER_SEC       // a write-back that failed is tried again so long,
#define RETRY_FIRST        (10 * NS_PER_MS) // after this pause, then after twice that
#define CHUNK_ALIGN        (64u << 10)

static void
finish(struct probe *p, enum zero_verdict verdict)
{
    p->verdict = verdict;
    if (verdict == ZERO_UNKNOWN)
        p->why = PROBE_WHY_NOTHING;
    // Fast by its slopes; the whole request in its pieces must be so, too.
    if (verdict == ZERO_FAST && zero_model_fast(&p->model, &p->rules, p->range.length))
        p->ending = PROBE_PROCEED;
    phase_go(p, FINISH);
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

// The first verdict stays.
static void
conclude(struct probe *p, enum zero_verdict verdict, nstime now)
{
    if (p->verdict != ZERO_UNKNOWN || verdict == ZERO_UNKNOWN)
        return;
    p->verdict = verdict;
    p->decided = now;
}

// No further chunk: where no level has decided, those that are complete must do.
static void
finish_with_what_there_is(struct probe *p, nstime now)
{
    if (p->verdict == ZERO_UNKNOWN)
        conclude(p, verdict_at_end(p), now);
    finish(p, p->verdict);
}

static void
next_chunk(struct probe *p, nstime now)
{
    if (!chunk_take(p, now))
        finish_with_what_there_is(p, now);
    else if (p->mode == PROBE_TEACH)
        phase_go(p, ZERO);
    else
        phase_go_until(p, GUARD, now + GUARD_WITHIN);
}

// The chunk in work has ended, as it was before (or is given up). What now?
static void
chunk_ended(struct probe *p, nstime now)
{
    if (p->failed || p->aborted) {
        finish(p, ZERO_UNKNOWN);
        return;
    }
    if (p->stop == PROBE_GOES_ON)
        conclude(p, chunk_count(p), now);
    if (p->stop != PROBE_GOES_ON)
        finish_with_what_there_is(p, now);
    else if (p->verdict != ZERO_UNKNOWN && !p->thorough)
        finish(p, p->verdict);
    else
        next_chunk(p, now);
}

// Before ZERO: nothing has changed, let the others go on.
static void
leave_chunk(struct probe *p)
{
    phase_go(p, UNGUARD);
}

static void
give_up_chunk(struct probe *p)
{
    p->ending = PROBE_DAMAGED;
    p->damaged = p->chunk;
    phase_go(p, UNGUARD);
}

// From ZERO on every way leads here, or (TEACH) out: there everything will be zeroed anyway.
static void
write_back(struct probe *p, nstime now)
{
    bool over = p->failed || p->aborted || p->stop != PROBE_GOES_ON;
    if (over && p->mode == PROBE_TEACH) {
        chunk_ended(p, now);
        return;
    }
    if (over && p->mode == PROBE_SCRATCH) {
        leave_chunk(p);
        return;
    }
    if (p->write_by && now > p->write_by) {
        give_up_chunk(p);
        return;
    }
    phase_go(p, WRITE);
}

// The write-back or its flush failed. The whole chunk is written again even where only the flush
// failed: what that lost is no longer dirty, and a second flush would say "good" without it.
static void
write_again(struct probe *p, nstime now)
{
    if (p->mode != PROBE_RESTORE) {
        write_back(p, now);
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
    phase_go_until(p, WAIT, at);
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
    else if (p->mode == PROBE_SCRATCH)
        phase_go(p, FILL);
    else
        phase_go(p, p->has_status ? STATUS : READ);
}

// From here to ZERO: each next step only if it fits with the write-back.
static void
go_if_it_fits(struct probe *p, enum phase phase, enum probe_op op, nstime now)
{
    if (budget_fits(p, op, now)) {
        phase_go(p, phase);
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

// What is stored is ours from now on, and so is where: allocated, and shared with nobody.
static void
after_fill(struct probe *p, const struct probe_outcome *o, nstime now)
{
    p->took[PROBE_OP_READ] = o->took;
    if (o->error)
        fail(p, o);
    if (o->error || p->aborted)
        leave_chunk(p);
    else
        phase_go(p, FLUSH_FILL);
}

static void
after_flush_fill(struct probe *p, const struct probe_outcome *o, nstime now)
{
    struct probe_outcome both = *o;
    both.took += p->took[PROBE_OP_READ];
    if (o->error)
        fail_flush(p, o);
    else
        saw(p, PROBE_OP_READ, &both);
    if (o->error || p->aborted)
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
        phase_go(p, FLUSH_ZERO);
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
    bool check = p->mode != PROBE_TEACH && !p->checked && !p->failed && !p->aborted;
    if (check && budget_fits(p, PROBE_OP_WRITE, now + p->took[PROBE_OP_READ])) {
        phase_go(p, CHECK);
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
    phase_go(p, FLUSH_WRITE);
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
    if (p->mode != PROBE_TEACH)
        leave_chunk(p);
    else if (p->aborted)
        finish(p, ZERO_UNKNOWN);
    else
        phase_go(p, ZERO_AGAIN);
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
    phase_enter(p, FIRST_FLUSH, now + FIRST_FLUSH_WITHIN);
}

void
probe_be_thorough(struct probe *p)
{
    p->thorough = true;
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
        [FILL] = after_fill,
        [FLUSH_FILL] = after_flush_fill,
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
    if (p->phase == WRITE || p->phase == FILL)
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
    phase_enter(p, FINISH, 0);
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
