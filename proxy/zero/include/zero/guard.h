// SPDX-License-Identifier: BSD-3-Clause
// The range guard as one worker sees it: which range of which storage somebody probes or repairs,
// or is about to, so that requests which overlap it wait. Almost always empty. Pure; one thread.
#ifndef ZERO_GUARD_H
#define ZERO_GUARD_H

#include <base/range.h>
#include <stdbool.h>
#include <stdint.h>

struct guard {
    uint64_t storage; // which bytes are meant: equal where they may be the same
    uint64_t probe;   // whose it is; unique in the process, not 0
    struct range range;
    bool reads_pass; // only what changes data waits
    struct guard *next;
};

struct guards {
    unsigned n;
    struct guard *first;
};

// The guard is the caller's, and must live until it is removed.
void guards_add(struct guards *g, struct guard *guard);
// False if there was none of this owner.
bool guards_remove(struct guards *g, uint64_t probe);

// The guard that holds back a request on this storage and range, or NULL. `except`: the asker's
// own. `changes`: the request changes data.
static inline const struct guard *
guards_find(const struct guards *g, uint64_t storage, struct range range, uint64_t except,
            bool changes)
{
    const struct guard *found = g->first;
    while (found && !(found->storage == storage && found->probe != except &&
                      (changes || !found->reads_pass) && range_overlaps(found->range, range)))
        found = found->next;
    return found;
}

#endif
