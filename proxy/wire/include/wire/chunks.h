// SPDX-License-Identifier: BSD-3-Clause
// May an upstream send this chunk, in reply to this request, now? (spec: "Structured reply types".)
// One `chunk_track` a request in flight; pure bookkeeping, no payload is kept.
#ifndef WIRE_CHUNKS_H
#define WIRE_CHUNKS_H

#include <base/bytes.h>
#include <base/limits.h>
#include <wire/codec.h>

// Holes in the coverage of a READ that arrives out of order. More than this are only counted, not
// checked for overlap: no server in the field answers like that.
#define CHUNK_GAPS 4

// The longest error chunk: an ERROR_OFFSET with the longest text.
#define MAX_ERROR_CHUNK (14u + MAX_STRING)

struct chunk_track {
    uint64_t offset; // of the request
    uint64_t length; // of the request; 32 bits but for what moves no data in the extended format
    uint16_t command;
    uint16_t flags; // of the request
    uint8_t n_spans;
    uint8_t format;    // enum wire_format of the upstream connection
    bool failed;       // an error chunk has been seen
    bool content;      // a content chunk has been seen (DF allows one)
    uint32_t covered;  // bytes of READ content seen
    uint32_t contexts; // bit i: context i of the connection's table has been answered
    struct {
        uint32_t from, to; // relative to offset, sorted, disjoint, not touching
    } spans[CHUNK_GAPS];
};

// `f`: what the upstream connection speaks. A READ must be shorter than 2^32.
void chunk_track_begin(struct chunk_track *t, enum wire_format f, const struct request *r);

// How many bytes of payload chunk_judge() needs to see: 0, 4, 8, 12 or, for errors, all of it (at
// most MAX_ERROR_CHUNK). `h` is a chunk's. Its length is checked here: where this does not return
// -1 it fits 32 bits, whatever the format. -1: the header alone is a breach (*why is then a
// literal).
int chunk_head_size(const struct chunk_track *t, const struct reply *h, const char **why);

// What a chunk says, once judged.
struct chunk_facts {
    uint64_t offset;   // DATA, HOLE, ERROR_OFFSET
    uint32_t length;   // DATA: bytes of data behind the 8 of the offset. HOLE: its size
    uint32_t error;    // errors: the value as sent, EIO instead of 0
    struct bytes text; // errors: points into head
    uint32_t context;  // block status: index into the table of ids
    uint32_t extents;  // block status: how many follow
    bool done;
};

// Judges a chunk by its header and the first chunk_head_size() bytes of its payload, and notes it.
// `ids` are the context ids of the connection, at most MAX_CONTEXTS. Returns NULL if it is sound,
// else why it is a breach (a literal): the caller then drops the upstream.
const char *chunk_judge(struct chunk_track *t, const struct reply *h, const uint8_t *head,
                        const uint32_t *ids, unsigned n_ids, struct chunk_facts *facts);

// Extents of a block status chunk, n of them, as they pass; extent_size() bytes each. `*total` is
// the sum of the lengths so far (starts at 0); it stays below 2^63, and so does the end of what
// they describe, but whether they go on behind the export is for the caller to look at. NULL or why
// they are a breach.
const char *chunk_extents(const struct chunk_track *t, const uint8_t *p, unsigned n,
                          uint64_t *total);

#endif
