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

// A second upstream behind the same listener.
struct site {
    struct disk disk;
    struct oracle oracle;
    struct sim_upstream upstream;
    struct upstream_settings settings;
    struct upstream_counters counters;
};

#define EXPORTS_MAX 4

struct rig {
    struct disk disk;
    struct oracle oracle;
    struct sim_upstream upstream;
    struct site *other; // NULL: there is none
    struct registry *registry;
    unsigned n_workers;
    struct ring *rings[RINGS_MAX];
    struct worker *workers[RINGS_MAX];
    struct settings settings;
    struct upstream_settings upstream_settings;
    struct upstream_counters upstream_counters;
    struct listener_settings listener;
    const struct listener_settings *shown_by[1];
    struct export_settings exports[EXPORTS_MAX];
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
extern uint64_t rig_requests, rig_huge, rig_runs; // huge: above 32 bits
extern uint64_t rig_formats[3];                   // upstream connections in transmission

// A disk of `size` bytes full of data (or, above 64 MiB, empty), an upstream with everything but
// FAST_ZERO, and the defaults of interface.md; to be changed before the first client is added.
void rig_begin(const char *scenario, uint64_t seed, uint64_t size, unsigned workers);
// The second upstream, whose export is called "other"; only exports lead there.
struct site *rig_other(uint64_t size);
// The first upstream has blocks of 4096 bytes and insists on them; block-size = repair is set.
void rig_repairs(void);
// The listener has TLS, and of its clients demands that they show who they are, or not.
void rig_tls_clients(enum client_tls tls, enum sim_identity demands);
// The first upstream is fixed newstyle, and reached by TLS only.
void rig_tls_upstream(void);
// An [export] section: clients' `name` is the export `upstream_name` of that upstream.
struct export_settings *rig_export(const char *name, const struct upstream_settings *u,
                                   const char *upstream_name);
// Any worker; `worker` below 0: by chance. The client is served by the first upstream, or the
// other.
struct sim_client *rig_client(const struct client_plan *plan, int worker);
struct sim_client *rig_client_of_other(const struct client_plan *plan, int worker);
void rig_drain(unsigned worker, nstime within);
// Runs until nothing happens any more.
void rig_run(void);
// Everybody has left: nothing may be left over, and the disk must be as clients were told. Each
// session must have ended in one of the ways of `allowed` (a bit for each).
void rig_check(uint64_t allowed);
void rig_end(void);

#define MAY_END(e) (UINT64_C(1) << (e))

#endif
