// SPDX-License-Identifier: BSD-3-Clause
// Deadlines under the virtual clock, budgets, and draining at any moment.
#include "scenarios.h"

#include <stdio.h>

#define LEFT (MAY_END(END_CLIENT_DISC) | MAY_END(END_CLIENT_EOF))

enum stall {
    IN_OPTION,
    IN_REQUEST,
    NOT_READING,
    UPSTREAM_IN_REPLY,
    UPSTREAM_DEAF,
    UPSTREAM_IN_HANDSHAKE,
    STALLS
};

static const char *const stall_names[] = {
    "client stalls in the handshake", "client stalls in a request", "client does not read",
    "upstream stalls in a reply",     "upstream does not read",     "upstream stalls in handshake"};

// The bytes of a handshake with one GO, of either side: found by running it.
static uint64_t client_shakes, upstream_shakes;

static struct client_plan
bulk_plan(struct scripted *script, unsigned n, uint16_t type)
{
    struct client_plan p = sim_client_plan();
    plan_steps(&p, 1, (uint32_t[]){NBD_OPT_GO});
    for (unsigned i = 0; i < n; i++)
        script[i] = (struct scripted){.type = type, .offset = i * MIB, .length = MIB};
    p.script = script;
    p.n_script = n;
    p.in_flight = n;
    p.leave = LEAVE_EOF;
    return p;
}

static void
measure_handshake(const char *scenario, uint64_t seed)
{
    rig_begin(scenario, seed, 64 << 10, 1);
    struct client_plan p = bulk_plan(NULL, 0, 0);
    struct sim_client *c = rig_client(&p, 0);
    rig_run();
    client_shakes = c->sock->peer->sent;
    upstream_shakes = rig->upstream.sent_bytes;
    rig_check(LEFT);
    rig_end();
}

static uint64_t
set_stall(enum stall stall, struct client_plan *p, struct scripted *script)
{
    struct sim_upstream *u = &rig->upstream;
    u->doomed = 1;
    p->may_be_cut = rig->oracle.loose = true;
    switch (stall) {
    case IN_OPTION:
        p->stalls_sent = chance_below(client_shakes);
        return MAY_END(END_HANDSHAKE_TIMEOUT);
    case IN_REQUEST:
        *p = bulk_plan(script, 1, NBD_CMD_WRITE);
        p->may_be_cut = true;
        p->stalls_sent = client_shakes + chance_between(1, COMPACT_REQUEST_SIZE + MIB - 1);
        return MAY_END(END_CLIENT_STALLED);
    case NOT_READING:
        p->stops_reading = client_shakes + chance_below(2 * MIB);
        return MAY_END(END_CLIENT_STALLED);
    case UPSTREAM_IN_REPLY:
        u->stalls_sent = upstream_shakes + chance_between(1, SIMPLE_REPLY_SIZE + MIB - 1);
        return MAY_END(END_UPSTREAM_STALLED);
    case UPSTREAM_DEAF:
        *p = bulk_plan(script, 8, NBD_CMD_WRITE);
        p->may_be_cut = true;
        u->stalls_received = client_shakes + chance_below(4 * MIB);
        return MAY_END(END_UPSTREAM_STALLED);
    default: u->stalls_sent = chance_below(upstream_shakes); return MAY_END(END_CLIENT_LEFT_EARLY);
    }
}

void
scenario_stalls(const char *scenario, uint64_t seed)
{
    enum stall stall = (enum stall)(seed % STALLS);
    struct scripted script[8];
    measure_handshake(scenario, seed);
    rig_begin(scenario, seed, 8 * MIB, 1);
    snprintf(world.detail, sizeof world.detail, "%s", stall_names[stall]);
    struct client_plan p = bulk_plan(script, 8, NBD_CMD_READ);
    uint64_t allowed = set_stall(stall, &p, script);
    nstime began = world.now;
    rig_client(&p, 0);
    rig_run();
    nstime took = world.now - began;
    nstime least = 60 * NS_PER_SEC, most = 130 * NS_PER_SEC;
    if (stall == IN_OPTION || stall == UPSTREAM_IN_HANDSHAKE) {
        least = (stall == IN_OPTION ? 10 : 5) * NS_PER_SEC;
        most = 25 * NS_PER_SEC;
    }
    expect(took >= least && took <= most, "it took %.3f s", (double)took / 1e9);
    rig_check(allowed);
    rig_end();
}

