// SPDX-License-Identifier: BSD-3-Clause
//   connect ──▶ look ──▶ [map] ──▶ run a probe ──▶ ... until the votes of a class decide ──▶ end
//
// A signal ends it behind the chunk in work, a second one, a second later, at once.
#include "measure.h"

#include "checks.h"
#include "map.h"
#include "measurable.h"
#include "rescue.h"
#include "votes.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

// Samples that are disturbed are taken again, up to 3 a level: 31 MiB, and 64 more.
#define IN_PLACE_BYTES (UINT64_C(96) << 20)
// The probe's own budget holds no longer than its levels.
#define SCRATCH_BYTES (UINT64_C(1) << 30)
#define ATTEMPTS      5u         // where too many samples were disturbed
#define PATIENCE      NS_PER_SEC // between the first signal and one that is obeyed at once

struct measuring {
    const struct arguments *asked;
    struct ring *ring;
    struct peer peer;
    struct runner runner;
    struct map map;
    bool mapping, over;
    struct watch signals;
    nstime signalled;
    nstime began;      // of the class in work
    unsigned attempts; // at the run in work
    struct result *result;
    void (*progress)(const struct result *r, const struct probe *p);
};

static void
end(struct measuring *m)
{
    if (m->over)
        return;
    m->over = true;
    m->result->ended = ring_now(m->ring);
    ring_unwatch(m->ring, &m->signals);
    runner_end(&m->runner);
    peer_close(&m->peer);
    ring_stop(m->ring);
}

// The first reason is the reason.
static void __attribute__((format(printf, 2, 3))) fail(struct measuring *m, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    if (!*m->result->trouble)
        vsnprintf(m->result->trouble, sizeof m->result->trouble, fmt, ap);
    va_end(ap);
    end(m);
}

// Probes ------------------------------------------------------------------------------------

static enum probe_mode
mode_of(const struct measuring *m)
{
    return m->asked->mode == ASK_SCRATCH ? PROBE_SCRATCH : PROBE_RESTORE;
}

static struct result_class *
class_in_work(struct measuring *m)
{
    return &m->result->classes[m->result->n_classes - 1];
}

static void
run(struct measuring *m)
{
    struct result_class *c = class_in_work(m);
    bool thorough = !votes_for(c, ZERO_FAST); // one of those that agree is to show all levels
    m->attempts++;
    runner_run(&m->runner, mode_of(m), c->no_hole, thorough, &m->result->rules, m->result->range);
}

static bool
class_done(const struct result *r, bool no_hole)
{
    for (unsigned i = 0; i < r->n_classes; i++)
        if (r->classes[i].no_hole == no_hole)
            return true;
    return false;
}

static void
next_class(struct measuring *m)
{
    struct result *r = m->result;
    for (int no_hole = 0; no_hole < 2; no_hole++) {
        if (!m->asked->class[no_hole] || class_done(r, no_hole))
            continue;
        struct result_class *c = &r->classes[r->n_classes++];
        c->no_hole = no_hole;
        zero_class_begin(&c->class);
        m->began = ring_now(m->ring);
        m->attempts = 0;
        run(m);
        return;
    }
    end(m);
}

static void
note_damage(struct measuring *m)
{
    struct result *r = m->result;
    const struct probe *p = &m->runner.probe;
    if (p->ending != PROBE_DAMAGED)
        return;
    r->damaged = true;
    r->damage = p->damaged;
    if (!rescue(p->damaged.offset, m->runner.buf->data, p->damaged.length, r->rescue,
                sizeof r->rescue))
        *r->rescue = '\0';
}

static void
note_run(struct measuring *m)
{
    struct result_class *c = class_in_work(m);
    nstime now = ring_now(m->ring);
    c->runs[c->n_runs++] = (struct result_run){.probe = m->runner.probe,
                                               .finding = probe_finding(&m->runner.probe),
                                               .failed = m->runner.failed,
                                               .failure = m->runner.failure};
    c->took = now - m->began;
}

// Told to a class as the daemon has it: those that were not outvoted. The thorough one last: then
// the model is that of the levels that are shown.
static void
learn(struct measuring *m)
{
    struct result_class *c = class_in_work(m);
    enum zero_verdict verdict = votes_verdict(c);
    for (unsigned i = c->n_runs; i-- > 0;) {
        const struct zero_finding *f = &c->runs[i].finding;
        if (f->error || verdict == ZERO_UNKNOWN || f->verdict == verdict)
            zero_class_learn(&c->class, &m->result->rules, f, ring_now(m->ring));
    }
}

// Is another run of this class needed?
static bool
again(struct measuring *m)
{
    struct result_class *c = class_in_work(m);
    const struct result_run *last = &c->runs[c->n_runs - 1];
    bool disturbed = last->finding.verdict == ZERO_UNKNOWN && last->probe.stop == PROBE_DISTURBED;
    if (disturbed && m->attempts < ATTEMPTS) {
        c->n_runs--;
        return true;
    }
    m->attempts = 0;
    return votes_again(c, m->asked->repeat);
}

static void
run_finished(void *ctx)
{
    struct measuring *m = ctx;
    char text[200];
    note_run(m);
    note_damage(m);
    if (!m->runner.failed && !m->runner.stopped && m->peer.stream && again(m)) {
        run(m);
        return;
    }
    learn(m);
    if (m->runner.failed)
        fail(m, "%s", result_failure(&m->runner.failure, text, sizeof text));
    else if (m->runner.stopped)
        fail(m, "interrupted");
    else if (!m->peer.stream)
        end(m); // lost; who lost it says so
    else
        next_class(m);
}

