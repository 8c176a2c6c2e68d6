// SPDX-License-Identifier: BSD-3-Clause
// Replies of the model upstream, in every form that the specification allows.
#include "sim_upstream.h"

#include <stdlib.h>

#define PIECES 4u

static uint8_t *
part(struct job *j, size_t n)
{
    uint8_t *p = calloc(1, n);
    expect(p && j->n_parts < PARTS_MAX, "out of memory");
    j->part_len[j->n_parts] = n;
    return j->parts[j->n_parts++] = p;
}

// A chunk with room for `n` bytes of payload, which are returned.
static uint8_t *
chunk(const struct upstream_conn *c, struct job *j, bool done, uint16_t type, size_t n)
{
    uint8_t *p = part(j, chunk_size(c->format) + n);
    return p + chunk_encode(c->format, p, done ? NBD_REPLY_FLAG_DONE : 0, type, j->cookie,
                            j->range.offset, (uint32_t)n);
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
none_chunk(struct upstream_conn *c, struct job *j)
{
    chunk(c, j, true, NBD_REPLY_TYPE_NONE, 0);
}

static void
error_chunk(struct upstream_conn *c, struct job *j, bool done)
{
    static const char text[] = "this did not work";
    uint16_t len = (uint16_t)chance_below(sizeof text);
    bool offset = j->type == NBD_CMD_READ && chance_of(50);
    uint8_t *p = chunk(c, j, done, offset ? NBD_REPLY_TYPE_ERROR_OFFSET : NBD_REPLY_TYPE_ERROR,
                       6u + len + (offset ? 8 : 0));
    put_be32(p, j->error);
    put_be16(p + 4, len);
    memcpy(p + 6, text, len);
    if (offset)
        put_be64(p + 6 + len, j->range.offset + chance_below(j->range.length));
}

static void
error_chunks(struct upstream_conn *c, struct job *j)
{
    bool separate = chance_of(30);
    error_chunk(c, j, !separate);
    if (separate)
        none_chunk(c, j);
}

// READ --------------------------------------------------------------------------------------

static void
data_chunk(struct upstream_conn *c, struct job *j, uint32_t from, uint32_t to, bool done)
{
    uint32_t n = to - from;
    if (bytes_all_zero(j->data + from, n) && chance_of(70)) {
        uint8_t *p = chunk(c, j, done, NBD_REPLY_TYPE_OFFSET_HOLE, 12);
        put_be64(p, j->range.offset + from);
        put_be32(p + 8, n);
        return;
    }
    uint8_t *p = chunk(c, j, done, NBD_REPLY_TYPE_OFFSET_DATA, 8 + n);
    put_be64(p, j->range.offset + from);
    memcpy(p + 8, j->data + from, n);
}

// A few pieces, in any order. `missing`: some are never sent, for an error is to follow. `end`: the
// last of them ends the reply.
static void
some_data(struct upstream_conn *c, struct job *j, bool end, bool missing)
{
    uint32_t length = (uint32_t)j->range.length, cut[PIECES + 1] = {0};
    unsigned n = 1 + (unsigned)chance_below(PIECES);
    if (n > length / 512)
        n = 1;
    for (unsigned i = 1; i <= n; i++)
        cut[i] = i == n ? length : length / n / 512 * 512 * i;
    unsigned order = (unsigned)chance_below(n), sent = missing ? (unsigned)chance_below(n + 1) : n;
    for (unsigned i = 0; i < sent; i++) {
        unsigned k = (i + order) % n;
        data_chunk(c, j, cut[k], cut[k + 1], end && i == n - 1);
    }
}

static void
chunked_read(struct upstream_conn *c, struct job *j)
{
    bool separate = chance_of(50); // the end has a chunk of its own
    some_data(c, j, !separate, false);
    if (separate)
        none_chunk(c, j);
}

// The error comes late: behind some of the data, and before the rest of it.
static void
late_error(struct upstream_conn *c, struct job *j)
{
    j->data = malloc((size_t)j->range.length);
    expect(j->data, "out of memory");
    disk_read(c->host->disk, j->range.offset, j->data, (size_t)j->range.length);
    some_data(c, j, false, true);
    error_chunks(c, j);
}

static void
read_fails(struct upstream_conn *c, struct job *j)
{
    bool may_be_simple = c->format == FORMAT_STRUCTURED && chance_of(20); // as nbd-server does
    if (c->format == FORMAT_SIMPLE || may_be_simple)
        simple(j, 0);
    else if (j->type == NBD_CMD_READ && chance_of(50))
        late_error(c, j);
    else
        error_chunks(c, j);
}

// BLOCK_STATUS ------------------------------------------------------------------------------

// "the final descriptor MAY extend beyond the original requested size", but not with REQ_ONE.
static uint64_t
looks_until(const struct upstream_conn *c, const struct job *j)
{
    uint64_t end = range_end(j->range), size = c->host->disk->size;
    if ((j->flags & NBD_CMD_FLAG_REQ_ONE) || chance_of(70))
        return end;
    uint64_t more = end + chance_below(8) * DISK_BLOCK;
    return more < size ? more : size;
}

static void
status_chunk(struct upstream_conn *c, struct job *j, uint32_t context, bool done)
{
    const struct disk *d = c->host->disk;
    unsigned most = j->flags & NBD_CMD_FLAG_REQ_ONE ? 1 : 1 + (unsigned)chance_below(6), n = 0;
    struct extent extents[6];
    uint64_t at = j->range.offset, end = looks_until(c, j);
    while (n < most && at < range_end(j->range)) {
        bool zero, hole;
        uint64_t len = disk_extent(d, at, end - at, &zero, &hole);
        if (c->host->status_lies) {
            len = end - at;
            zero = hole = true;
        }
        extents[n++] =
            (struct extent){len, (zero ? NBD_STATE_ZERO : 0u) | (hole ? NBD_STATE_HOLE : 0u)};
        at += len;
    }
    uint32_t head = status_head_size(c->format), each = extent_size(c->format);
    uint8_t *p = chunk(c, j, done, status_chunk_type(c->format), head + n * each);
    put_be32(p, context);
    if (c->format == FORMAT_EXTENDED)
        put_be32(p + 4, n);
    for (unsigned i = 0; i < n; i++)
        extent_encode(c->format, p + head + i * each, &extents[i]);
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
        none_chunk(c, j);
}

void
job_reply(struct upstream_conn *c, struct job *j)
{
    bool has_payload = j->type == NBD_CMD_READ || j->type == NBD_CMD_BLOCK_STATUS;
    if (has_payload && j->error)
        read_fails(c, j);
    else if (j->type == NBD_CMD_BLOCK_STATUS)
        status(c, j);
    else if (j->type == NBD_CMD_READ && c->format != FORMAT_SIMPLE)
        chunked_read(c, j);
    else if (c->format == FORMAT_SIMPLE || (c->format == FORMAT_STRUCTURED && chance_of(60)))
        simple(j, j->type == NBD_CMD_READ ? (size_t)j->range.length : 0);
    else if (j->error)
        error_chunks(c, j);
    else
        none_chunk(c, j);
}