void
scenario_budgets(const char *scenario, uint64_t seed)
{
    rig_begin(scenario, seed, 2 * MIB, 1);
    struct limits *l = &rig->settings.limits;
    l->max_in_flight = (unsigned)chance_between(1, 16);
    l->max_in_flight_bytes = chance_between(4096, 512 << 10);
    rig->upstream.jitter_percent = 50;
    any_formats(&rig->upstream);
    struct client_plan p = sim_client_plan();
    any_format(&p);
    p.requests = 150;
    p.in_flight = 40;
    p.longest = 128 << 10;
    p.types =
        1u << NBD_CMD_READ | 1u << NBD_CMD_WRITE | 1u << NBD_CMD_FLUSH | 1u << NBD_CMD_WRITE_ZEROES;
    p.slow_reader = chance_of(30);
    rig_client(&p, 0);
    rig_run();
    rig_check(LEFT);
    const struct sim_upstream *u = &rig->upstream;
    expect(u->most_in_flight <= l->max_in_flight, "%llu in flight, and %u are allowed",
           (unsigned long long)u->most_in_flight, l->max_in_flight);
    expect(u->most_payload < l->max_in_flight_bytes + p.longest,
           "%llu bytes in flight, and %llu are allowed", (unsigned long long)u->most_payload,
           (unsigned long long)l->max_in_flight_bytes);
    rig_end();
}

// Draining ----------------------------------------------------------------------------------

static void
drain_clients(bool probe, struct scripted *script)
{
    for (unsigned i = 0; i < 3; i++) {
        struct client_plan p = sim_client_plan();
        any_format(&p);
        p.tls_required = rig->listener.tls;
        if (p.tls_required)
            any_starttls(&p);
        p.requests = 60;
        p.think = 300 * NS_PER_US;
        p.conflicts = probe;
        p.may_be_cut = true;
        p.start = world.now + chance_below(40 * NS_PER_MS);
        p.leave = chance_of(50) ? LEAVE_STAY : LEAVE_EOF;
        if (probe && i == 0) {
            *script = (struct scripted){
                .type = NBD_CMD_WRITE_ZEROES, .flags = NBD_CMD_FLAG_FAST_ZERO, .length = 16 * MIB};
            p.start = world.now;
            p.script = script;
            p.n_script = 1;
        }
        rig_client(&p, -1);
    }
}

void
scenario_drain(const char *scenario, uint64_t seed)
{
    bool probe = seed % 2;
    struct scripted script;
    rig_begin(scenario, seed, probe ? 17 * MIB : MIB, 1 + (unsigned)(seed % 3));
    nstime within = chance_of(30) ? chance_below(20 * NS_PER_MS) : 30 * NS_PER_SEC;
    any_formats(&rig->upstream);
    if (chance_of(40)) {
        rig_tls_clients(CLIENT_TLS_REQUIRE, SIM_PEER);
        rig_tls_upstream();
    }
    drain_clients(probe, &script);
    world_run(world.now + chance_below(60 * NS_PER_MS));
    nstime began = world.now;
    rig->oracle.draining = true;
    for (unsigned i = 0; i < rig->n_workers; i++)
        rig_drain(i, within);
    rig_run();
    for (unsigned i = 0; i < rig->n_workers; i++)
        expect(rig->drains[i].done_at <= began + within + NS_PER_SEC + NS_PER_MS,
               "drained after %.3f s", (double)(rig->drains[i].done_at - began) / 1e9);
    rig_check(LEFT | MAY_END(END_DRAINED) | MAY_END(END_CLIENT_BROKEN) |
              MAY_END(END_CLIENT_LEFT_EARLY));
    expect(!rig->counted.probes.damaged, "a chunk was not written back");
    rig_end();
}
