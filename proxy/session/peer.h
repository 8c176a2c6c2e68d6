// SPDX-License-Identifier: BSD-3-Clause
// The connection to the server that is measured, in its transmission phase: one request at a time,
// each timed, every reply checked.
#ifndef SESSION_PEER_H
#define SESSION_PEER_H

#include "greeting.h"

#include <base/range.h>
#include <wire/chunks.h>

// Not more than fits one message: peer_most().
struct peer_request {
    uint16_t command, flags;
    uint64_t offset;
    uint64_t length;
    struct buf *buf; // READ: where to, NULL: nowhere; WRITE: from where
    uint32_t at;     // in buf
};

struct peer_result {
    uint32_t error;
    nstime took;   // submission to reaping
    bool clean;    // nothing disturbed the measurement
    bool all_zero; // READ: nothing but zeroes
};

struct peer_handler {
    void (*opened)(void *ctx);
    void (*done)(void *ctx, const struct peer_result *r);
    void (*extent)(void *ctx, uint64_t length, uint32_t flags); // of base:allocation, in order
    // It cannot be had, or is gone; nothing more will come of it.
    void (*lost)(void *ctx, const char *what);
};

struct peer {
    struct ring *ring;
    const struct peer_handler *handler;
    void *ctx;
    struct greeting greeting;
    struct stream *stream; // NULL before opened, and after lost
    struct timer stuck;

    // The request in flight.
    bool busy;
    struct peer_request request;
    uint64_t cookie;
    nstime sent_at;
    struct chunk_track track;
    struct peer_result result;
    uint64_t payload_left; // of the reply that passes,
    uint64_t payload_at;   // data: where it belongs, in the request's range
    bool payload_extents;  // it is not data
    bool last;             // and it ends the reply
    uint64_t extents_total;
};

// `upstream` and the export's name must outlive it.
bool peer_open(struct peer *p, struct ring *ring, const struct upstream_settings *upstream,
               struct bytes name, const struct peer_handler *handler, void *ctx);
// Says goodbye where nothing is in flight. No call comes after it.
void peer_close(struct peer *p);

static inline const struct server_facts *
peer_facts(const struct peer *p)
{
    return &p->greeting.facts;
}

// The longest READ and WRITE.
uint32_t peer_most(const struct peer *p);

// Only while none is in flight. Not from within a call of `extent`.
void peer_send(struct peer *p, const struct peer_request *r);

#endif
