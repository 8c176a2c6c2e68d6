// SPDX-License-Identifier: BSD-3-Clause
// The range guard as one worker sees it: which chunk of which export is being probed by somebody,
// so that requests which overlap it wait. Almost always empty. Pure; one thread.
#ifndef ZERO_GUARD_H
#define ZERO_GUARD_H

#include <base/range.h>
#include <stdbool.h>
#include <stdint.h>

// Every probe guards one chunk at a time; those whose upstream broke leave a guard behind for a moment.
#define GUARDS_MAX 8

struct guard {
    const void *export; // identity only
    uint64_t probe;     // which probe; unique in the process, not 0
    struct range range;
};

struct guards {
    unsigned n;
    struct guard list[GUARDS_MAX];
};

void guards_add(struct guards *g, const struct guard *guard);
// False if there was none of this probe.
bool guards_remove(struct guards *g, uint64_t probe);

// The guard that holds back a request on this export and range, or NULL. `except`: a probe's own.
static inline const struct guard *
guards_find(const struct guards *g, const void *export, struct range range, uint64_t except)
{
    for (unsigned i = 0; i < g->n; i++)
        if (g->list[i].export == export && g->list[i].probe != except &&
            range_overlaps(g->list[i].range, range))
            return &g->list[i];
    return 0;
}

#endif
