// SPDX-License-Identifier: BSD-3-Clause
// All that peers do wrong with STARTTLS and in the handshake behind it: who does is refused, nobody
// falls back to plaintext, nothing of plaintext is believed, and another client is served
// meanwhile.
#include "scenarios.h"

#include <stdio.h>

#define LEFT (MAY_END(END_CLIENT_DISC) | MAY_END(END_CLIENT_EOF))

// It never does anything wrong.
static void
add_witness(bool tls)
{
    struct client_plan p = sim_client_plan();
    any_format(&p);
    if (tls)
        any_starttls(&p);
    p.tls_required = tls && rig->listener.tls == CLIENT_TLS_REQUIRE;
    p.requests = 10;
    p.name = rig->upstream.kind == KIND_OLDSTYLE ? "" : "disk";
    p.region = (struct range){32 << 10, 32 << 10};
    p.longest = 8 << 10;
    p.leave = LEAVE_EOF;
    rig_client(&p, -1);
}

static void
check_witness(unsigned i)
{
    const struct sim_client *c = rig->clients[i];
    expect(c->answered == c->plan.requests, "the other client was not served");
}

// Clients ---------------------------------------------------------------------------------

static void
bad_client(enum tls_trouble trouble)
{
    static const uint64_t endings[] = {
        [TLS_FINE] = LEFT,
        [TLS_INJECTED] = MAY_END(END_CLIENT_BREACH) | MAY_END(END_CLIENT_TLS),
        [TLS_PLAINTEXT] = MAY_END(END_CLIENT_TLS),
        [TLS_SILENT] = MAY_END(END_HANDSHAKE_TIMEOUT),
        [TLS_REFUSED] = MAY_END(END_CLIENT_TLS),
        [TLS_STRANGER] = MAY_END(END_CLIENT_TLS),
        [TLS_SUSPICIOUS] =
            MAY_END(END_CLIENT_TLS) | MAY_END(END_CLIENT_LEFT_EARLY) | MAY_END(END_CLIENT_BROKEN),
    };
    struct client_plan p = sim_client_plan();
    any_handshake(&p);
    enum client_tls tls = chance_of(50) ? CLIENT_TLS_ALLOW : CLIENT_TLS_REQUIRE;
    rig_tls_clients(tls, SIM_PEER);
    p.tls_required = tls == CLIENT_TLS_REQUIRE;
    any_starttls(&p);
    p.trouble = trouble;
    p.may_be_cut = trouble;
    p.requests = 3;
    nstime began = world.now;
    struct sim_client *c = rig_client(&p, 0);
    add_witness(true);
    rig_run();
    rig_check(LEFT | endings[trouble]);
    uint64_t times = 0;
    for (unsigned e = 0; e < SESSION_ENDINGS_COUNT; e++)
        if (endings[trouble] & MAY_END(e))
            times += rig->endings[e];
    expect(times >= 1, "it did not end as it should");
    bool at_once = trouble == TLS_INJECTED && c->sock->peer->grain == GRAIN_WHOLE;
    expect(!at_once || rig->endings[END_CLIENT_BREACH], "what came with STARTTLS was not seen");
    expect(!at_once || !c->line.secure, "STARTTLS was acknowledged all the same");
    expect(c->answered == (trouble ? 0 : 3), "%llu requests were served",
           (unsigned long long)c->answered);
    expect(trouble != TLS_SILENT || world.now - began < 15 * NS_PER_SEC, "it took too long");
    check_witness(1);
}

// A client that says much in plaintext and nothing of it again: all is as if never said.
static void
forgetful_client(void)
{
    static const struct scripted script[] = {
        {.type = NBD_CMD_BLOCK_STATUS, .length = 4096, .alone = true},
        {.type = NBD_CMD_READ, .length = 4096, .alone = true},
    };
    rig_tls_clients(CLIENT_TLS_ALLOW, SIM_NOBODY);
    struct client_plan p = sim_client_plan();
    bool again = chance_of(50);
    plan_format(&p, (enum wire_format)(1 + chance_below(2)), 5,
                (uint32_t[]){NBD_OPT_LIST, NBD_OPT_INFO, NBD_OPT_SET_META_CONTEXT, NBD_OPT_STARTTLS,
                             again ? NBD_OPT_STRUCTURED_REPLY : NBD_OPT_LIST});
    p.steps[p.n_steps++] = NBD_OPT_GO;
    p.tls = true;
    p.block_size = chance_of(50);
    p.name = rig->upstream.kind == KIND_OLDSTYLE ? "" : "disk";
    p.script = script;
    p.n_script = 2;
    p.in_flight = 1;
    struct sim_client *c = rig_client(&p, 0);
    rig_run();
    rig_check(LEFT);
    expect(c->answered == 2 && c->errors == 1, "%llu replies, %llu errors",
           (unsigned long long)c->answered, (unsigned long long)c->errors);
    expect(c->format == (again ? FORMAT_STRUCTURED : FORMAT_SIMPLE), "a format survived");
    expect(rig->upstream.connections >= 2, "a connection of plaintext times was used again");
}

// Upstreams -------------------------------------------------------------------------------

static void
bad_upstream(enum tls_trouble trouble)
{
    struct sim_upstream *u = &rig->upstream;
    rig_tls_upstream();
    u->trouble = trouble;
    if (trouble == TLS_TROUBLES) { // one that has none
        u->kind = chance_of(50) ? KIND_OLDSTYLE : KIND_NEWSTYLE;
        u->trouble = TLS_FINE;
    }
    struct client_plan p = sim_client_plan();
    any_handshake(&p);
    p.requests = 3;
    p.may_be_cut = true;
    nstime began = world.now;
    struct sim_client *c = rig_client(&p, 0);
    rig_run();
    bool named = p.steps[p.n_steps - 1] == NBD_OPT_EXPORT_NAME;
    rig_check(MAY_END(named ? END_UPSTREAM_UNREACHABLE : END_CLIENT_LEFT_EARLY));
    expect(named || c->refusal == NBD_REP_ERR_PLATFORM, "GO was answered 0x%x", c->refusal);
    bool begun = u->begun[0] || u->begun[1] || u->begun[2];
    expect(!c->answered && (!begun || u->kind == KIND_OLDSTYLE), "transmission has begun");
    expect(atomic_load(&rig->upstream_counters.failed) > 0, "nobody has counted a failure");
    expect(world.now - began < (p.n_steps + 1) * 6 * NS_PER_SEC, "it took too long");
}

// Which one goes wrong, and how, is told by the seed.
void
scenario_tls_handshake(const char *scenario, uint64_t seed)
{
    rig_begin(scenario, seed, 64 << 10, 1 + (unsigned)(seed / 64 % 2));
    any_upstream(&rig->upstream);
    enum tls_trouble trouble = (enum tls_trouble)(seed / 2 % (TLS_TROUBLES + 1));
    bool upstream = seed % 2;
    snprintf(world.detail, sizeof world.detail, "%s, trouble %u", upstream ? "upstream" : "client",
             trouble);
    if (upstream)
        bad_upstream(trouble ? trouble : TLS_TROUBLES);
    else if (trouble <= TLS_SUSPICIOUS)
        bad_client(trouble);
    else
        forgetful_client();
    rig_end();
}
