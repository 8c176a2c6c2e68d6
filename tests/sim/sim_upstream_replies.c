// SPDX-License-Identifier: BSD-3-Clause
// Replies of the model upstream, in every form that the specification allows.
#include "sim_upstream.h"

#include <stdlib.h>
#include <wire/codec.h>

#define PIECES 4u

static uint8_t *
part(struct job *j, size_t n)
{
    uint8_t *p = calloc(1, n);
    expect(p && j->n_parts < 8, "out of memory");
    j->part_len[j->n_parts] = n;
    return j->parts[j->n_parts++] = p;
}

static void
simple(struct job *j, size_t data)
{
    uint8_t *p = part(j, SIMPLE_REPLY_SIZE + data);
    simple_reply_encode(p, j->cookie, j->error);
    if (data)
        memcpy(p + SIMPLE_REPLY_SIZE, j->data, data);
}

static void
error_chunk(struct job *j, bool done)
{
    static const char text[] = "this did not work";
    uint16_t len = (uint16_t)chance_below(sizeof text);
    bool offset = j->type == NBD_CMD_READ && chance_of(50);
    uint32_t size = 6u + len + (offset ? 8 : 0);
    uint8_t *p = part(j, CHUNK_SIZE + size);
    chunk_encode(p, done ? NBD_REPLY_FLAG_DONE : 0,
                 offset ? NBD_REPLY_TYPE_ERROR_OFFSET : NBD_REPLY_TYPE_ERROR, j->cookie, size);
    put_be32(p + CHUNK_SIZE, j->error);
    put_be16(p + CHUNK_SIZE + 4, len);
    memcpy(p + CHUNK_SIZE + 6, text, len);
    if (offset)
        put_be64(p + CHUNK_SIZE + 6 + len, j->range.offset);
}

static void
none_chunk(struct job *j)
{
    chunk_encode(part(j, CHUNK_SIZE), NBD_REPLY_FLAG_DONE, NBD_REPLY_TYPE_NONE, j->cookie, 0);
}

static void
data_chunk(struct job *j, uint32_t from, uint32_t to, bool done)
{
    uint16_t flags = done ? NBD_REPLY_FLAG_DONE : 0;
    uint32_t n = to - from;
    if (bytes_all_zero(j->data + from, n) && chance_of(70)) {
        uint8_t *p = part(j, CHUNK_SIZE + 12);
        chunk_encode(p, flags, NBD_REPLY_TYPE_OFFSET_HOLE, j->cookie, 12);
        put_be64(p + CHUNK_SIZE, j->range.offset + from);
        put_be32(p + CHUNK_SIZE + 8, n);
        return;
    }
    uint8_t *p = part(j, CHUNK_SIZE + 8 + n);
    chunk_encode(p, flags, NBD_REPLY_TYPE_OFFSET_DATA, j->cookie, 8 + n);
    put_be64(p + CHUNK_SIZE, j->range.offset + from);
    memcpy(p + CHUNK_SIZE + 8, j->data + from, n);
}

// A few pieces, in any order.
static void
structured_read(struct job *j)
{
    uint32_t length = (uint32_t)j->range.length, cut[PIECES + 1] = {0};
    unsigned n = j->flags & NBD_CMD_FLAG_DF ? 1 : 1 + (unsigned)chance_below(PIECES);
    if (n > length / 512)
        n = 1;
    for (unsigned i = 1; i <= n; i++)
        cut[i] = i == n ? length : length / n / 512 * 512 * i;
    bool separate = chance_of(50); // the end has a chunk of its own
    unsigned order = (unsigned)chance_below(n);
    for (unsigned i = 0; i < n; i++) {
        unsigned k = (i + order) % n;
        data_chunk(j, cut[k], cut[k + 1], !separate && i == n - 1);
    }
    if (separate)
        none_chunk(j);
}

static void
read_fails(struct upstream_conn *c, struct job *j)
{
    if (!c->structured || chance_of(20)) { // nbd-server answers simply, whatever was agreed
        simple(j, 0);
        return;
    }
    bool separate = chance_of(30);
    error_chunk(j, !separate);
    if (separate)
        none_chunk(j);
}

static void
status_chunk(struct upstream_conn *c, struct job *j, uint32_t context, bool done)
{
    const struct disk *d = c->host->disk;
    unsigned most = j->flags & NBD_CMD_FLAG_REQ_ONE ? 1 : 1 + (unsigned)chance_below(6), n = 0;
    uint8_t extents[8 * 6];
    uint64_t at = j->range.offset;
    while (n < most && at < range_end(j->range)) {
        bool zero, hole;
        uint32_t len = disk_extent(d, at, (uint32_t)(range_end(j->range) - at), &zero, &hole);
        if (c->host->status_lies) {
            len = (uint32_t)(range_end(j->range) - at);
            zero = hole = true;
        }
        put_be32(extents + 8 * n, len);
        put_be32(extents + 8 * n++ + 4,
                 (zero ? NBD_STATE_ZERO : 0u) | (hole ? NBD_STATE_HOLE : 0u));
        at += len;
    }
    uint8_t *p = part(j, CHUNK_SIZE + 4 + 8 * n);
    chunk_encode(p, done ? NBD_REPLY_FLAG_DONE : 0, NBD_REPLY_TYPE_BLOCK_STATUS, j->cookie,
                 4 + 8 * n);
    put_be32(p + CHUNK_SIZE, context);
    memcpy(p + CHUNK_SIZE + 4, extents, 8 * n);
}

static void
status(struct upstream_conn *c, struct job *j)
{
    bool other = c->n_contexts > (unsigned)c->allocation;
    bool first = chance_of(50), separate = chance_of(30);
    if (c->allocation && first)
        status_chunk(c, j, CONTEXT_ALLOCATION, !other && !separate);
    if (other)
        status_chunk(c, j, CONTEXT_OTHER, (first || !c->allocation) && !separate);
    if (c->allocation && !first)
        status_chunk(c, j, CONTEXT_ALLOCATION, !separate);
    if (separate)
        none_chunk(j);
}

void
job_reply(struct upstream_conn *c, struct job *j)
{
    if (j->type == NBD_CMD_READ || j->type == NBD_CMD_BLOCK_STATUS) {
        if (j->error)
            read_fails(c, j);
        else if (j->type == NBD_CMD_BLOCK_STATUS)
            status(c, j);
        else if (c->structured)
            structured_read(j);
        else
            simple(j, (size_t)j->range.length);
    } else if (!c->structured || chance_of(60)) {
        simple(j, 0);
    } else if (j->error) {
        bool separate = chance_of(30);
        error_chunk(j, !separate);
        if (separate)
            none_chunk(j);
    } else {
        none_chunk(j);
    }
}
