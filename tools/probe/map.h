// SPDX-License-Identifier: BSD-3-Clause
// Where data is stored, from block status: its beginning, and the longest run of it. Pure.
#ifndef PROBE_MAP_H
#define PROBE_MAP_H

#include <base/range.h>
#include <stdbool.h>
#include <stdint.h>

// So long a run is enough for every level, with samples to spare: no need to look on.
#define MAP_ENOUGH (UINT64_C(128) << 20)
// This long a one has room for every level.
#define MAP_USEFUL  (UINT64_C(34) << 20)
#define MAP_QUERIES 2000u // at most

struct map {
    struct range whole; // to be looked at
    uint64_t at;        // known up to here
    struct range run;   // of data that ends at `at`
    struct range first, best;
    unsigned queries;
};

void map_begin(struct map *m, struct range whole);
// The next query, or false: it is over.
bool map_next(struct map *m, struct range *query);
// An extent of its answer. What goes on behind the whole is cut.
void map_extent(struct map *m, uint64_t length, bool data);
// Where to look for chunks, from the most promising place on; empty where no data is stored.
struct range map_choice(const struct map *m);

#endif
