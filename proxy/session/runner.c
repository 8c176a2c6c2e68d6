// SPDX-License-Identifier: BSD-3-Clause
#include "runner.h"

#include <string.h>
#include <sys/random.h>

// What is written behind a zero is not what it has taken away: storage that finds duplicates must
// not save itself the writing.
#define RANDOM_SHIFT 512u
#define RANDOM_SIZE  (PROBE_LARGEST_SCRATCH + RANDOM_SHIFT)

// Some servers cut what they say of a long extent into short ones, or say nothing at all.
#define STATUS_PARTS 64u

static void advance(struct runner *r);

bool
runner_begin(struct runner *r, struct ring *ring, struct peer *peer, enum probe_mode mode)
{
    *r = (struct runner){.ring = ring, .peer = peer};
    size_t size = mode == PROBE_SCRATCH ? RANDOM_SIZE : PROBE_LARGEST_CHUNK;
    r->buf = buf_new(ring, size);
    if (!r->buf)
        return false;
    memset(r->buf->data, 0, size); // what the kernel gives at first touch would be measured, too
    return getrandom(&r->seed, sizeof r->seed, 0) == (ssize_t)sizeof r->seed;
}

void
runner_end(struct runner *r)
{
    if (!r->ring)
        return;
    timer_cancel(r->ring, &r->timer);
    if (r->buf)
        buf_unref(r->buf);
    r->buf = NULL;
}

// xorshift64*: nobody must guess it, but no storage may be able to compress it.
static void
fill_with_random(struct runner *r, size_t n)
{
    uint64_t x = r->seed | 1;
    for (size_t i = 0; i < n; i += sizeof x) {
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        uint64_t v = x * UINT64_C(2685821657736338717);
        memcpy(r->buf->data + i, &v, sizeof v);
    }
    r->seed = x;
}

static void
finish(struct runner *r)
{
    timer_cancel(r->ring, &r->timer);
    r->running = false;
    r->finished(r->ctx);
}

static void
report(struct runner *r, const struct probe_outcome *o)
{
    bool first = !r->failed && r->step.want != PROBE_WANT_GUARD &&
                 (o->error || (o->no && r->step.want == PROBE_WANT_CHECK));
    if (first) {
        r->failed = true;
        r->failure =
            (struct runner_failure){r->step.want, o->error, {r->step.offset, r->step.length}};
    }
    probe_report(&r->probe, o, ring_now(r->ring));
}

static uint64_t
part_length(const struct runner *r)
{
    uint64_t left = r->step.length - r->done;
    uint64_t most = r->step.want == PROBE_WANT_ZERO ? r->max_zero : peer_most(r->peer);
    return r->step.want == PROBE_WANT_STATUS || left < most ? left : most;
}

static void
send_part(struct runner *r)
{
    struct peer_request q = {.offset = r->step.offset + r->done, .length = part_length(r)};
    switch (r->step.want) {
    case PROBE_WANT_STATUS:
        q.command = NBD_CMD_BLOCK_STATUS;
        q.flags = NBD_CMD_FLAG_REQ_ONE;
        break;
    case PROBE_WANT_READ:
        q.command = NBD_CMD_READ;
        q.buf = r->buf;
        q.at = (uint32_t)r->done;
        break;
    case PROBE_WANT_CHECK: q.command = NBD_CMD_READ; break;
    case PROBE_WANT_WRITE:
        q.command = NBD_CMD_WRITE;
        q.buf = r->buf;
        q.at = (uint32_t)r->done + (r->probe.mode == PROBE_SCRATCH && r->zeroed ? RANDOM_SHIFT : 0);
        break;
    case PROBE_WANT_FLUSH: q = (struct peer_request){.command = NBD_CMD_FLUSH}; break;
    default:
        q.command = NBD_CMD_WRITE_ZEROES;
        q.flags = r->zero_flags;
        break;
    }
    peer_send(r->peer, &q);
}

