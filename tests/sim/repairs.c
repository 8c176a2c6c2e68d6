// SPDX-License-Identifier: BSD-3-Clause
// Upstreams of 4096-byte blocks that refuse anything else, and clients of 512: block-size = repair.
#include "scenarios.h"

#define BLOCK 4096u
#define LEFT  (MAY_END(END_CLIENT_DISC) | MAY_END(END_CLIENT_EOF))

static void
repaired_upstream(void)
{
    struct sim_upstream *u = &rig->upstream;
    any_upstream(u);
    rig_repairs();
    u->maximum = MIB;
}

void
scenario_repair_traffic(const char *scenario, uint64_t seed)
{
    rig_begin(scenario, seed, MIB, 1 + (unsigned)(seed % 3));
    repaired_upstream();
    struct sim_upstream *u = &rig->upstream;
    if (chance_of(30))
        u->fault = (struct fault){.at = 1 + (unsigned)chance_below(60),
                                  .count = (unsigned)chance_between(1, 5),
                                  .error = chance_of(50) ? NBD_EIO : NBD_ENOSPC};
    unsigned clients = 1 + (unsigned)chance_below(4);
    for (unsigned i = 0; i < clients; i++) {
        struct client_plan p = sim_client_plan();
        any_handshake(&p);
        p.name = chance_of(50) ? "disk" : ""; // two exports to us, and one storage
        if (p.block_size)                     // it keeps to whole blocks then
            p.align = BLOCK;
        p.requests = (unsigned)chance_between(10, 80);
        p.in_flight = (unsigned)chance_between(1, 12);
        p.longest = chance_of(20) ? MIB : 32 << 10;
        p.leave = (enum leave)chance_below(2);
        rig_client(&p, -1);
    }
    rig_run();
    rig_check(LEFT);
    rig_end();
}

// One of the connections breaks, and what it had asked for is done a while later.
static void
doom_one(unsigned clients)
{
    struct sim_upstream *u = &rig->upstream;
    u->doomed = 1 + (unsigned)chance_below(clients);
    u->death = (enum death)chance_below(DEATHS);
    u->dies_changing = 5;
    u->zombies = true;
    rig->oracle.loose = true;
}

// Each of several clients, on whichever worker and under whichever name, writes to a part of its
// own of the same few blocks: no write may undo another's.
void
scenario_repair_halves(const char *scenario, uint64_t seed)
{
    rig_begin(scenario, seed, 64 << 10, 2 + (unsigned)(seed % 2));
    repaired_upstream();
    unsigned clients = 2u << chance_below(3);
    uint64_t share = 2 * BLOCK / clients;
    if (clients == 2 && chance_of(50))
        share = BLOCK / 2; // the two halves of one
    if (seed % 3 == 0)
        doom_one(clients);
    for (unsigned i = 0; i < clients; i++) {
        struct client_plan p = sim_client_plan();
        plan_format(&p, (enum wire_format)chance_below(3), 1, (uint32_t[]){NBD_OPT_GO});
        p.name = chance_of(50) ? "disk" : "";
        p.region = (struct range){BLOCK + i * share, share};
        p.requests = 40;
        p.in_flight = (unsigned)chance_between(1, 4);
        p.types = 1u << NBD_CMD_READ | 1u << NBD_CMD_WRITE | 1u << NBD_CMD_WRITE_ZEROES |
                  1u << NBD_CMD_TRIM | 1u << NBD_CMD_FLUSH;
        p.think = chance_of(50) ? 200 * NS_PER_US : 0;
        p.may_be_cut = rig->upstream.doomed;
        rig_client(&p, (int)(i % rig->n_workers));
    }
    rig_run();
    rig_check(rig->upstream.doomed ? LEFT | MAY_END(END_UPSTREAM_LOST) |
                                         MAY_END(END_CLIENT_LEFT_EARLY) | MAY_END(END_CLIENT_BROKEN)
                                   : LEFT);
    rig_end();
}

#define EDGE    5u // the block in which they meet
#define WRITERS 6u

// Upstream is lost in the moment when an older repair of a session, the second edge of a zero,
// waits for a newer one: that one gives up its turn first, and the older one's comes while there is
// nobody left to ask.
static void
old_waits_for_new(void)
{
    static struct scripted script[1 + WRITERS];
    struct sim_upstream *u = &rig->upstream;
    script[0] =
        (struct scripted){.type = NBD_CMD_WRITE_ZEROES, .offset = SECTOR, .length = EDGE * BLOCK};
    for (unsigned i = 0; i < WRITERS; i++)
        script[1 + i] = (struct scripted){
            .type = NBD_CMD_WRITE, .offset = EDGE * BLOCK + (2 + i) * SECTOR, .length = SECTOR};
    u->cost[NBD_CMD_READ].fixed = NS_PER_MS;
    struct client_plan p = sim_client_plan();
    plan_format(&p, (enum wire_format)chance_below(3), 1, (uint32_t[]){NBD_OPT_GO});
    p.script = script;
    p.n_script = p.in_flight = 1 + WRITERS;
    p.may_be_cut = rig->oracle.loose = true;
    rig_client(&p, -1);
    world_run(world.now + 2 * NS_PER_MS + chance_below(8 * NS_PER_MS));
    if (u->conns) {
        u->conns->sock->death = (enum death)chance_below(DEATHS);
        sock_die(u->conns->sock);
    }
    rig_run();
    rig_check(LEFT | MAY_END(END_UPSTREAM_LOST));
}

#define READS 8u

// A client that reads nothing has a repair under way; another one's write to the same block must
// not wait for it.
static void
one_reads_nothing(void)
{
    static struct scripted script[READS + 1];
    for (unsigned i = 0; i < READS; i++)
        script[i] = (struct scripted){.type = NBD_CMD_READ, .offset = i * MIB, .length = MIB};
    script[READS] = (struct scripted){.type = NBD_CMD_WRITE, .offset = SECTOR, .length = SECTOR};
    struct client_plan p = sim_client_plan();
    plan_format(&p, (enum wire_format)chance_below(3), 1, (uint32_t[]){NBD_OPT_GO});
    p.script = script;
    p.n_script = p.in_flight = READS + 1;
    p.stops_reading = 200;       // behind the handshake
    rig->upstream.serial = true; // so that what is read for the repair comes behind all that
    p.may_be_cut = true;
    rig_client(&p, 0);
    static const struct scripted beside = {
        .type = NBD_CMD_WRITE, .offset = 3 * SECTOR, .length = SECTOR};
    struct client_plan other = sim_client_plan();
    other.script = &beside;
    other.n_script = 1;
    other.start = world.now + NS_PER_SEC;
    other.leave = LEAVE_EOF;
    struct sim_client *c = rig_client(&other, -1);
    world_run(world.now + 10 * NS_PER_SEC);
    expect(c->state == CLIENT_LEFT && c->answered == 1, "its write waits for another client");
    rig_run();
    rig_check(LEFT | MAY_END(END_CLIENT_STALLED));
    expect(rig->endings[END_CLIENT_STALLED] == 1, "that client did read");
}

void
scenario_repair_lost(const char *scenario, uint64_t seed)
{
    bool deaf = seed % 3 == 0;
    rig_begin(scenario, seed, deaf ? READS * MIB : 64 << 10, 1 + (unsigned)(seed % 2));
    rig_repairs();
    rig->upstream.maximum = MIB;
    if (deaf)
        one_reads_nothing();
    else
        old_waits_for_new();
    rig_end();
}
