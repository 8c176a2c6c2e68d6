// SPDX-License-Identifier: BSD-3-Clause
// FUA over upstreams that know only FLUSH, whose cache is lost in a power cut: what was promised to
// be safe is looked at on the disk in the moment of the promise.
#include "scenarios.h"

void
scenario_fua_by_flush(const char *scenario, uint64_t seed)
{
    rig_begin(scenario, seed, MIB, 1 + (unsigned)(seed % 3));
    struct sim_upstream *u = &rig->upstream;
    any_upstream(u);
    u->flags |= NBD_FLAG_SEND_FLUSH;
    u->flags &= (uint16_t) ~(NBD_FLAG_SEND_FUA | NBD_FLAG_SEND_FAST_ZERO);
    bool fails = chance_of(40);
    if (fails)
        u->fault = (struct fault){.at = 1 + (unsigned)chance_below(20),
                                  .count = (unsigned)chance_between(1, 3),
                                  .error = NBD_EIO,
                                  .only = 1u << NBD_CMD_FLUSH};
    unsigned clients = 1 + (unsigned)chance_below(3);
    for (unsigned i = 0; i < clients; i++) {
        struct client_plan p = sim_client_plan();
        any_handshake(&p);
        p.requests = (unsigned)chance_between(10, 80);
        p.in_flight = (unsigned)chance_between(1, 16);
        p.types = 1u << NBD_CMD_READ | 1u << NBD_CMD_WRITE | 1u << NBD_CMD_WRITE_ZEROES |
                  1u << NBD_CMD_TRIM;
        p.fast_percent = 20;
        p.think = chance_of(30) ? NS_PER_MS : 0;
        p.leave = (enum leave)chance_below(2);
        rig_client(&p, -1);
    }
    rig_run();
    rig_check(MAY_END(END_CLIENT_DISC) | MAY_END(END_CLIENT_EOF));
    if (!fails)
        for (unsigned i = 0; i < clients; i++)
            expect(rig->clients[i]->flags & NBD_FLAG_SEND_FUA, "FUA is not offered");
    rig_end();
}
