// SPDX-License-Identifier: BSD-3-Clause
// Clients on several workers that write where one of them has a probe under way: each acknowledged
// write must be there afterwards, in some serial order.
#include "scenarios.h"

#define DISK (17u * MIB)

static void
add_rivals(unsigned n, nstime start)
{
    for (unsigned i = 0; i < n; i++) {
        struct client_plan p = sim_client_plan();
        any_format(&p);
        p.start = start;
        p.requests = (unsigned)chance_between(40, 400);
        p.in_flight = (unsigned)chance_between(1, 6);
        p.conflicts = true;
        p.think = chance_between(10 * NS_PER_US, 500 * NS_PER_US);
        p.longest = (uint32_t)chance_between(64 << 10, 2 * MIB);
        p.fast_percent = 30;
        p.types = 1u << NBD_CMD_READ | 1u << NBD_CMD_WRITE | 1u << NBD_CMD_WRITE_ZEROES |
                  1u << NBD_CMD_FLUSH | 1u << NBD_CMD_TRIM | 1u << NBD_CMD_BLOCK_STATUS;
        if (chance_of(30)) // where the large chunks are
            p.region = (struct range){2 * MIB, 8 * MIB};
        p.leave = (enum leave)chance_below(2);
        rig_client(&p, -1);
    }
}

void
scenario_rivals(const char *scenario, uint64_t seed)
{
    struct scripted script[4];
    rig_begin(scenario, seed, DISK, 1 + (unsigned)(seed % 3));
    struct sim_upstream *u = &rig->upstream;
    sim_upstream_cost(u, 0.5, chance_of(50) ? 0.5 : 500, 20 * NS_PER_US, 100 * NS_PER_US);
    u->jitter_percent = chance_of(50) ? 30 : 0;
    any_formats(u);
    struct client_plan p = sim_client_plan();
    for (unsigned i = 0; i < 4; i++)
        script[i] = (struct scripted){.type = NBD_CMD_WRITE_ZEROES,
                                      .flags = i < 3 ? NBD_CMD_FLAG_FAST_ZERO : 0,
                                      .offset = chance_below(2) * MIB / 2,
                                      .length = 16 * MIB,
                                      .pause = 1 + chance_below(3 * NS_PER_MS),
                                      .alone = true};
    if (chance_of(50))
        script[1].flags |= NBD_CMD_FLAG_NO_HOLE;
    p.script = script;
    p.n_script = 4;
    rig_client(&p, -1);
    add_rivals(1 + (unsigned)chance_below(4), 0);
    rig_run();
    rig_check(MAY_END(END_CLIENT_DISC) | MAY_END(END_CLIENT_EOF));
    expect(!u->fast_zeroes, "FAST_ZERO went upstream");
    rig_end();
}

// The upstream connection of who probes breaks, and what was on its way there is done a while
// later: nobody's write may be undone by that.
void
scenario_zombies(const char *scenario, uint64_t seed)
{
    struct scripted script[2];
    rig_begin(scenario, seed, DISK, 1 + (unsigned)(seed % 3));
    struct sim_upstream *u = &rig->upstream;
    sim_upstream_cost(u, 0.5, 0.5, 20 * NS_PER_US, 100 * NS_PER_US); // slow, so only probes zero
    any_formats(u);
    u->doomed = 1;
    u->death = (enum death)chance_below(DEATHS);
    u->dies_changing = 5;
    u->zombies = rig->oracle.loose = true;
    struct client_plan p = sim_client_plan();
    for (unsigned i = 0; i < 2; i++)
        script[i] = (struct scripted){.type = NBD_CMD_WRITE_ZEROES,
                                      .flags = NBD_CMD_FLAG_FAST_ZERO,
                                      .length = 16 * MIB,
                                      .alone = true};
    script[1].flags |= NBD_CMD_FLAG_NO_HOLE;
    p.script = script;
    p.n_script = 2;
    p.may_be_cut = true;
    rig_client(&p, 0);
    add_rivals(1 + (unsigned)chance_below(3), world.now + 3 * NS_PER_MS);
    rig_run();
    rig_check(MAY_END(END_CLIENT_DISC) | MAY_END(END_CLIENT_EOF) | MAY_END(END_UPSTREAM_LOST) |
              MAY_END(END_CLIENT_BROKEN));
    rig_end();
}

// One client's zeroes are measured, with FLUSHes of the proxy's own, and one of them fails: whoever
// has written meanwhile must hear of it, for storage reports a failed flush only once.
void
scenario_owed_flush(const char *scenario, uint64_t seed)
{
    struct scripted script[6];
    rig_begin(scenario, seed, DISK, 1 + (unsigned)(seed % 2));
    struct sim_upstream *u = &rig->upstream;
    sim_upstream_cost(u, 0.5, chance_of(50) ? 0.5 : 500, 20 * NS_PER_US, 100 * NS_PER_US);
    if (chance_of(30))
        u->cost[NBD_CMD_FLUSH].fixed = chance_between(20 * NS_PER_MS, 200 * NS_PER_MS);
    u->fault = (struct fault){.at = 1 + (unsigned)chance_below(30),
                              .count = (unsigned)chance_between(1, 3),
                              .error = NBD_EIO,
                              .only = 1u << NBD_CMD_FLUSH,
                              .connection = 1};
    struct client_plan p = sim_client_plan();
    for (unsigned i = 0; i < 6; i++)
        script[i] = (struct scripted){.type = NBD_CMD_WRITE_ZEROES,
                                      .flags = NBD_CMD_FLAG_FAST_ZERO,
                                      .length = i == 3 ? 16 * MIB : 64 << 10,
                                      .pause = 1 + chance_below(4 * NS_PER_MS),
                                      .alone = true};
    p.script = script;
    p.n_script = 6;
    rig_client(&p, -1);
    any_formats(u);
    struct client_plan writer = sim_client_plan();
    any_format(&writer);
    writer.region = (struct range){16 * MIB, MIB};
    writer.types = 1u << NBD_CMD_WRITE | 1u << NBD_CMD_FLUSH;
    writer.start = world.now + 3 * NS_PER_MS; // it is the second to connect
    writer.requests = 100;
    writer.in_flight = 2;
    writer.think = chance_between(100 * NS_PER_US, 4 * NS_PER_MS);
    rig_client(&writer, -1);
    rig_run();
    rig_check(MAY_END(END_CLIENT_DISC) | MAY_END(END_CLIENT_EOF));
    rig_end();
}