static void
begin_step(struct runner *r)
{
    bool scratch = r->probe.mode == PROBE_SCRATCH;
    if (r->step.want == PROBE_WANT_ZERO)
        r->zeroed = true;
    if (scratch && r->step.want == PROBE_WANT_WRITE && !r->zeroed)
        fill_with_random(r, (r->step.length + RANDOM_SHIFT + 7) & ~7u);
    send_part(r);
}

static void
advance(struct runner *r)
{
    for (;;) {
        r->step = probe_next(&r->probe, ring_now(r->ring));
        r->done = r->parts = 0;
        r->clean = r->all_zero = true;
        switch (r->step.want) {
        case PROBE_WANT_FINISH: finish(r); return;
        case PROBE_WANT_GUARD:
            r->zeroed = false;
            if (!r->hold)
                break;
            r->hold(r->ctx, &r->step);
            return;
        case PROBE_WANT_UNGUARD: r->news(r->ctx); break;
        case PROBE_WANT_WAIT: timer_set(r->ring, &r->timer, r->step.deadline); return;
        default: begin_step(r); return;
        }
        report(r, &(struct probe_outcome){.clean = true});
    }
}

static void
waited(struct timer *t)
{
    struct runner *r = (struct runner *)((char *)t - offsetof(struct runner, timer));
    report(r, &(struct probe_outcome){.clean = true});
    advance(r);
}

void
runner_run(struct runner *r, enum probe_mode mode, bool no_hole, bool thorough,
           const struct zero_rules *rules, struct range range)
{
    const struct server_facts *f = peer_facts(r->peer);
    r->timer.fire = waited;
    r->running = true;
    r->failed = false;
    r->zero_flags = no_hole ? NBD_CMD_FLAG_NO_HOLE : 0;
    r->max_zero = rules->max_zero;
    probe_begin(&r->probe, mode, rules, range, f->export.has_block_size ? f->export.preferred : 0,
                f->has_allocation, ring_now(r->ring));
    if (thorough)
        probe_be_thorough(&r->probe);
    advance(r);
}

void
runner_guarded(struct runner *r, bool held)
{
    report(r, &(struct probe_outcome){.error = held ? 0 : PROBE_LATE, .clean = true});
    advance(r);
}

void
runner_stop(struct runner *r)
{
    r->stopped = true;
    if (r->running)
        probe_abort(&r->probe);
}

void
runner_extent(struct runner *r, uint64_t length, uint32_t flags)
{
    uint64_t left = r->step.length - r->done;
    if (flags & (NBD_STATE_HOLE | NBD_STATE_ZERO))
        r->all_zero = false; // of a status: not only data
    r->done += length < left ? length : left;
}

// True: another part has been sent.
static bool
goes_on(struct runner *r, const struct peer_result *result)
{
    enum probe_want want = r->step.want;
    if (want == PROBE_WANT_FLUSH || result->error)
        return false;
    if (want != PROBE_WANT_STATUS)
        r->done += part_length(r);
    else if (!r->all_zero || ++r->parts == STATUS_PARTS)
        return false;
    if (r->done >= r->step.length)
        return false;
    send_part(r);
    return true;
}

void
runner_done(struct runner *r, const struct peer_result *result)
{
    if (r->done == 0 || r->step.want == PROBE_WANT_STATUS)
        r->sent_at = r->peer->sent_at;
    r->clean = r->clean && result->clean;
    bool status = r->step.want == PROBE_WANT_STATUS;
    if (!status)
        r->all_zero = r->all_zero && result->all_zero;
    if (goes_on(r, result))
        return;
    struct probe_outcome o = {
        .error = result->error, .took = ring_now(r->ring) - r->sent_at, .clean = r->clean};
    if (status)
        o.no = !r->all_zero || r->done < r->step.length;
    else if (r->step.want == PROBE_WANT_READ)
        o.no = r->all_zero;
    else if (r->step.want == PROBE_WANT_CHECK)
        o.no = !r->all_zero;
    report(r, &o);
    advance(r);
}

void
runner_lost(struct runner *r)
{
    if (!r->running)
        return;
    probe_lost(&r->probe);
    finish(r);
}
