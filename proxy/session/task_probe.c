// SPDX-License-Identifier: BSD-3-Clause
// Runs the probe machine (zero/probe.h) inside a request: does what it wants, one operation at a
// time, and tells it how that went. While it runs the session's upstream connection is the probe's
// alone.
#include "task.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <wire/names.h>

static void advance(struct task *t);

static struct task *
task_of(struct timer *timer)
{
    return (struct task *)((char *)timer - offsetof(struct task, timer));
}

// The end -----------------------------------------------------------------------------------

static void
count(struct task *t, const struct zero_finding *f, nstime took)
{
    struct export_counters *c = t->s->counters;
    const struct probe *m = t->u.probe.machine;
    c->probes.run++;
    c->probes.fast += f->verdict == ZERO_FAST;
    c->probes.slow += f->verdict == ZERO_SLOW;
    c->probes.undecided += f->verdict == ZERO_UNKNOWN;
    c->probes.damaged += m->ending == PROBE_DAMAGED;
    c->probes.reasons[probe_reason(m)]++;
    c->probes.bytes += m->written;
    c->probes.time += took;
}

static void
log_finding(const struct task *t, const struct zero_finding *f, nstime took)
{
    const struct probe *m = t->u.probe.machine;
    char costs[200] = "no costs measured";
    if (f->has_model)
        snprintf(costs, sizeof costs,
                 "write %.3f ms + %.3f ms/MiB, zero %.3f ms + %.3f ms/MiB, ratio %.3f",
                 f->model.write.a / 1e6, f->model.write.b * (1 << 20) / 1e6, f->model.zero.a / 1e6,
                 f->model.zero.b * (1 << 20) / 1e6, f->model.ratio);
    session_log(t->s, LOG_LEVEL_INFO,
                "probe%s%s: %s: %s (%u samples, %llu KiB written in %llu ms)%s",
                m->mode == PROBE_TEACH ? " in a plain zero" : "",
                t->request.flags & NBD_CMD_FLAG_NO_HOLE ? " (no hole)" : "",
                f->verdict == ZERO_UNKNOWN ? "undecided" : zero_verdict_name(f->verdict), costs,
                f->samples, (unsigned long long)m->written >> 10,
                (unsigned long long)(took / NS_PER_MS), f->error ? ", an operation failed" : "");
}

static void
log_damage(const struct task *t)
{
    const struct range d = t->u.probe.machine->damaged;
    session_log(
        t->s, LOG_LEVEL_ERROR,
        "offset %llu length %llu: zeroed by a probe and could not be written back or flushed; "
        "the client's FAST_ZERO is answered EIO",
        (unsigned long long)d.offset, (unsigned long long)d.length);
}

static void
lingered(void *export)
{
    export_probe_lingered(export);
}

// The upstream broke while a zero or its write-back was on its way: other processes, too, are kept
// away until that must be over.
static void
let_go_later(struct task *t)
{
    enum probe_want want = t->u.probe.want.want;
    if (!t->u.probe.ask || (want != PROBE_WANT_ZERO && want != PROBE_WANT_WRITE))
        return; // conclude() lets go at once
    export_probe_lingers(t->s->export);
    guard_release_later(t->s->worker, t->u.probe.ask, lingered, t->s->export);
    t->u.probe.ask = NULL;
    t->guard = NULL;
}

static void
let_go(struct task *t)
{
    struct guard_ask *ask = t->u.probe.ask;
    t->u.probe.ask = NULL;
    t->guard = NULL;
    if (ask)
        guard_release(t->s->worker, ask);
}

// What the machine found becomes known; machine, buffer, guard and the session's exclusiveness are
// given back. Returns how it ended.
static enum probe_ending
conclude(struct task *t)
{
    struct session *s = t->s;
    struct probe *m = t->u.probe.machine;
    nstime now = session_now(s), took = now - t->u.probe.began;
    struct zero_finding f = probe_finding(m);
    count(t, &f, took);
    log_finding(t, &f, took);
    enum probe_ending ending = m->ending;
    if (ending == PROBE_DAMAGED)
        log_damage(t);
    let_go(t);
    export_probe_ends(s->export, t->request.flags & NBD_CMD_FLAG_NO_HOLE, &s->policy->zero, &f,
                      m->no_space, now);
    timer_cancel(s->worker->ring, &t->timer);
    timer_cancel(s->worker->ring, &t->u.probe.gone);
    free(m);
    t->u.probe.machine = NULL;
    s->exclusive = false;
    return ending;
}

