// SPDX-License-Identifier: BSD-3-Clause
// The scenarios: each is one run (or, where every cut is tried, a row of runs) under one seed.
#ifndef SIM_SCENARIOS_H
#define SIM_SCENARIOS_H

#include "rig.h"

// X(name on the command line, function, how many seeds by default)
#define SCENARIOS(X)                                                                               \
    X("handshake", scenario_handshake, 3000)                                                       \
    X("handshake-cuts", scenario_handshake_cuts, 8)                                                \
    X("transmission-cuts", scenario_transmission_cuts, 4)                                          \
    X("format-cuts", scenario_format_cuts, 1)                                                      \
    X("client-vanishes", scenario_client_vanishes, 6)                                              \
    X("upstream-vanishes", scenario_upstream_vanishes, 6)                                          \
    X("probe-truth", scenario_probe_truth, 60)                                                     \
    X("probe-faults", scenario_probe_faults, 100)                                                  \
    X("probe-vanishing", scenario_probe_vanishing, 120)                                            \
    X("probe-teaching", scenario_probe_teaching, 60)                                               \
    X("scratch", scenario_scratch, 60)                                                             \
    X("rivals", scenario_rivals, 40)                                                               \
    X("zombies", scenario_zombies, 40)                                                             \
    X("guards", scenario_guards, 200)                                                              \
    X("owed-flush", scenario_owed_flush, 80)                                                       \
    X("stalls", scenario_stalls, 60)                                                               \
    X("budgets", scenario_budgets, 60)                                                             \
    X("drain", scenario_drain, 100)                                                                \
    X("traffic", scenario_traffic, 400)                                                            \
    X("huge-zero", scenario_huge_zero, 20)                                                         \
    X("huge-traffic", scenario_huge_traffic, 30)                                                   \
    X("fua-by-flush", scenario_fua_by_flush, 400)                                                  \
    X("read-loss", scenario_read_loss, 180)                                                        \
    X("repair-traffic", scenario_repair_traffic, 200)                                              \
    X("repair-halves", scenario_repair_halves, 300)                                                \
    X("lean", scenario_lean, 200)                                                                  \
    X("repair-cuts", scenario_repair_cuts, 1)                                                      \
    X("repair-lost", scenario_repair_lost, 60)                                                     \
    X("routes", scenario_routes, 1500)                                                             \
    X("tls", scenario_tls, 300)                                                                    \
    X("tls-handshake", scenario_tls_handshake, 600)                                                \
    X("tls-cuts", scenario_tls_cuts, 1)

#define X(name, function, runs) void function(const char *scenario, uint64_t seed);
SCENARIOS(X)
#undef X

// What chance decides of an upstream's nature: its flags, forms of reply, costs.
void any_upstream(struct sim_upstream *u);
// And of a client's handshake.
void any_handshake(struct client_plan *p);
// The formats alone, of either, and base:allocation or not.
void any_formats(struct sim_upstream *u);
void any_format(struct client_plan *p);
// A handshake with STARTTLS in it, somewhere; all that is before it is for nothing.
void any_starttls(struct client_plan *p);

#endif
