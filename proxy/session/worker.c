// SPDX-License-Identifier: BSD-3-Clause
#include "session.h"

#include "scratching.h"
#include "task.h"
#include <stdio.h>
#include <stdlib.h>

static void drain_deadline(struct timer *t);

struct worker *
worker_new(struct ring *ring, struct registry *registry, unsigned index)
{
    struct worker *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->slots = slot_table_new();
    if (!w->slots) {
        free(w);
        return NULL;
    }
    w->ring = ring;
    w->registry = registry;
    w->index = index;
    w->drain_timer.fire = drain_deadline;
    registry_set_worker(registry, index, w);
    return w;
}

void
worker_end(struct worker *w)
{
    scratch_end(w->scratching);
    w->scratching = NULL;
    for (struct session *s = w->sessions; s; s = s->next)
        session_end(s, END_DRAINED);
    while (w->sessions) {
        struct session *s = w->sessions;
        timer_cancel(w->ring, &s->timer);
        s->timer.fire(&s->timer);
    }
}

void
worker_free(struct worker *w)
{
    slot_table_free(w->slots);
    free(w);
}

unsigned
worker_sessions(const struct worker *w)
{
    return atomic_load_explicit(&w->n_sessions, memory_order_relaxed);
}

void
worker_scratch(struct worker *w, struct settings *settings)
{
    scratch_end(w->scratching);
    bool wanted = settings && !w->draining;
    w->scratching = wanted ? scratch_begin(w, settings) : NULL;
    if (!w->scratching && wanted)
        log_error("out of memory: scratch areas are not measured");
}

// Draining --------------------------------------------------------------------------------

void
worker_check_drained(struct worker *w)
{
    if (!w->draining || w->sessions || w->guard_asks || !w->drained)
        return;
    void (*drained)(void *ctx) = w->drained;
    w->drained = NULL;
    timer_cancel(w->ring, &w->drain_timer);
    drained(w->drained_ctx);
}

// A probe that has zeroed a chunk gets one second more to write it back.
#define PROBE_GRACE NS_PER_SEC

static void
drain_deadline(struct timer *t)
{
    struct worker *w = (struct worker *)((char *)t - offsetof(struct worker, drain_timer));
    nstime now = ring_now(w->ring);
    bool last = now >= w->drain_deadline + PROBE_GRACE;
    for (struct session *s = w->sessions; s; s = s->next)
        if (last || !s->exclusive)
            session_cut(s);
    if (!last)
        timer_set(w->ring, t, w->drain_deadline + PROBE_GRACE);
}

void
worker_drain(struct worker *w, nstime deadline, void (*drained)(void *ctx), void *ctx)
{
    if (w->draining && deadline > w->drain_deadline)
        deadline = w->drain_deadline;
    w->drain_deadline = deadline;
    w->drained = drained;
    w->drained_ctx = ctx;
    w->draining = true;
    scratch_end(w->scratching);
    w->scratching = NULL;
    timer_set(w->ring, &w->drain_timer, deadline);
    for (struct session *s = w->sessions; s; s = s->next) {
        if (s->phase == PHASE_TRANSMISSION && !s->payload_left)
            tasks_client_leaves(s);
        session_turn(s);
    }
    worker_check_drained(w);
}

// Statistics ------------------------------------------------------------------------------

static void
report_tls(struct tls_row *row, const struct stream *s)
{
    const struct tls_facts *f = s ? stream_tls(s) : NULL;
    if (!f)
        return;
    snprintf(row->version, sizeof row->version, "%s", f->version);
    snprintf(row->cipher, sizeof row->cipher, "%s", f->cipher);
    snprintf(row->peer, sizeof row->peer, "%s", f->peer);
}

static bool
report_connections(struct worker *w, struct worker_report *r)
{
    r->connections = calloc(worker_sessions(w) + 1, sizeof *r->connections);
    if (!r->connections)
        return false;
    for (struct session *s = w->sessions; s; s = s->next) {
        if (s->phase == PHASE_DEAD)
            continue;
        struct connection_row *row = &r->connections[r->n_connections++];
        row->id = s->id;
        snprintf(row->client, sizeof row->client, "%s", s->peer);
        snprintf(row->listener, sizeof row->listener, "%s", s->listener->name);
        snprintf(row->upstream, sizeof row->upstream, "%s", s->target ? s->target->name : "");
        snprintf(row->export, sizeof row->export, "%s", s->export_text ? s->export_text : "");
        report_tls(&row->client_tls, s->client);
        report_tls(&row->upstream_tls, s->upstream);
        row->transmission = s->phase != PHASE_HANDSHAKE;
        row->since = s->began;
        row->in_flight = s->in_flight;
        row->bytes_from_client = s->client ? stream_bytes_received(s->client) : 0;
        row->bytes_to_client = s->client ? stream_bytes_sent(s->client) : 0;
    }
    return true;
}

// NULL: out of memory; the old one stays.
static void *
grown(void *array, size_t need, size_t *cap, size_t size)
{
    if (need <= *cap)
        return array;
    void *larger = reallocarray(array, need * 2, size);
    if (larger)
        *cap = need * 2;
    return larger;
}

static bool
report_latency(struct worker_report *r, const struct histogram *h, size_t *at)
{
    size_t n = histogram_packed_words(h);
    if (!n)
        return false;
    uint64_t *words = grown(r->packed, r->n_packed + n, &r->cap_packed, sizeof *words);
    if (!words)
        return false;
    r->packed = words;
    histogram_pack(h, words + r->n_packed);
    *at = r->n_packed;
    r->n_packed += n;
    return true;
}

static void
report_export(void *ctx, struct export *e, const struct export_counters *c)
{
    struct worker_report *r = ctx;
    struct export_part *parts = grown(r->exports, r->n_exports + 1, &r->cap_exports, sizeof *parts);
    if (!parts)
        return;
    r->exports = parts;
    struct export_part *part = &parts[r->n_exports++];
    *part = (struct export_part){.export = export_serial(e), .counters = *c};
    part->counters.latency = NULL;
    for (unsigned i = 0; i < COUNTED_COMMANDS; i++)
        part->used[i] = report_latency(r, &c->latency[i], &part->latency[i]);
}

bool
worker_report(struct worker *w, struct worker_report *report)
{
    if (!report_connections(w, report))
        return false;
    registry_counters(w->registry, w->index, report_export, report);
    memcpy(report->endings, w->endings, sizeof report->endings);
    report->memory = ring_memory(w->ring);
    report->now = ring_clock(w->ring);
    return true;
}

void
worker_report_clear(struct worker_report *report)
{
    free(report->connections);
    free(report->exports);
    free(report->packed);
    *report = (struct worker_report){0};
}