static void
drop_buffer(struct task *t)
{
    if (t->data)
        buf_unref(t->data);
    t->data = NULL;
}

static void
finish(struct task *t)
{
    enum probe_mode mode = t->u.probe.machine->mode;
    enum probe_ending ending = conclude(t);
    if (!t->slot)
        drop_buffer(t);
    if (ending == PROBE_DAMAGED && mode == PROBE_RESTORE) {
        task_answer_as(t, NBD_EIO, REQUEST_DAMAGED);
        task_end(t);
    } else if (ending == PROBE_PROCEED || mode == PROBE_TEACH) {
        if (!t->slot)
            task_becomes_zero(t, mode == PROBE_RESTORE);
    } else {
        t->s->counters->fast_zero.refused++;
        task_answer(t, NBD_ENOTSUP);
        if (!t->slot)
            task_end(t);
    }
}

// The first FLUSH was too late for the probe, which has ended since; here it is.
static void
late_flush(struct task *t, uint32_t error)
{
    if (error)
        export_flush_failed(t->s->export);
    drop_buffer(t);
    if (t->answered)
        task_end(t);
    else
        task_becomes_zero(t, false);
}

static void
lost(struct task *t)
{
    if (t->u.probe.machine) {
        probe_lost(t->u.probe.machine);
        let_go_later(t);
        conclude(t);
    }
    task_answer(t, NBD_EIO);
    task_end(t);
}

// Operations --------------------------------------------------------------------------------

static void
report(struct task *t, const struct probe_outcome *o)
{
    timer_cancel(t->s->worker->ring, &t->timer);
    probe_report(t->u.probe.machine, o, session_now(t->s));
}

static uint32_t
longest_part(const struct task *t)
{
    return t->u.probe.want.want == PROBE_WANT_ZERO ? t->s->policy->zero.max_zero
                                                   : t->s->facts.max_payload;
}

static void
ask_status(struct task *t)
{
    const struct probe_step *w = &t->u.probe.want;
    task_step(t, &(struct step){.type = NBD_CMD_BLOCK_STATUS,
                                .flags = NBD_CMD_FLAG_REQ_ONE,
                                .offset = w->offset + t->u.probe.done,
                                .length = w->length - t->u.probe.done});
}

static void
send_part(struct task *t)
{
    const struct probe_step *w = &t->u.probe.want;
    bool restore = t->u.probe.machine->mode == PROBE_RESTORE;
    struct step step = {.offset = w->offset + t->u.probe.done,
                        .length = w->length - t->u.probe.done,
                        .data_at = t->u.probe.done};
    if (step.length > longest_part(t))
        step.length = longest_part(t);
    switch (w->want) {
    case PROBE_WANT_READ:
        step.type = NBD_CMD_READ;
        step.source = STEP_DATA;
        break;
    case PROBE_WANT_CHECK: step.type = NBD_CMD_READ; break;
    case PROBE_WANT_WRITE:
        step.type = NBD_CMD_WRITE;
        step.source = restore ? STEP_DATA : STEP_ZEROES;
        break;
    default:
        step.type = NBD_CMD_WRITE_ZEROES;
        step.flags = t->request.flags & NBD_CMD_FLAG_NO_HOLE;
        break;
    }
    task_step(t, &step);
}

// Some servers cut what they say of a long extent into short ones: asked on as long as it is data.
// Beyond so many pieces the answer is not worth its time.
#define STATUS_PARTS 64u

// True when the next part of the chunk has been asked for.
static bool
ask_on(struct task *t)
{
    bool data = t->extent_known && !(t->extent_flags & (NBD_STATE_HOLE | NBD_STATE_ZERO));
    t->u.probe.all_zero = !data; // of a status: there is something that is not data
    t->u.probe.done += t->extent_length < t->step.length ? t->extent_length : t->step.length;
    if (!data || t->u.probe.done >= t->u.probe.want.length)
        return false;
    if (++t->u.probe.status_parts >= STATUS_PARTS) {
        t->u.probe.all_zero = true;
        return false;
    }
    ask_status(t);
    return true;
}

