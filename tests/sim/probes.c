// SPDX-License-Identifier: BSD-3-Clause
// Probes inside a request: on upstreams of which the truth is known, with an error at any
// operation, and with either peer gone in the middle. Whatever happens, ENOTSUP means that not a
// byte has changed (the oracle looks at the disk itself), and success that all of it is zero.
#include "scenarios.h"

#include <stdio.h>

#define DISK (17u * MIB)
#define ZERO (16u * MIB)

enum truth { SLOW, FAST, FAR_TOO_SLOW, TRUTHS };

static const char *const truth_names[] = {"slow", "fast", "out of time"};

static void
set_truth(enum truth truth)
{
    struct sim_upstream *u = &rig->upstream;
    switch (truth) {
    case SLOW: sim_upstream_cost(u, 1.0, 1.0, 20 * NS_PER_US, 50 * NS_PER_US); break;
    case FAST: sim_upstream_cost(u, 1.0, 1000, 20 * NS_PER_US, 50 * NS_PER_US); break;
    default: sim_upstream_cost(u, 0.004, 1000, NS_PER_MS, 5 * NS_PER_MS); break;
    }
    snprintf(world.detail, sizeof world.detail, "%s", truth_names[truth]);
}

static struct client_plan
one_zero(struct scripted *script, uint16_t flags)
{
    struct client_plan p = sim_client_plan();
    *script = (struct scripted){.type = NBD_CMD_WRITE_ZEROES, .flags = flags, .length = ZERO};
    script->offset = chance_below(DISK / 2 - ZERO / 2) / SECTOR * SECTOR;
    p.script = script;
    p.n_script = 1;
    any_format(&p);
    any_formats(&rig->upstream);
    p.leave = (enum leave)chance_below(2);
    return p;
}

static uint16_t
fast_flags(void)
{
    unsigned f = NBD_CMD_FLAG_FAST_ZERO;
    return (uint16_t)(f | (chance_of(50) ? NBD_CMD_FLAG_NO_HOLE : 0) |
                      (chance_of(30) ? NBD_CMD_FLAG_FUA : 0));
}

#define LEFT (MAY_END(END_CLIENT_DISC) | MAY_END(END_CLIENT_EOF))

void
scenario_probe_truth(const char *scenario, uint64_t seed)
{
    enum truth truth = (enum truth)(seed % TRUTHS);
    struct scripted script;
    rig_begin(scenario, seed, DISK, 1 + (unsigned)chance_below(2));
    set_truth(truth);
    rig->upstream.has_block_size = chance_of(30); // bound to parts of a megabyte
    rig->upstream.minimum = 1;
    rig->upstream.preferred = 4096;
    rig->upstream.maximum = MIB;
    rig->upstream.status_lies = chance_of(20);
    uint16_t flags = fast_flags();
    if (rig->upstream.status_lies) // with NO_HOLE nobody would find out before the probe
        flags &= (uint16_t)~NBD_CMD_FLAG_NO_HOLE;
    struct client_plan p = one_zero(&script, flags);
    p.block_size = true;
    p.lied_to = rig->upstream.status_lies;
    script.offset = script.offset / DISK_BLOCK * DISK_BLOCK;
    struct sim_client *c = rig_client(&p, 0);
    rig_run();
    rig_check(LEFT);
    const struct export_counters *n = &rig->counted;
    expect(n->probes.run == 1, "%llu probes", (unsigned long long)n->probes.run);
    expect(n->probes.fast == (truth == FAST), "found fast, and is not, or the other way round");
    expect(n->probes.slow == (truth == SLOW) || truth == FAR_TOO_SLOW, "found slow, and is not");
    expect(c->refused == (truth != FAST), "the answer does not fit the finding");
    expect(!rig->upstream.fast_zeroes, "FAST_ZERO went upstream");
    rig_end();
}

