// SPDX-License-Identifier: BSD-3-Clause
#include "rig.h"

#include "session.h"
#include <session/health.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LISTENER "in"

struct rig *rig;
struct export_counters rig_counted;
uint64_t rig_endings[SESSION_ENDINGS_COUNT];
uint64_t rig_requests, rig_huge, rig_runs, rig_formats[3];
static char state_dir[64];

static void
remove_state_dir(void)
{
    char path[400];
    snprintf(path, sizeof path, "%s/locks", state_dir);
    unlink(path);
    rmdir(state_dir);
}

static void
make_state_dir(void)
{
    if (state_dir[0])
        return;
    const char *tmp = getenv("TMPDIR");
    snprintf(state_dir, sizeof state_dir, "%s/nbdzero-sim-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    expect(mkdtemp(state_dir), "no directory for locks");
    atexit(remove_state_dir);
}

static struct sock *
reach(const struct address *to, const char **why)
{
    bool first = strcmp(to->port, "1") == 0;
    struct sock *s = sim_upstream_connect(first ? &rig->upstream : &rig->other->upstream);
    if (!s)
        *why = "connect to sim: Connection refused";
    return s;
}

static uint64_t
sent_by(unsigned client)
{
    return sim_client_sent(rig->clients[client]);
}

static void
keep_settings(struct settings *s)
{
    world_fail("settings %p were let go of once too often", (void *)s);
}

static void
set_upstream(struct upstream_settings *u, struct upstream_counters *counters, char *name,
             const char *port)
{
    *u = (struct upstream_settings){
        .counters = counters,
        .connect_timeout = 5 * NS_PER_SEC,
        .policy.zero = {.policy = ZERO_MEASURE,
                        .ratio = 0.30,
                        .probe = true,
                        .probe_time = NS_PER_SEC,
                        .probe_bytes = 32 * MIB,
                        .max_zero = 32 * MIB},
    };
    u->name = name;
    u->uri.address = (struct address){.kind = ADDRESS_TCP, .host = "sim"};
    snprintf(u->uri.address.port, sizeof u->uri.address.port, "%s", port);
}

static void
set_defaults(struct rig *r)
{
    static char up[] = "up", in[] = LISTENER;
    set_upstream(&r->upstream_settings, &r->upstream_counters, up, "1");
    r->listener = (struct listener_settings){
        .counters = &r->counters, .name = in, .upstream = &r->upstream_settings};
    r->settings.limits = (struct limits){.handshake_timeout = 10 * NS_PER_SEC,
                                         .io_timeout = 60 * NS_PER_SEC,
                                         .keepalive = 60 * NS_PER_SEC,
                                         .max_in_flight = 128,
                                         .max_in_flight_bytes = 64 * MIB};
    atomic_store(&r->settings.refs, 1);
    r->settings.destroy = keep_settings;
    r->settings.state_dir = state_dir;
    r->settings.listeners = &r->listener;
    r->settings.n_listeners = 1;
    r->settings.upstreams = &r->upstream_settings;
    r->settings.n_upstreams = 1;
    r->settings.exports = r->exports;
    r->shown_by[0] = &r->listener;
}

#define FILLED (64u * MIB) // a larger disk begins empty

void
rig_begin(const char *scenario, uint64_t seed, uint64_t size, unsigned workers)
{
    world_begin(scenario, seed);
    make_state_dir();
    sock_bulk = size > 2 * MIB;
    struct rig *r = rig = calloc(1, sizeof *r);
    expect(r, "out of memory");
    set_defaults(r);
    disk_begin(&r->disk, size);
    oracle_begin(&r->oracle, &r->disk);
    sim_upstream_begin(&r->upstream, &r->disk, &r->oracle);
    r->upstream.sent_by = sent_by;
    if (size <= FILLED)
        oracle_fill(&r->oracle, (struct range){0, size});
    fake_host = (struct fake_host){.connect = reach};
    r->registry = registry_new(state_dir, workers);
    expect(r->registry, "out of memory");
    r->n_workers = workers;
    for (unsigned i = 0; i < workers; i++) {
        r->rings[i] = fake_ring_new(i);
        r->workers[i] = worker_new(r->rings[i], r->registry, i);
        expect(r->workers[i], "out of memory");
    }
}

struct site *
rig_other(uint64_t size)
{
    static char name[] = "up2";
    struct site *o = rig->other = calloc(1, sizeof *o);
    expect(o, "out of memory");
    set_upstream(&o->settings, &o->counters, name, "2");
    disk_begin(&o->disk, size);
    oracle_begin(&o->oracle, &o->disk);
    sim_upstream_begin(&o->upstream, &o->disk, &o->oracle);
    o->upstream.name = "other";
    o->upstream.sent_by = sent_by;
    oracle_fill(&o->oracle, (struct range){0, size});
    return o;
}

void
rig_repairs(void)
{
    struct sim_upstream *u = &rig->upstream;
    u->kind = KIND_FIXED;
    u->no_go = false;
    u->has_block_size = u->rigid = true;
    u->minimum = u->preferred = DISK_BLOCK;
    rig->upstream_settings.policy.repair = true;
}

void
rig_tls_clients(enum client_tls tls, enum sim_identity demands)
{
    rig->listener.tls = tls;
    rig->listener.tls_context = fake_tls_new(false, demands);
}

void
rig_tls_upstream(void)
{
    struct sim_upstream *u = &rig->upstream;
    u->kind = KIND_FIXED;
    u->tls = true;
    rig->upstream_settings.tls = fake_tls_new(true, SIM_PEER);
}

struct export_settings *
rig_export(const char *name, const struct upstream_settings *u, const char *upstream_name)
{
    expect(rig->settings.n_exports < EXPORTS_MAX, "too many exports");
    struct export_settings *e = &rig->exports[rig->settings.n_exports++];
    *e = (struct export_settings){.name = bytes_str(name),
                                  .upstream_name = bytes_str(upstream_name),
                                  .upstream = u,
                                  .listeners = rig->shown_by,
                                  .n_listeners = 1,
                                  .policy = u->policy};
    return e;
}

// Clients -----------------------------------------------------------------------------------

struct arrival {
    struct letter letter;
    struct worker *worker;
    int fd;
    unsigned id;
};

static void
arrived(struct letter *l)
{
    struct arrival *a = (struct arrival *)((char *)l - offsetof(struct arrival, letter));
    atomic_fetch_add(&rig->counters.active, 1);
    worker_accept(a->worker, a->fd, settings_ref(&rig->settings), &rig->listener, NULL, a->id);
    free(a);
}

static unsigned worker_of[CLIENTS_MAX];

static void
connect_client(struct sim_client *c)
{
    struct arrival *a = malloc(sizeof *a);
    struct sock *proxy;
    expect(a, "out of memory");
    sock_pair(&c->sock, &proxy);
    unsigned w = worker_of[c->index];
    *a = (struct arrival){.worker = rig->workers[w], .fd = proxy->fd, .id = c->index + 1};
    a->letter.deliver = arrived;
    ring_post(rig->rings[w], &a->letter);
}

static struct sim_client *
add_client(const struct client_plan *plan, int worker, struct oracle *oracle)
{
    unsigned i = rig->n_clients;
    expect(i < CLIENTS_MAX, "too many clients");
    worker_of[i] = worker < 0 ? (unsigned)chance_below(rig->n_workers) : (unsigned)worker;
    struct sim_client *c = sim_client_new(i, plan, oracle, connect_client);
    rig->clients[rig->n_clients++] = c;
    return c;
}

struct sim_client *
rig_client(const struct client_plan *plan, int worker)
{
    // What the configuration says now is what the first client meets.
    rig->upstream.max_zero = rig->upstream_settings.policy.zero.max_zero;
    if (rig->upstream_settings.policy.repair)
        rig->oracle.repair = rig->upstream.minimum;
    return add_client(plan, worker, &rig->oracle);
}

struct sim_client *
rig_client_of_other(const struct client_plan *plan, int worker)
{
    rig->other->upstream.max_zero = rig->other->settings.policy.zero.max_zero;
    return add_client(plan, worker, &rig->other->oracle);
}

// Draining ----------------------------------------------------------------------------------

static void
drained(void *ctx)
{
    struct draining *d = ctx;
    expect(!d->done, "drained twice");
    d->done = true;
    d->done_at = world.now;
}

static void
drain(struct letter *l)
{
    struct draining *d = (struct draining *)((char *)l - offsetof(struct draining, letter));
    worker_drain(rig->workers[d->worker], world.now + d->within, drained, d);
}

void
rig_drain(unsigned worker, nstime within)
{
    struct draining *d = &rig->drains[worker];
    expect(!d->asked, "drain asked for twice");
    d->asked = true;
    d->worker = worker;
    d->within = within;
    d->letter.deliver = drain;
    ring_post(rig->rings[worker], &d->letter);
}

// The end -----------------------------------------------------------------------------------

void
rig_run(void)
{
    world_run(0);
}

static void
collect(struct rig *r, unsigned i)
{
    struct worker_report report = {0};
    expect(worker_report(r->workers[i], &report), "out of memory");
    for (unsigned e = 0; e < SESSION_ENDINGS_COUNT; e++)
        r->endings[e] += report.endings[e];
    for (size_t e = 0; e < report.n_exports; e++)
        export_counters_merge(&r->counted, &report.exports[e].counters);
    worker_report_clear(&report);
}

static void
check_context(const struct tls_context *c)
{
    expect(!c || fake_tls_refs(c) == 1, "a context is still referred to");
}

static void
check_upstream(const struct sim_upstream *u, struct upstream_counters *n)
{
    expect(!u->live, "%u connections to an upstream are left over", u->live);
    uint64_t reached = atomic_load(&n->reached);
    expect(reached <= u->connections, "upstream was reached %llu times, it says",
           (unsigned long long)reached);
    expect(!upstream_is_down(n) || atomic_load(&n->failed), "down, and it never failed");
}

static void
check_worker(struct rig *r, unsigned i)
{
    const struct worker *w = r->workers[i];
    expect(!worker_sessions(w), "worker %u: %u sessions have not ended", i, worker_sessions(w));
    expect(!w->in_flight, "worker %u: %u requests are left over", i, w->in_flight);
    expect(!w->guards.n && !w->asks && !w->guard_asks, "worker %u: a guard is left over", i);
    expect(!r->drains[i].asked || r->drains[i].done, "worker %u never told that it is drained", i);
}

void
rig_check(uint64_t allowed)
{
    struct rig *r = rig;
    uint64_t sessions = 0;
    for (unsigned i = 0; i < r->n_workers; i++) {
        collect(r, i);
        check_worker(r, i);
    }
    for (unsigned e = 0; e < SESSION_ENDINGS_COUNT; e++) {
        sessions += r->endings[e];
        rig_endings[e] += r->endings[e];
        expect(!r->endings[e] || (allowed & MAY_END(e)), "a session ended %s",
               session_ending_name((enum session_ending)e));
    }
    for (unsigned i = 0; i < r->n_clients; i++)
        expect(r->clients[i]->state == CLIENT_LEFT, "client %u is still waiting (%u in flight)", i,
               r->clients[i]->in_flight);
    expect(sessions == r->n_clients, "%llu sessions ended, of %u clients",
           (unsigned long long)sessions, r->n_clients);
    expect(atomic_load(&r->counters.active) == 0, "the listener counts active sessions");
    expect(atomic_load(&r->settings.refs) == 1, "settings are still referred to");
    check_context(r->listener.tls_context);
    check_context(r->upstream_settings.tls);
    check_upstream(&r->upstream, &r->upstream_counters);
    oracle_check_all(&r->oracle);
    if (r->other) {
        check_upstream(&r->other->upstream, &r->other->counters);
        oracle_check_all(&r->other->oracle);
    }
    for (unsigned f = 0; f <= FORMAT_EXTENDED; f++)
        rig_formats[f] += r->upstream.begun[f];
    export_counters_merge(&rig_counted, &r->counted);
    rig_runs++;
    for (unsigned i = 0; i < r->n_clients; i++) {
        rig_requests += r->clients[i]->issued;
        rig_huge += r->clients[i]->asked_huge;
    }
}

void
rig_end(void)
{
    struct rig *r = rig;
    for (unsigned i = 0; i < r->n_workers; i++)
        worker_end(r->workers[i]);
    for (unsigned i = 0; i < r->n_workers; i++)
        worker_free(r->workers[i]);
    for (unsigned i = 0; i < r->n_workers; i++)
        fake_ring_free(r->rings[i]);
    registry_free(r->registry);
    for (unsigned i = 0; i < r->n_clients; i++)
        sim_client_free(r->clients[i]);
    sim_upstream_end(&r->upstream);
    if (r->other)
        sim_upstream_end(&r->other->upstream);
    tls_unref(r->listener.tls_context);
    tls_unref(r->upstream_settings.tls);
    unsigned open = socks_clear();
    expect(!open, "%u connections were never closed", open);
    oracle_end(&r->oracle);
    disk_end(&r->disk);
    if (r->other) {
        oracle_end(&r->other->oracle);
        disk_end(&r->other->disk);
        free(r->other);
    }
    free(r);
    rig = NULL;
}
