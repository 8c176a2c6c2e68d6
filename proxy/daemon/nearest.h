// SPDX-License-Identifier: BSD-3-Clause
// "Did you mean ...?": the name that a misspelt one most likely stands for.
#ifndef DAEMON_NEAREST_H
#define DAEMON_NEAREST_H

#include <stddef.h>

struct nearest {
    const char *wanted;
    const char *best; // NULL until something is near enough
    size_t distance;
};

static inline struct nearest
nearest_to(const char *wanted)
{
    return (struct nearest){.wanted = wanted};
}

// Keeps `candidate` (by reference) if it is nearer than what came before. Near enough is: at most a
// third of the longer name's letters inserted, left out, changed or swapped with the next, and at
// least two allowed.
void nearest_offer(struct nearest *n, const char *candidate);

#endif