static void
chunk_ended(void *ctx)
{
    struct measuring *m = ctx;
    if (m->progress)
        m->progress(m->result, &m->runner.probe);
}

static void
start(struct measuring *m)
{
    if (!runner_begin(&m->runner, m->ring, &m->peer, mode_of(m))) {
        fail(m, "out of memory");
        return;
    }
    m->mapping = false;
    m->runner.finished = run_finished;
    m->runner.news = chunk_ended;
    m->runner.ctx = m;
    next_class(m);
}

// Where in place ----------------------------------------------------------------------------

static void
map_on(struct measuring *m)
{
    struct range query;
    m->mapping = map_next(&m->map, &query);
    if (m->mapping) {
        peer_send(&m->peer, &(struct peer_request){.command = NBD_CMD_BLOCK_STATUS,
                                                   .offset = query.offset,
                                                   .length = query.length});
        return;
    }
    m->result->range = map_choice(&m->map);
    if (m->result->range.length)
        start(m);
    else
        fail(m,
             "no data is stored in %" PRIu64 ":%" PRIu64
             ": nothing can be measured in place (--scratch can)",
             m->map.whole.offset, m->map.whole.length);
}

static void
begin_measuring(struct measuring *m)
{
    struct result *r = m->result;
    uint64_t whole = align_down(r->facts.export.size, measurable_alignment(&r->facts));
    r->range = m->asked->has_range ? m->asked->range : (struct range){0, whole};
    if (m->asked->mode == ASK_IN_PLACE && r->facts.has_allocation) {
        map_begin(&m->map, r->range);
        map_on(m);
    } else {
        start(m);
    }
}

// From the connection -----------------------------------------------------------------------

static void
opened(void *ctx)
{
    struct measuring *m = ctx;
    char err[400];
    m->result->facts = *peer_facts(&m->peer);
    if (!checks_pass(m->asked, &m->result->facts, err, sizeof err))
        fail(m, "%s", err);
    else if (m->asked->mode == ASK_READ_ONLY)
        end(m);
    else
        begin_measuring(m);
}

static void
done(void *ctx, const struct peer_result *r)
{
    struct measuring *m = ctx;
    if (!m->mapping)
        runner_done(&m->runner, r);
    else if (m->signalled)
        fail(m, "interrupted");
    else if (r->error)
        start(m); // status is a help, no more: the probe will say what is wrong
    else
        map_on(m);
}

static void
extent(void *ctx, uint64_t length, uint32_t flags)
{
    struct measuring *m = ctx;
    if (m->mapping)
        map_extent(&m->map, length, !(flags & (NBD_STATE_HOLE | NBD_STATE_ZERO)));
    else
        runner_extent(&m->runner, length, flags);
}

static void
lost(void *ctx, const char *what)
{
    struct measuring *m = ctx;
    char text[700];
    snprintf(text, sizeof text, "%s", what);
    if (!*m->result->trouble)
        snprintf(m->result->trouble, sizeof m->result->trouble, "server: %s", text);
    runner_lost(&m->runner);
    end(m);
}

// Signals -----------------------------------------------------------------------------------

static sigset_t
ours(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    return set;
}

void
measure_block_signals(void)
{
    sigset_t set = ours();
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static void
signalled(struct watch *w)
{
    struct measuring *m = (struct measuring *)((char *)w - offsetof(struct measuring, signals));
    struct signalfd_siginfo info;
    nstime now = ring_clock(m->ring);
    if (read(w->fd, &info, sizeof info) != (ssize_t)sizeof info)
        return;
    if (!m->runner.running && !m->mapping) {
        fail(m, "interrupted");
    } else if (!m->signalled) {
        m->signalled = now;
        runner_stop(&m->runner);
    } else if (now > m->signalled + PATIENCE) {
        lost(m, "given up by a second signal, with an operation in flight");
    }
}

static bool
watch_signals(struct measuring *m)
{
    sigset_t set = ours();
    m->signals =
        (struct watch){.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC), .ready = signalled};
    if (m->signals.fd < 0)
        return false;
    ring_watch(m->ring, &m->signals);
    return true;
}

// -------------------------------------------------------------------------------------------

static void
set_rules(struct result *r)
{
    r->rules = (struct zero_rules){
        .policy = ZERO_MEASURE,
        .ratio = r->asked->ratio,
        .probe = true,
        .probe_time = r->asked->time,
        .probe_bytes = r->asked->mode == ASK_SCRATCH ? SCRATCH_BYTES : IN_PLACE_BYTES,
        .max_zero = (uint32_t)r->asked->max_zero,
    };
}

bool
measure(const struct arguments *a, const struct target *t, struct result *result,
        void (*progress)(const struct result *r, const struct probe *p))
{
    static const struct peer_handler handler = {
        .opened = opened, .done = done, .extent = extent, .lost = lost};
    struct measuring m = {.asked = a, .result = result, .progress = progress};
    *result = (struct result){.asked = a};
    set_rules(result);
    m.ring = ring_new(result->trouble, sizeof result->trouble);
    if (!m.ring)
        return false;
    if (!watch_signals(&m))
        snprintf(result->trouble, sizeof result->trouble, "signalfd: %s", strerror(errno));
    else if (!resolver_start())
        snprintf(result->trouble, sizeof result->trouble, "cannot start the resolver's thread");
    else if (!peer_open(&m.peer, m.ring, &t->settings,
                        bytes_of(t->settings.uri.export, t->settings.uri.export_len), &handler, &m))
        snprintf(result->trouble, sizeof result->trouble, "out of memory");
    else
        ring_run(m.ring);
    resolver_stop();
    if (m.signals.fd >= 0)
        close(m.signals.fd);
    ring_free(m.ring);
    return !*result->trouble;
}
