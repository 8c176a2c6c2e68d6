// SPDX-License-Identifier: BSD-3-Clause
// One conversation, again and again: cut at every byte on either side, or ended there by either
// peer. Under one seed all of them go the same way up to that byte.
#include "scenarios.h"

#include <stdio.h>

#define SMALL_DISK (64u << 10)

enum what {
    CUT_CLIENT,
    CUT_UPSTREAM,
    CLIENT_DIES,
    CLIENT_DIES_READING,
    UPSTREAM_DIES,
    UPSTREAM_DIES_READING
};

static const char *const what_names[] = {"client cut",
                                         "upstream cut",
                                         "client dies sending",
                                         "client dies receiving",
                                         "upstream dies sending",
                                         "upstream dies receiving"};

struct conversation {
    const char *scenario;
    uint64_t seed;
    unsigned requests; // 0: only the handshake
    uint64_t allowed;  // endings
    enum death death;
};

// How many bytes went which way, in the last run.
static uint64_t client_sent, client_got, upstream_sent, upstream_got;

static void
doom(struct client_plan *p, enum what what, uint64_t at, enum death death)
{
    struct sim_upstream *u = &rig->upstream;
    u->doomed = 1;
    u->death = p->death = death;
    p->may_be_cut = rig->oracle.loose = what >= UPSTREAM_DIES;
    switch (what) {
    case CUT_CLIENT: p->cut_sent = at; break;
    case CUT_UPSTREAM: u->cut_sent = at; break;
    case CLIENT_DIES: p->dies_sent = at; break;
    case CLIENT_DIES_READING: p->dies_received = at; break;
    case UPSTREAM_DIES: u->dies_sent = at; break;
    case UPSTREAM_DIES_READING: u->dies_received = at; break;
    }
}

// The requests of chance are the same in each run: made from the seed before anything else.
static unsigned
make_script(struct scripted *script, unsigned n)
{
    static const uint16_t types[] = {NBD_CMD_READ,  NBD_CMD_WRITE,        NBD_CMD_WRITE,
                                     NBD_CMD_FLUSH, NBD_CMD_WRITE_ZEROES, NBD_CMD_BLOCK_STATUS,
                                     NBD_CMD_READ,  NBD_CMD_WRITE_ZEROES, NBD_CMD_TRIM};
    for (unsigned i = 0; i < n; i++) {
        uint16_t type = types[(i + chance_below(2)) % (sizeof types / sizeof types[0])];
        script[i] = (struct scripted){.type = type};
        if (type == NBD_CMD_FLUSH)
            continue;
        script[i].offset = SMALL_DISK / n * i / SECTOR * SECTOR;
        script[i].length = SECTOR;
        if (type == NBD_CMD_WRITE_ZEROES && chance_of(60))
            script[i].flags = NBD_CMD_FLAG_FAST_ZERO;
    }
    return n;
}

// What was not negotiated cannot be asked for.
static bool
is_servable(const struct client_plan *p, const struct sim_upstream *u)
{
    bool structured = false, contexts = false;
    for (unsigned i = 0; i < p->n_steps; i++) {
        structured |= p->steps[i] == NBD_OPT_STRUCTURED_REPLY && !u->no_structured;
        contexts |= p->steps[i] == NBD_OPT_SET_META_CONTEXT && structured && !u->no_meta &&
                    (p->other_context || !p->no_allocation);
    }
    return contexts;
}

static void
talk(const struct conversation *v, enum what what, uint64_t at)
{
    struct scripted script[16];
    rig_begin(v->scenario, v->seed, SMALL_DISK, 1);
    if (at)
        snprintf(world.detail, sizeof world.detail, "%s at byte %llu", what_names[what],
                 (unsigned long long)at);
    struct client_plan p = sim_client_plan();
    any_upstream(&rig->upstream);
    any_handshake(&p);
    rig->upstream.flags |= NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_TRIM;
    p.script = script;
    p.n_script = make_script(script, v->requests);
    for (unsigned i = 0; i < p.n_script; i++)
        if (script[i].type == NBD_CMD_BLOCK_STATUS && !is_servable(&p, &rig->upstream))
            script[i].type = NBD_CMD_READ;
    for (unsigned i = 0; i < p.n_script; i++) // it advertises its own, and may refuse
        if (script[i].flags && rig->upstream_settings.policy.zero.policy == ZERO_OFF)
            script[i].flags = 0;
    p.in_flight = 1 + (unsigned)(v->seed % 4);
    p.leave = (enum leave)(v->seed % 2);
    if (at)
        doom(&p, what, at, v->death);
    struct sim_client *c = rig_client(&p, 0);
    rig_run();
    rig_check(at ? v->allowed : MAY_END(END_CLIENT_DISC) | MAY_END(END_CLIENT_EOF));
    expect(what >= CLIENT_DIES || c->answered == p.n_script, "not all was answered");
    client_sent = c->sock->peer->sent;
    client_got = c->sock->received;
    upstream_sent = rig->upstream.sent_bytes;
    upstream_got = rig->upstream.received_bytes;
    rig_end();
}

static void
try_all(struct conversation *v, enum what what, uint64_t bytes)
{
    for (uint64_t at = 1; at <= bytes; at++)
        talk(v, what, at);
}

#define LEFT (MAY_END(END_CLIENT_DISC) | MAY_END(END_CLIENT_EOF))
#define CLIENT_GONE                                                                                \
    (LEFT | MAY_END(END_CLIENT_LEFT_EARLY) | MAY_END(END_CLIENT_CUT) |                             \
     MAY_END(END_CLIENT_BROKEN) | MAY_END(END_CLIENT_ABORT))
#define UPSTREAM_GONE                                                                              \
    (LEFT | MAY_END(END_UPSTREAM_LOST) | MAY_END(END_UPSTREAM_UNREACHABLE) |                       \
     MAY_END(END_REFUSED_EXPORT) | MAY_END(END_CLIENT_LEFT_EARLY))

static void
every_cut(struct conversation *v)
{
    talk(v, CUT_CLIENT, 0);
    uint64_t from_client = client_sent, from_upstream = upstream_sent;
    v->allowed = LEFT;
    try_all(v, CUT_CLIENT, from_client);
    try_all(v, CUT_UPSTREAM, from_upstream);
}

void
scenario_handshake_cuts(const char *scenario, uint64_t seed)
{
    struct conversation v = {.scenario = scenario, .seed = seed, .requests = 1};
    every_cut(&v);
}

void
scenario_transmission_cuts(const char *scenario, uint64_t seed)
{
    struct conversation v = {.scenario = scenario, .seed = seed, .requests = 9};
    every_cut(&v);
}

void
scenario_client_vanishes(const char *scenario, uint64_t seed)
{
    struct conversation v = {.scenario = scenario, .seed = seed, .requests = 9};
    v.death = (enum death)(seed % DEATHS);
    talk(&v, CUT_CLIENT, 0);
    uint64_t sent = client_sent, got = client_got;
    v.allowed = CLIENT_GONE;
    try_all(&v, CLIENT_DIES, sent);
    try_all(&v, CLIENT_DIES_READING, got);
}

void
scenario_upstream_vanishes(const char *scenario, uint64_t seed)
{
    struct conversation v = {.scenario = scenario, .seed = seed, .requests = 9};
    v.death = (enum death)(seed % DEATHS);
    talk(&v, CUT_CLIENT, 0);
    uint64_t sent = upstream_sent, got = upstream_got;
    v.allowed = UPSTREAM_GONE;
    try_all(&v, UPSTREAM_DIES, sent);
    try_all(&v, UPSTREAM_DIES_READING, got);
}
