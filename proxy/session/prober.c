// SPDX-License-Identifier: BSD-3-Clause
//   look (a verdict is due?) ──▶ connect ──▶ [each class that is due: run, and again where one
//   finding makes no verdict] ──▶ disconnect ──▶ look, later
//
// Between two chunks it rests for as long as a chunk took, so that the server is at most half
// loaded.
#include "prober.h"

#include "runner.h"
#include <session/routes.h>

#include "measurable.h"
#include "scratch_area.h"
#include "session.h"

#include <base/hash.h>
#include <base/text.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define LOOK_AGAIN   (5 * NS_PER_SEC)
#define AFTER_FAULT  NS_PER_MIN
#define UNDECIDED    NS_PER_MIN // what came to no verdict is tried again; doubling to
#define PAUSE_MOST   (30 * NS_PER_MIN)
#define REST_MOST    NS_PER_SEC
#define GUARD_WITHIN NS_PER_SEC
#define TIME         (60 * NS_PER_SEC) // of one run: nobody waits for it
#define BYTES        (UINT64_C(1) << 30)
#define RUNS         4u // of one class: two make FAST, and some are disturbed

struct prober {
    struct worker *worker;
    struct scratch_area area;
    struct zero_rules rules;
    char address[ROUTE_PLACE_TEXT];
    char label[300]; // for the log
    struct timer timer;
    uint64_t use;  // of the address, when it was last measured
    bool measured; // at least once
    nstime pause;  // where the next time, too, brings no verdict
    char trouble[400];

    struct peer peer; // from here on: only while connected
    bool connected;
    struct runner runner;
    bool has_runner;
    struct export *export;
    struct export_counters *counters;
    bool running, no_hole;
    unsigned runs;
    nstime began, chunk_began, rest;
    struct guard guard;
    struct guard_ask *ask;
    bool asking, held;
    struct timer rest_timer, late_timer;
};

#define prober_of(timer, member)                                                                   \
    ((struct prober *)((char *)(timer)-offsetof(struct prober, member)))

static void next_run(struct prober *p);

static nstime
now_of(const struct prober *p)
{
    return ring_clock(p->worker->ring);
}

