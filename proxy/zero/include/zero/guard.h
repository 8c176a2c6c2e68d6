// SPDX-License-Identifier: BSD-3-Clause
// The range guard as one worker sees it: which range of which storage somebody probes or repairs,
// or is about to, so that requests which overlap it wait. Almost always empty. Pure; one thread.
#ifndef ZERO_GUARD_H
#define ZERO_GUARD_H

#include <base/range.h>
#include <stdbool.h>
#include <stdint.h>

// Which bytes a session reads and writes, as far as a proxy can know. `address` and `name` are
// hashes.
struct storage {
    uint64_t address; // as dialled, whoever we are there
    uint64_t name;    // of the export, as upstream was asked for it
    uint64_t size;
};

// True where both may be the same bytes. One export stays itself when its size changes while some
// are connected. Names are no identity: "" and "disk" may be one storage, so exports of one size at
// one address are taken for one. Where they are not after all, somebody waits for nothing.
static inline bool
storage_may_be_shared(struct storage a, struct storage b)
{
    return a.address == b.address && (a.name == b.name || a.size == b.size);
}

struct guard {
    struct storage storage;
    uint64_t probe; // whose it is; unique in the process, not 0
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
guards_find(const struct guards *g, struct storage storage, struct range range, uint64_t except,
            bool changes)
{
    const struct guard *found = g->first;
    while (found && !(storage_may_be_shared(found->storage, storage) && found->probe != except &&
                      (changes || !found->reads_pass) && range_overlaps(found->range, range)))
        found = found->next;
    return found;
}

#endif
