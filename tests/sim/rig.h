// SPDX-License-Identifier: BSD-3-Clause
// One run: a disk, its upstream, the proxy's workers, and clients; and the checks at its end.
#ifndef SIM_RIG_H
#define SIM_RIG_H

#include "disk.h"
#include "fake_io.h"
#include "oracle.h"
#include "sim_client.h"
#include "sim_upstream.h"

#include <base/endings.h>
#include <export/registry.h>
#include <session/settings.h>
#include <session/worker.h>

#define CLIENTS_MAX 8
#define MIB         (1u << 20)

struct rig {
    struct disk disk;
    struct oracle oracle;
    struct sim_upstream upstream;
    struct registry *registry;
    unsigned n_workers;
    struct ring *rings[RINGS_MAX];
    struct worker *workers[RINGS_MAX];
    struct settings settings;
    struct upstream_settings upstream_settings;
    struct listener_settings listener;
    struct listener_counters counters;
    unsigned n_clients;
    struct sim_client *clients[CLIENTS_MAX];
    struct draining {
        struct letter letter;
        unsigned worker;
        nstime within;
        bool asked, done;
        nstime done_at;
    } drains[RINGS_MAX];
    // After rig_check():
    uint64_t endings[SESSION_ENDINGS_COUNT];
    struct export_counters counted;
};

extern struct rig *rig; // the one of this run
// What all runs have counted, for people: a scenario that never meets its case proves nothing.
extern struct export_counters rig_counted;
extern uint64_t rig_endings[SESSION_ENDINGS_COUNT];
extern uint64_t rig_requests, rig_runs;

// A disk of `size` bytes full of data, an upstream with everything but FAST_ZERO, and the defaults
// of interface.md; to be changed before the first client is added.
void rig_begin(const char *scenario, uint64_t seed, uint64_t size, unsigned workers);
// Any worker; `worker` below 0: by chance.
struct sim_client *rig_client(const struct client_plan *plan, int worker);
void rig_drain(unsigned worker, nstime within);
// Runs until nothing happens any more.
void rig_run(void);
// Everybody has left: nothing may be left over, and the disk must be as clients were told. Each
// session must have ended in one of the ways of `allowed` (a bit for each).
void rig_check(uint64_t allowed);
void rig_end(void);

#define MAY_END(e) (UINT64_C(1) << (e))

#endif