static void __attribute__((format(printf, 4, 5)))
say_(const struct prober *p, struct log_site *site, enum log_level level, const char *fmt, ...)
{
    char text[1000], holder[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    struct log_about about = {.upstream = p->area.upstream->name,
                              .export = text_escape(holder, sizeof holder, p->area.holder)};
    log_at((struct log_head){.site = site, .level = level, .about = &about}, "%s: %s", p->label,
           text);
}

#define say(p, level_, ...)                                                                        \
    do {                                                                                           \
        LOG_SITE(site_);                                                                           \
        if (log_enabled(level_))                                                                   \
            say_(p, &site_, level_, __VA_ARGS__);                                                  \
    } while (0)

static void
look_at(struct prober *p, nstime when)
{
    timer_set(p->worker->ring, &p->timer, when);
}

// The connection --------------------------------------------------------------------------

static void
let_go(struct prober *p)
{
    struct ring *ring = p->worker->ring;
    timer_cancel(ring, &p->rest_timer);
    timer_cancel(ring, &p->late_timer);
    if (p->ask)
        guard_release(p->worker, p->ask);
    p->ask = NULL;
}

static void
disconnect(struct prober *p, bool lost)
{
    let_go(p);
    if (p->has_runner)
        runner_end(&p->runner);
    if (p->connected)
        peer_close(&p->peer);
    if (p->export)
        export_close(p->export, lost);
    p->has_runner = p->connected = p->running = false;
    p->export = NULL;
    p->counters = NULL;
}

// Told once, until it changes or all is well in between.
static void
fault(struct prober *p, const char *what, bool lost)
{
    char text[sizeof p->trouble];
    snprintf(text, sizeof text, "%s", what);
    bool news = strcmp(text, p->trouble) != 0;
    memcpy(p->trouble, text, sizeof text);
    disconnect(p, lost);
    say(p, news ? LOG_LEVEL_WARN : LOG_LEVEL_DEBUG, "not measured: %s", p->trouble);
    look_at(p, now_of(p) + AFTER_FAULT);
}

static struct scratch_outlook
outlook(const struct prober *p, nstime now)
{
    return registry_scratch_outlook(p->worker->registry, bytes_str(p->address), p->area.holder,
                                    now);
}

static void
all_done(struct prober *p)
{
    disconnect(p, false);
    nstime now = now_of(p);
    struct scratch_outlook o = outlook(p, now);
    nstime wait = LOOK_AGAIN;
    p->use = o.use;
    p->measured = true;
    *p->trouble = '\0';
    if (o.due && o.due <= now) {
        wait = p->pause;
        p->pause = p->pause < PAUSE_MOST / 2 ? p->pause * 2 : PAUSE_MOST;
    } else {
        p->pause = UNDECIDED;
    }
    look_at(p, now + wait);
}

// A chunk ---------------------------------------------------------------------------------

static void
guard_held(void *ctx)
{
    struct prober *p = ctx;
    p->held = true;
    if (p->asking)
        return;
    timer_cancel(p->worker->ring, &p->late_timer);
    p->chunk_began = now_of(p);
    runner_guarded(&p->runner, true);
}

static void
guard_late(struct timer *t)
{
    struct prober *p = prober_of(t, late_timer);
    let_go(p);
    runner_guarded(&p->runner, false);
}

static void
rested(struct timer *t)
{
    struct prober *p = prober_of(t, rest_timer);
    struct worker *w = p->worker;
    p->held = false;
    p->asking = true;
    p->ask = guard_hold(w, &p->guard, guard_held, p);
    p->asking = false;
    if (p->held)
        guard_held(p);
    else if (!p->ask)
        guard_late(&p->late_timer);
    else
        timer_set(w->ring, &p->late_timer, ring_clock(w->ring) + GUARD_WITHIN);
}

static void
hold(void *ctx, const struct probe_step *step)
{
    struct prober *p = ctx;
    p->guard = (struct guard){
        .storage = p->guard.storage,
        .probe = registry_next_probe(p->worker->registry),
        .range = {step->offset, step->length},
    };
    timer_set(p->worker->ring, &p->rest_timer, now_of(p) + p->rest);
}

static void
chunk_ended(void *ctx)
{
    struct prober *p = ctx;
    let_go(p);
    p->rest = now_of(p) - p->chunk_began;
    if (p->rest > REST_MOST)
        p->rest = REST_MOST;
}

// A run -----------------------------------------------------------------------------------

static void
count(struct prober *p, const struct zero_finding *f)
{
    struct export_counters *c = p->counters;
    c->probes.run++;
    c->probes.fast += f->verdict == ZERO_FAST;
    c->probes.slow += f->verdict == ZERO_SLOW;
    c->probes.undecided += f->verdict == ZERO_UNKNOWN;
    c->probes.reasons[probe_reason(&p->runner.probe)]++;
    c->probes.bytes += p->runner.probe.written;
    c->probes.time += now_of(p) - p->began;
}

static void
next_class_or_run(struct timer *t)
{
    struct prober *p = prober_of(t, rest_timer);
    next_run(p);
}

static void
run_finished(void *ctx)
{
    struct prober *p = ctx;
    const struct probe *m = &p->runner.probe;
    struct zero_finding f = probe_finding(m);
    let_go(p);
    p->running = false;
    count(p, &f);
    say(p, LOG_LEVEL_INFO, "%s%s: ratio %.3f, %u samples, %llu KiB written in %llu ms%s",
        f.verdict == ZERO_UNKNOWN ? "undecided" : zero_verdict_name(f.verdict),
        p->no_hole ? " (no hole)" : "", f.has_model ? f.model.ratio : 0.0, f.samples,
        (unsigned long long)m->written >> 10,
        (unsigned long long)((now_of(p) - p->began) / NS_PER_MS),
        f.error ? ", an operation failed" : "");
    export_probe_ends(p->export, p->no_hole, &p->rules, &f, m->no_space, now_of(p));
    if (p->area.elsewhere)
        export_lend(p->export, p->area.borrowers);
    // From the ring: the runner's code is on the stack.
    p->rest_timer.fire = next_class_or_run;
    if (p->peer.stream)
        timer_set(p->worker->ring, &p->rest_timer, now_of(p));
}

static bool
class_due(struct prober *p, bool no_hole)
{
    nstime now = now_of(p), due = export_scratch_due(p->export, no_hole, now);
    return due && due <= now;
}

static void
run(struct prober *p, bool no_hole)
{
    if (!export_scratch_begins(p->export, no_hole, &p->rules)) {
        disconnect(p, false); // a client's request is measuring
        look_at(p, now_of(p) + LOOK_AGAIN);
        return;
    }
    p->runs = p->no_hole == no_hole ? p->runs + 1 : 1;
    p->no_hole = no_hole;
    p->running = true;
    p->began = now_of(p);
    p->rest = 0;
    p->rest_timer.fire = rested;
    runner_run(&p->runner, PROBE_SCRATCH, no_hole, false, &p->rules, p->area.range);
}

static void
next_run(struct prober *p)
{
    for (int no_hole = p->no_hole; no_hole < 2; no_hole++) {
        bool tired = p->no_hole == no_hole && p->runs == RUNS;
        if (!tired && class_due(p, no_hole)) {
            run(p, no_hole);
            return;
        }
    }
    all_done(p);
}

// From the connection ---------------------------------------------------------------------

static bool
open_export(struct prober *p, const struct server_facts *f)
{
    struct worker *w = p->worker;
    char where[ADDRESS_TEXT];
    address_text(&p->area.upstream->uri.address, where, sizeof where);
    p->guard.storage = (struct storage){
        .address = hash_bytes(HASH_BEGIN, bytes_str(where)),
        .name = hash_bytes(HASH_BEGIN, p->area.holder),
        // One that is there for this is no other, whatever its size.
        .size = p->area.elsewhere ? 0 : f->export.size,
    };
    p->export = export_open(w->registry,
                            &(struct export_key){
                                .upstream = p->area.upstream->name,
                                .address = bytes_str(p->address),
                                .name = p->area.holder,
                                .dialled = p->guard.storage.address,
                                .size = f->export.size,
                                .flags = f->export.flags,
                            },
                            now_of(p));
    p->counters = p->export ? export_counters_of(p->export, w->index) : NULL;
    // What a client's session has noted is nearer to the truth.
    if (p->counters && export_has_one_connection(p->export))
        export_note(p->export,
                    advertised_flags(f->export.flags, f->format, p->area.policy->read_only,
                                     FAST_ZERO_OFFER),
                    &p->area.policy->zero);
    return p->counters;
}

static void
opened(void *ctx)
{
    struct prober *p = ctx;
    const struct server_facts *f = peer_facts(&p->peer);
    char err[300];
    if (!measurable_export(f, err, sizeof err) ||
        !measurable_range(&p->area.range, f, err, sizeof err)) {
        fault(p, err, false);
        return;
    }
    if (!open_export(p, f)) {
        fault(p, "out of memory", false);
        return;
    }
    if (!export_may_serve(p->export)) {
        disconnect(p, false); // another process is measuring inside the export
        look_at(p, now_of(p) + LOOK_AGAIN);
        return;
    }
    if (f->export.flags & NBD_FLAG_SEND_FAST_ZERO) {
        say(p, LOG_LEVEL_INFO, "upstream answers fast zeroes itself: nothing to measure");
        all_done(p);
        return;
    }
    if (!runner_begin(&p->runner, p->worker->ring, &p->peer, PROBE_SCRATCH)) {
        runner_end(&p->runner);
        fault(p, "out of memory", false);
        return;
    }
    p->has_runner = true;
    p->runner.finished = run_finished;
    p->runner.news = chunk_ended;
    p->runner.hold = hold;
    p->runner.ctx = p;
    p->no_hole = false;
    p->runs = 0;
    next_run(p);
}

static void
done(void *ctx, const struct peer_result *r)
{
    struct prober *p = ctx;
    runner_done(&p->runner, r);
}

static void
extent(void *ctx, uint64_t length, uint32_t flags)
{
    struct prober *p = ctx;
    runner_extent(&p->runner, length, flags);
}

static void
lost(void *ctx, const char *what)
{
    struct prober *p = ctx;
    char text[sizeof p->trouble];
    bool served = p->export;
    snprintf(text, sizeof text, "upstream: %s", what);
    if (p->has_runner)
        runner_lost(&p->runner);
    fault(p, text, served);
}

static void
connect_to(struct prober *p)
{
    static const struct peer_handler handler = {
        .opened = opened, .done = done, .extent = extent, .lost = lost};
    p->connected =
        peer_open(&p->peer, p->worker->ring, p->area.upstream, p->area.holder, &handler, p);
    if (!p->connected)
        fault(p, "out of memory", false);
}

static void
look(struct timer *t)
{
    struct prober *p = prober_of(t, timer);
    nstime now = now_of(p);
    struct scratch_outlook o = outlook(p, now);
    bool used = !p->measured || o.in_use || o.use != p->use;
    if (used && o.due && o.due <= now)
        connect_to(p);
    else
        look_at(p, o.due > now && o.due < now + LOOK_AGAIN ? o.due : now + LOOK_AGAIN);
}

// The beginning and the end -----------------------------------------------------------------

struct prober *
prober_new(struct worker *w, const struct scratch_area *area)
{
    struct prober *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->worker = w;
    p->area = *area;
    p->rules = area->policy->zero;
    p->rules.probe_time = TIME;
    p->rules.probe_bytes = BYTES;
    p->pause = UNDECIDED;
    p->timer.fire = look;
    p->late_timer.fire = guard_late;
    route_place(&area->upstream->uri, p->address);
    scratch_area_text(area, p->label, sizeof p->label);
    look_at(p, now_of(p));
    return p;
}

void
prober_free(struct prober *p)
{
    timer_cancel(p->worker->ring, &p->timer);
    if (p->running) {
        struct zero_finding nothing = {0};
        export_probe_ends(p->export, p->no_hole, &p->rules, &nothing, false, now_of(p));
    }
    disconnect(p, false);
    free(p);
}