void
scenario_probe_faults(const char *scenario, uint64_t seed)
{
    static const uint32_t errors[] = {NBD_EIO, NBD_ENOSPC, NBD_EINVAL, NBD_ENOTSUP};
    struct scripted script[3];
    rig_begin(scenario, seed, DISK, 1);
    set_truth((enum truth)(seed % 2));
    struct sim_upstream *u = &rig->upstream;
    u->fault.at = 1 + (unsigned)chance_below(70);
    u->fault.count = chance_of(70) ? 1 : (unsigned)chance_between(2, 200);
    u->fault.error = errors[chance_below(4)];
    if (chance_of(30)) {
        u->fault.only = 1u << NBD_CMD_FLUSH | 1u << NBD_CMD_WRITE;
        u->fault.at = 1 + (unsigned)chance_below(30);
    }
    uint16_t flags = fast_flags();
    struct client_plan p = one_zero(script, chance_of(80) ? flags : flags & NBD_CMD_FLAG_FUA);
    script[1] = (struct scripted){.type = NBD_CMD_READ, .length = 128 << 10, .alone = true};
    script[2] = (struct scripted){.type = NBD_CMD_FLUSH, .alone = true};
    p.n_script = 3;
    rig_client(&p, 0);
    rig_run();
    rig_check(LEFT);
    rig_end();
}

// The client, or the upstream, is gone at any time.
void
scenario_probe_vanishing(const char *scenario, uint64_t seed)
{
    struct scripted script;
    rig_begin(scenario, seed, DISK, 1 + (unsigned)chance_below(2));
    set_truth((enum truth)(seed % TRUTHS));
    struct sim_upstream *u = &rig->upstream;
    struct client_plan p = one_zero(&script, fast_flags());
    uint64_t allowed = LEFT;
    if (chance_of(50)) {
        u->doomed = 1;
        u->death = (enum death)chance_below(DEATHS);
        *(chance_of(50) ? &u->dies_sent : &u->dies_received) = chance_between(300, 32 * MIB);
        p.may_be_cut = rig->oracle.loose = true;
        allowed |= MAY_END(END_UPSTREAM_LOST);
    }
    struct sim_client *c = rig_client(&p, 0);
    if (!u->doomed) {
        nstime span = seed % TRUTHS == FAR_TOO_SLOW ? 2 * NS_PER_SEC : 80 * NS_PER_MS;
        world_run(world.now + NS_PER_MS + chance_below(span));
        if (c->state == CLIENT_TRANSMISSION) {
            c->state = CLIENT_LEFT;
            if (chance_of(50))
                sock_reset(c->sock);
            else
                sock_close(c->sock);
        }
        allowed |= MAY_END(END_CLIENT_BROKEN);
    }
    rig_run();
    rig_check(allowed);
    expect(!u->fast_zeroes, "FAST_ZERO went upstream");
    rig_end();
}

// Plain zeroes that teach; the first FLUSH may be so slow that the probe is given up before it.
void
scenario_probe_teaching(const char *scenario, uint64_t seed)
{
    struct scripted script[3];
    rig_begin(scenario, seed, DISK, 1);
    set_truth((enum truth)(seed % TRUTHS));
    struct sim_upstream *u = &rig->upstream;
    if (chance_of(40))
        u->cost[NBD_CMD_FLUSH].fixed = chance_between(10 * NS_PER_MS, 300 * NS_PER_MS);
    uint16_t flags = chance_of(50) ? NBD_CMD_FLAG_NO_HOLE : 0;
    struct client_plan p = one_zero(script, flags | (chance_of(30) ? NBD_CMD_FLAG_FUA : 0));
    script[1] = (struct scripted){.type = NBD_CMD_WRITE, .length = 64 << 10, .alone = true};
    script[2] = script[0];
    script[2].flags = flags | NBD_CMD_FLAG_FAST_ZERO;
    script[2].alone = true;
    p.n_script = 3;
    struct sim_client *c = rig_client(&p, 0);
    rig_run();
    rig_check(LEFT);
    expect(c->refused <= 1 && c->errors == c->refused, "a plain zero was not served");
    expect(rig->counted.probes.run >= 1, "nothing was learnt");
    rig_end();
}