static void
stepped(struct task *t, uint32_t error)
{
    if (!t->u.probe.machine) {
        late_flush(t, error);
        return;
    }
    const struct probe_step *w = &t->u.probe.want;
    if (t->u.probe.done == 0)
        t->u.probe.sent_at = t->sent_at;
    t->u.probe.clean &= t->clean;
    if (w->want == PROBE_WANT_STATUS) {
        if (!error && ask_on(t))
            return;
    } else if (w->want != PROBE_WANT_FLUSH) {
        t->u.probe.all_zero &= t->all_zero;
        t->u.probe.done += t->step.length;
        if (!error && t->u.probe.done < w->length) {
            send_part(t);
            return;
        }
    }
    struct probe_outcome o = {
        .error = error, .took = session_now(t->s) - t->u.probe.sent_at, .clean = t->u.probe.clean};
    // At once: who flushes while the probe still writes back must hear of it, too.
    if (error && w->want == PROBE_WANT_FLUSH)
        export_flush_failed(t->s->export);
    if (w->want == PROBE_WANT_ZERO)
        t->u.probe.written_back = false;
    else if (w->want == PROBE_WANT_WRITE)
        t->u.probe.written_back = !error;
    if (w->want == PROBE_WANT_STATUS || w->want == PROBE_WANT_READ)
        o.no = t->u.probe.all_zero;
    else if (w->want == PROBE_WANT_CHECK)
        o.no = !t->u.probe.all_zero;
    report(t, &o);
    advance(t);
}

// Who came since the probe began, and wrote, did so before the chunk was guarded.
static void
report_guard(struct task *t)
{
    bool may = export_probe_may_go_on(t->s->export);
    report(t, &(struct probe_outcome){.error = may ? 0 : PROBE_LATE, .clean = true});
}

static void
guarded(void *ctx)
{
    struct task *t = ctx;
    struct session *s = t->s;
    t->u.probe.held = true;
    t->guard = &t->u.probe.guard;
    if (t->u.probe.asking)
        return;
    report_guard(t);
    advance(t);
    session_turn(s);
}

// True if the guard is held already: with one worker it always is.
static bool
ask_for_guard(struct task *t)
{
    struct session *s = t->s;
    t->u.probe.guard.range = (struct range){t->u.probe.want.offset, t->u.probe.want.length};
    t->u.probe.held = false;
    t->u.probe.asking = true;
    t->u.probe.ask = guard_hold(s->worker, &t->u.probe.guard, guarded, t);
    t->u.probe.asking = false;
    if (!t->u.probe.ask)
        report(t, &(struct probe_outcome){.error = PROBE_LATE});
    else if (t->u.probe.held)
        report_guard(t);
    else
        timer_set(s->worker->ring, &t->timer, t->u.probe.want.deadline);
    return !t->u.probe.ask || t->u.probe.held;
}

static void
advance(struct task *t)
{
    struct session *s = t->s;
    for (;;) {
        struct probe_step w = probe_next(t->u.probe.machine, session_now(s));
        t->u.probe.want = w;
        t->u.probe.done = 0;
        t->u.probe.clean = t->u.probe.all_zero = true;
        switch (w.want) {
        case PROBE_WANT_FINISH: finish(t); return;
        case PROBE_WANT_UNGUARD:
            let_go(t);
            report(t, &(struct probe_outcome){.clean = true});
            continue;
        case PROBE_WANT_GUARD:
            if (ask_for_guard(t))
                continue;
            return;
        case PROBE_WANT_WAIT: timer_set(s->worker->ring, &t->timer, w.deadline); return;
        case PROBE_WANT_FLUSH:
            if (w.deadline)
                timer_set(s->worker->ring, &t->timer, w.deadline);
            task_step(t, &(struct step){.type = NBD_CMD_FLUSH});
            return;
        case PROBE_WANT_STATUS:
            t->u.probe.status_parts = 0;
            ask_status(t);
            return;
        default: send_part(t); return;
        }
    }
}

