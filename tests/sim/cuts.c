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
    bool repair;  // upstream insists on blocks of 4096 bytes, and the client does not know
    bool tls;     // on both sides
    bool formats; // which formats meet is given: client's and upstream's
    enum wire_format client, upstream;
};

// How many bytes went which way, in the last run.
static uint64_t client_sent, client_got, upstream_sent, upstream_got;
static unsigned upstream_connections;

static void
doom(struct client_plan *p, enum what what, uint64_t at, enum death death)
{
    struct sim_upstream *u = &rig->upstream;
    u->doomed = p->tls ? upstream_connections : 1; // STARTTLS of the client makes a new one
    u->death = p->death = death;
    p->may_be_cut = rig->oracle.loose = what >= UPSTREAM_DIES;
    p->sound = true; // whatever happens upstream, to a client with chunks
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
        if (type == NBD_CMD_WRITE && chance_of(60))
            script[i].flags = NBD_CMD_FLAG_FUA;
        if (type == NBD_CMD_BLOCK_STATUS && chance_of(30))
            script[i].flags = NBD_CMD_FLAG_REQ_ONE;
    }
    return n;
}

// What the proxy and an upstream speak that serves a client of this format.
static enum wire_format
upstream_speaks(enum wire_format client, const struct sim_upstream *u)
{
    if (u->kind != KIND_FIXED)
        return FORMAT_SIMPLE;
    if (u->only_extended || (client == FORMAT_EXTENDED && u->extended))
        return FORMAT_EXTENDED;
    return client == FORMAT_SIMPLE || u->no_structured ? FORMAT_SIMPLE : FORMAT_STRUCTURED;
}

// What was not negotiated cannot be asked for. (Without contexts upstream there is
// base:allocation.)
static bool
is_servable(const struct client_plan *p, const struct sim_upstream *u)
{
    bool chunks = false, contexts = false;
    bool has_other = !u->no_meta && upstream_speaks(plan_speaks(p), u) != FORMAT_SIMPLE;
    for (unsigned i = 0; i < p->n_steps; i++) {
        if (p->tls && p->steps[i] == NBD_OPT_STARTTLS)
            chunks = contexts = false;
        chunks |=
            p->steps[i] == NBD_OPT_STRUCTURED_REPLY || p->steps[i] == NBD_OPT_EXTENDED_HEADERS;
        if (p->steps[i] == NBD_OPT_SET_META_CONTEXT)
            contexts = chunks && (!p->no_allocation || (p->other_context && has_other));
    }
    return contexts;
}

static void
set_formats(const struct conversation *v, struct client_plan *p, struct sim_upstream *u)
{
    u->kind = KIND_FIXED;
    u->no_go = u->no_meta = false;
    u->no_structured = v->upstream == FORMAT_SIMPLE;
    u->extended = v->upstream == FORMAT_EXTENDED;
    u->only_extended = u->extended && v->client < FORMAT_EXTENDED; // or nobody asks for it
    p->name = "disk";
    p->other_context = true;
    p->no_allocation = false;
    if (v->client == FORMAT_SIMPLE)
        plan_format(p, v->client, 1, (uint32_t[]){NBD_OPT_GO});
    else
        plan_format(p, v->client, 2, (uint32_t[]){NBD_OPT_SET_META_CONTEXT, NBD_OPT_GO});
}

static void
set_tls(struct client_plan *p)
{
    enum client_tls tls = chance_of(50) ? CLIENT_TLS_ALLOW : CLIENT_TLS_REQUIRE;
    rig_tls_clients(tls, SIM_PEER);
    rig_tls_upstream();
    p->tls_required = tls == CLIENT_TLS_REQUIRE;
    any_starttls(p);
}

static void
adjust_script(const struct client_plan *p, struct scripted *script)
{
    bool status = is_servable(p, &rig->upstream);
    bool fast = rig->upstream_settings.policy.zero.policy != ZERO_OFF;
    for (unsigned i = 0; i < p->n_script; i++) {
        if (script[i].type == NBD_CMD_BLOCK_STATUS && !status)
            script[i] = (struct scripted){
                .type = NBD_CMD_READ, .offset = script[i].offset, .length = script[i].length};
        if (script[i].type == NBD_CMD_READ && plan_speaks(p) != FORMAT_SIMPLE && chance_of(30))
            script[i].flags = NBD_CMD_FLAG_DF;
        if (!fast) // it advertises its own, and may refuse
            script[i].flags &= (uint16_t)~NBD_CMD_FLAG_FAST_ZERO;
    }
}

static void
check_formats(const struct conversation *v)
{
    enum wire_format f = upstream_speaks(v->client, &rig->upstream);
    expect(f == v->upstream || v->client == FORMAT_SIMPLE, "that pair cannot be made");
    expect(rig->upstream.begun[f] == 1, "upstream was not asked for %s", wire_format_name(f));
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
    if (v->formats)
        set_formats(v, &p, &rig->upstream);
    if (v->repair)
        rig_repairs();
    if (v->tls)
        set_tls(&p);
    p.block_size &= !v->repair;
    rig->upstream.flags |= NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_TRIM;
    p.script = script;
    p.n_script = make_script(script, v->requests);
    adjust_script(&p, script);
    p.in_flight = 1 + (unsigned)(v->seed % 4);
    p.leave = (enum leave)(v->seed % 2);
    if (at)
        doom(&p, what, at, v->death);
    struct sim_client *c = rig_client(&p, 0);
    rig_run();
    rig_check(at ? v->allowed : MAY_END(END_CLIENT_DISC) | MAY_END(END_CLIENT_EOF));
    expect(what >= CLIENT_DIES || c->answered == p.n_script, "not all was answered");
    if (v->formats && what < CLIENT_DIES)
        check_formats(v);
    if (!at)
        upstream_connections = rig->upstream.connections;
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

// Each format on either side.
void
scenario_format_cuts(const char *scenario, uint64_t seed)
{
    for (unsigned pair = 0; pair < 9; pair++) {
        struct conversation v = {.scenario = scenario, .seed = seed, .requests = 6};
        v.formats = true;
        v.client = (enum wire_format)(pair / 3);
        v.upstream = (enum wire_format)(pair % 3);
        every_cut(&v);
    }
}

// And upstream goes away between the READ and the WRITE of a repair, or anywhere.
void
scenario_repair_cuts(const char *scenario, uint64_t seed)
{
    struct conversation v = {.scenario = scenario, .seed = seed, .requests = 7, .repair = true};
    every_cut(&v);
    talk(&v, CUT_CLIENT, 0);
    uint64_t sent = upstream_sent;
    v.death = (enum death)(seed % DEATHS);
    v.allowed = UPSTREAM_GONE;
    try_all(&v, UPSTREAM_DIES, sent);
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

// From the first byte in plaintext to the last in TLS.
void
scenario_tls_cuts(const char *scenario, uint64_t seed)
{
    struct conversation v = {.scenario = scenario, .seed = seed, .requests = 4, .tls = true};
    every_cut(&v);
    talk(&v, CUT_CLIENT, 0);
    uint64_t sent = client_sent, got = client_got, from = upstream_sent, to = upstream_got;
    v.death = (enum death)(seed % DEATHS);
    v.allowed = CLIENT_GONE | MAY_END(END_CLIENT_TLS);
    try_all(&v, CLIENT_DIES, sent);
    try_all(&v, CLIENT_DIES_READING, got);
    v.allowed = UPSTREAM_GONE;
    try_all(&v, UPSTREAM_DIES, from);
    try_all(&v, UPSTREAM_DIES_READING, to);
}
