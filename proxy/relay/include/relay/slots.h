// SPDX-License-Identifier: BSD-3-Clause
// Requests that are upstream, by the cookie we gave them: index and generation of a slot, so that a
// reply that comes late, twice, or for somebody else finds nothing. One table a worker; it grows in
// chunks, never by request, and is used by one thread.
#ifndef RELAY_SLOTS_H
#define RELAY_SLOTS_H

#include <base/range.h>
#include <base/time.h>
#include <stdbool.h>
#include <stdint.h>
#include <wire/chunks.h>

struct task;

struct slot {
    uint32_t index, generation;
    void *owner;              // the session; NULL: the slot is free
    struct task *task;        // whose step it is; NULL: a client's request, passed on
    struct slot *next, *prev; // of the owner's; or the next free one
    uint64_t client_cookie;
    nstime began;             // when the request was parsed, or the step submitted
    uint64_t writes_before;   // a FLUSH: how many writes had been acknowledged when it was sent
    uint32_t error;           // of an error chunk that has come, as it was sent on
    bool native_fast;         // FAST_ZERO went upstream: EINVAL and EOVERFLOW become ENOTSUP
    bool fua;                 // a FLUSH of ours must follow before the client is answered
    uint16_t client_flags;    // as the client sent them
    uint64_t client_length;   // as the client sent it: a BLOCK_STATUS may go upstream shorter
    bool quiet;               // nothing else of the worker was upstream when it was sent,
    uint64_t submitted;       // its number among all that the worker ever sent there
    struct chunk_track track; // the request as it went upstream, and what has come of its reply
};

struct slot_table;

struct slot_table *slot_table_new(void);
void slot_table_free(struct slot_table *t);

// NULL: out of memory.
struct slot *slot_table_claim(struct slot_table *t, void *owner);
void slot_table_release(struct slot_table *t, struct slot *s);
// NULL: no such cookie of this owner.
struct slot *slot_table_find(struct slot_table *t, uint64_t cookie, const void *owner);

static inline uint64_t
slot_cookie(const struct slot *s)
{
    return (uint64_t)s->generation << 32 | s->index;
}

// The request of a client, as it sent it. Not of a task's step.
static inline struct request
slot_request(const struct slot *s)
{
    return (struct request){.type = s->track.command,
                            .flags = s->client_flags,
                            .cookie = s->client_cookie,
                            .offset = s->track.offset,
                            .length = s->client_length};
}

static inline struct range
slot_range(const struct slot *s)
{
    return (struct range){.offset = s->track.offset, .length = s->track.length};
}

#endif