// A guard or a first FLUSH is late, or a pause is over.
static void
timer_fired(struct timer *timer)
{
    struct task *t = task_of(timer);
    struct session *s = t->s;
    bool waited = t->u.probe.want.want == PROBE_WANT_WAIT;
    report(t, &(struct probe_outcome){.error = waited ? 0 : PROBE_LATE});
    advance(t);
    session_turn(s);
}

// The client has been gone for a second and upstream is still not done with an operation before the
// write-back: nothing is restored then (zero/probe.h).
static void
gone_too_long(struct timer *timer)
{
    struct task *t = (struct task *)((char *)timer - offsetof(struct task, u.probe.gone));
    enum probe_want want = t->u.probe.want.want;
    bool flushing_zero = want == PROBE_WANT_FLUSH && !t->u.probe.written_back;
    if (want == PROBE_WANT_ZERO || want == PROBE_WANT_READ || want == PROBE_WANT_CHECK ||
        want == PROBE_WANT_STATUS || flushing_zero)
        session_upstream_lost(t->s, END_CLIENT_EOF,
                              "still busy a second after the client left in mid-probe");
}

static void
client_leaves(struct task *t)
{
    struct session *s = t->s;
    if (!t->u.probe.machine)
        return;
    if (s->worker->draining && s->client && !stream_ended(s->client)) {
        probe_abort(t->u.probe.machine);
        return;
    }
    probe_client_gone(t->u.probe.machine, session_now(s));
    t->u.probe.gone.fire = gone_too_long;
    timer_set(s->worker->ring, &t->u.probe.gone, session_now(s) + PROBE_CLIENT_GONE);
}

// zero/ knows two numbers of the wire without seeing it.
static_assert(PROBE_LATE == NBD_ENOTSUP && PROBE_ENOSPC == NBD_ENOSPC, "spec: Error values");

const struct task_kind task_probe_kind = {
    .name = "probe",
    .stepped = stepped,
    .lost = lost,
    .client_leaves = client_leaves,
};

static bool
alone(const struct session *s)
{
    return s->phase == PHASE_TRANSMISSION && !s->worker->draining && !s->in_flight && !s->slots &&
           !s->tasks && !s->payload_left;
}

static size_t
buffer_size(const struct request *r)
{
    return r->length < PROBE_LARGEST_CHUNK ? r->length : PROBE_LARGEST_CHUNK;
}

bool
task_probe_begin(struct session *s, const struct request *r, nstime began)
{
    const struct zero_rules *rules = &s->policy->zero;
    bool no_hole = r->flags & NBD_CMD_FLAG_NO_HOLE;
    enum probe_mode mode = r->flags & NBD_CMD_FLAG_FAST_ZERO ? PROBE_RESTORE : PROBE_TEACH;
    if (!rules->probe || !(s->facts.upstream_flags & NBD_FLAG_SEND_FLUSH) || !alone(s))
        return false;
    struct probe *m = malloc(sizeof *m);
    struct buf *data = mode == PROBE_RESTORE ? buf_new(s->worker->ring, buffer_size(r)) : NULL;
    nstime now = session_now(s);
    if (!m || (mode == PROBE_RESTORE && !data) ||
        !export_probe_begins(s->export, no_hole, rules, now)) {
        free(m);
        if (data)
            buf_unref(data);
        return false;
    }
    struct task *t = task_new(s, r, &task_probe_kind, began);
    if (!t) {
        export_probe_ends(s->export, no_hole, rules, &(struct zero_finding){0}, false, now);
        free(m);
        if (data)
            buf_unref(data);
        return false;
    }
    t->data = data;
    t->timer.fire = timer_fired;
    t->u.probe.machine = m;
    t->u.probe.began = now;
    t->u.probe.guard =
        (struct guard){.storage = s->storage, .probe = registry_next_probe(s->worker->registry)};
    s->exclusive = true;
    probe_begin(
        m, mode, rules, (struct range){r->offset, r->length}, s->facts.preferred,
        s->allocation >= 0 && !s->facts.status_by_us && export_status_usable(s->export, now), now);
    advance(t);
    return true;
}
