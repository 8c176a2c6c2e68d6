// SPDX-License-Identifier: BSD-3-Clause
// A scratch area that is measured at the start, and anew, beside clients, by a worker of its own:
// what is found is the truth, nothing is written outside, and clients lose nothing, whatever fails
// and whenever it is ended.
#include "scenarios.h"

#define DISK (33u * MIB)

static const struct range area = {0, 16 * MIB};

static void
add_clients(unsigned n, unsigned workers)
{
    for (unsigned i = 0; i < n; i++) {
        struct client_plan p = sim_client_plan();
        any_format(&p);
        p.start = chance_of(50) ? 0 : world.now + chance_below(2 * NS_PER_SEC);
        p.requests = (unsigned)chance_between(10, 200);
        p.in_flight = (unsigned)chance_between(1, 6);
        p.conflicts = true;
        p.think = chance_between(10 * NS_PER_US, 20 * NS_PER_MS);
        p.longest = (uint32_t)chance_between(64 << 10, 2 * MIB);
        p.fast_percent = 50;
        p.types = 1u << NBD_CMD_READ | 1u << NBD_CMD_WRITE | 1u << NBD_CMD_WRITE_ZEROES |
                  1u << NBD_CMD_FLUSH | 1u << NBD_CMD_TRIM | 1u << NBD_CMD_BLOCK_STATUS;
        p.region = (struct range){range_end(area), DISK - range_end(area)};
        p.leave = (enum leave)chance_below(2);
        p.may_be_cut = rig->oracle.loose;
        rig_client(&p, (int)chance_below(workers));
    }
}

static bool
spoil(void)
{
    static const uint32_t errors[] = {NBD_EIO, NBD_ENOSPC, NBD_EINVAL, NBD_ENOTSUP};
    struct sim_upstream *u = &rig->upstream;
    switch (chance_below(4)) {
    case 0:
        u->fault.at = 1 + (unsigned)chance_below(200);
        u->fault.count = (unsigned)chance_between(1, 50);
        u->fault.error = errors[chance_below(4)];
        break;
    case 1:
        u->doomed = 1;
        u->death = (enum death)chance_below(DEATHS);
        *(chance_of(50) ? &u->dies_sent : &u->dies_received) = chance_between(300, 32 * MIB);
        break;
    default: return false;
    }
    rig->oracle.loose = true;
    return true;
}

void
scenario_scratch(const char *scenario, uint64_t seed)
{
    unsigned workers = 1 + (unsigned)(seed % 2);
    bool fast = chance_next() % 2;
    rig_begin(scenario, seed, DISK, workers + 1);
    struct sim_upstream *u = &rig->upstream;
    sim_upstream_cost(u, 1.0, fast ? 1000 : 1.0, 20 * NS_PER_US, 50 * NS_PER_US);
    any_formats(u);
    bool spoilt = spoil();
    rig->oracle.scratch = area;
    rig->upstream_settings.scratch = (struct scratch_settings){.given = true, .range = area};
    worker_scratch(rig->workers[workers], &rig->settings);
    add_clients((unsigned)chance_below(4), workers);
    nstime ends = world.now + (chance_of(50) ? chance_below(200 * NS_PER_MS)
                                             : 2 * NS_PER_SEC + chance_below(100 * NS_PER_SEC));
    bool early = ends < world.now + 2 * NS_PER_SEC;
    world_run(ends);
    rig_drain(workers, 0);
    rig_run();
    rig_check(MAY_END(END_CLIENT_DISC) | MAY_END(END_CLIENT_EOF) | MAY_END(END_CLIENT_BROKEN) |
              (spoilt ? MAY_END(END_UPSTREAM_LOST) : 0));
    const struct export_counters *n = &rig->counted;
    expect(spoilt || early || n->probes.run, "nothing was measured");
    expect(spoilt || !(fast ? n->probes.slow : n->probes.fast), "%s was found %s",
           fast ? "fast" : "slow", fast ? "slow" : "fast");
    expect(!u->fast_zeroes, "FAST_ZERO went upstream");
    rig_end();
}
