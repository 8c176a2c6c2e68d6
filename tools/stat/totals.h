// SPDX-License-Identifier: BSD-3-Clause
// What all exports together do: the throughput of the process.
#ifndef STAT_TOTALS_H
#define STAT_TOTALS_H

#include "sample.h"

#define COMMANDS_COUNT 7
// Names in the snapshot, and shorter ones for tables.
extern const char *const command_keys[COMMANDS_COUNT];
extern const char *const command_words[COMMANDS_COUNT];

struct totals {
    // A second; negative: not known.
    double requests, errors, bytes_in, bytes_out;
    uint64_t in_flight, connections;
};

struct totals totals_of(const struct look *l);

// Of one export (`before` NULL: not known), over all commands.
struct traffic {
    double requests, errors, bytes_in, bytes_out; // a second
};
struct traffic traffic_of(const struct look *l, const json_t *export, const json_t *before);

#endif
