// SPDX-License-Identifier: BSD-3-Clause
// Traffic through TLS on either side, or both, in which connections break at any byte.
#include "scenarios.h"

void
any_starttls(struct client_plan *p)
{
    unsigned at = (unsigned)chance_below(p->n_steps);
    expect(p->n_steps < STEPS_MAX, "too many options");
    memmove(p->steps + at + 1, p->steps + at, (p->n_steps - at) * sizeof *p->steps);
    memmove(p->names + at + 1, p->names + at, (p->n_steps - at) * sizeof *p->names);
    p->steps[at] = NBD_OPT_STARTTLS;
    p->names[at] = NULL;
    p->n_steps++;
    p->tls = true;
}

static struct client_plan
any_client(enum client_tls tls)
{
    struct client_plan p = sim_client_plan();
    any_handshake(&p);
    p.tls_required = tls == CLIENT_TLS_REQUIRE;
    if (p.tls_required || (tls == CLIENT_TLS_ALLOW && chance_of(75)))
        any_starttls(&p);
    p.requests = (unsigned)chance_between(4, 80);
    p.in_flight = (unsigned)chance_between(1, 24);
    p.longest = 256 << 10;
    p.think = chance_of(30) ? NS_PER_MS : 0;
    p.leave = (enum leave)chance_below(2);
    p.slow_reader = chance_of(10);
    return p;
}

// Somebody's connection breaks, somewhere.
static void
any_misfortune(struct client_plan *p, unsigned clients)
{
    struct sim_upstream *u = &rig->upstream;
    rig->oracle.loose = p->may_be_cut = p->sound = true;
    p->death = (enum death)chance_below(DEATHS);
    if (chance_of(30))
        p->dies_sent = chance_between(1, 400 << 10);
    else if (chance_of(30))
        p->dies_received = chance_between(1, 400 << 10);
    if (u->doomed)
        return;
    u->doomed = 1 + (unsigned)chance_below(clients);
    u->death = (enum death)chance_below(DEATHS);
    if (chance_of(50))
        u->dies_sent = chance_between(1, 400 << 10);
    else
        u->dies_received = chance_between(1, 400 << 10);
}

void
scenario_tls(const char *scenario, uint64_t seed)
{
    unsigned sides = 1 + (unsigned)(seed % 3);
    bool breaks = seed / 3 % 2;
    rig_begin(scenario, seed, MIB, 1 + (unsigned)(seed / 6 % 3));
    any_upstream(&rig->upstream);
    enum client_tls tls = CLIENT_TLS_OFF;
    if (sides & 1) {
        tls = chance_of(50) ? CLIENT_TLS_ALLOW : CLIENT_TLS_REQUIRE;
        rig_tls_clients(tls, chance_of(50) ? SIM_PEER : SIM_NOBODY);
    }
    if (sides & 2)
        rig_tls_upstream();
    unsigned clients = 1 + (unsigned)chance_below(4);
    for (unsigned i = 0; i < clients; i++) {
        struct client_plan p = any_client(tls);
        if (breaks)
            any_misfortune(&p, clients);
        rig_client(&p, -1);
    }
    rig_run();
    uint64_t allowed = MAY_END(END_CLIENT_DISC) | MAY_END(END_CLIENT_EOF);
    if (breaks)
        allowed |= MAY_END(END_CLIENT_LEFT_EARLY) | MAY_END(END_CLIENT_CUT) |
                   MAY_END(END_CLIENT_BROKEN) | MAY_END(END_UPSTREAM_LOST) |
                   MAY_END(END_UPSTREAM_UNREACHABLE) | MAY_END(END_REFUSED_EXPORT) |
                   (tls ? MAY_END(END_CLIENT_TLS) : 0);
    rig_check(allowed);
    const struct sim_upstream *u = &rig->upstream;
    expect(breaks || !(sides & 2) || u->secured == u->connections,
           "%u connections upstream, and %u of them in TLS", u->connections, u->secured);
    rig_end();
}
