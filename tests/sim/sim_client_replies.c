// SPDX-License-Identifier: BSD-3-Clause
// Replies to the model client: each must be of the format that was agreed on, and whole.
#include "sim_client.h"

#include <stdlib.h>
#include <wire/names.h>

static struct op *
find_op(const struct sim_client *c, uint64_t cookie)
{
    for (struct op *op = c->oracle->ops; op; op = op->next)
        if (op->client == c->index && op->cookie == cookie)
            return op;
    world_fail("client %u: a reply to nothing, or a second one", c->index);
}

static void
check_success(const struct sim_client *c, const struct op *op)
{
    if (op->type == NBD_CMD_READ)
        expect(op->got == op->range.length, "a READ of which %llu bytes came",
               (unsigned long long)op->got);
    if (op->flags & NBD_CMD_FLAG_DF && op->type == NBD_CMD_READ)
        expect(op->contents == 1, "%u chunks in answer to DF", op->contents);
    // "exactly one chunk ... per selected context id"
    if (op->type == NBD_CMD_BLOCK_STATUS)
        expect(op->status_seen == (unsigned)c->allocation + 2 * (unsigned)c->other,
               "block status of contexts 0x%x", op->status_seen);
}

static void
done(struct sim_client *c, struct op *op, uint32_t error)
{
    note("client %u: %s offset %llu length %llu: error %u", c->index, nbd_command_name(op->type),
         (unsigned long long)op->range.offset, (unsigned long long)op->range.length, error);
    if (!error)
        check_success(c, op);
    c->in_flight--;
    c->answered++;
    c->errors += error != 0;
    c->refused += error == NBD_ENOTSUP;
    oracle_done(c->oracle, op, error);
}

static bool
simple_reply(struct sim_client *c, struct bytes in, const struct reply *h, size_t *used)
{
    struct op *op = find_op(c, h->cookie);
    expect(c->format != FORMAT_EXTENDED, "a simple reply to an extended client");
    expect(!op->structured_seen, "a simple reply behind chunks");
    bool read = op->type == NBD_CMD_READ;
    expect(!read || c->format == FORMAT_SIMPLE, "a simple reply to a READ");
    size_t n = read && !h->error ? (size_t)op->range.length : 0;
    if (in.len - SIMPLE_REPLY_SIZE < n)
        return false;
    *used = SIMPLE_REPLY_SIZE + n;
    if (n)
        memcpy(op->data, in.p + SIMPLE_REPLY_SIZE, n);
    op->got = n;
    op->contents = 1;
    done(c, op, h->error);
    return true;
}

// Content of a READ; `p` NULL: zeroes.
static void
take_data(struct op *op, uint64_t offset, const uint8_t *p, uint64_t n)
{
    expect(op->type == NBD_CMD_READ && n && offset >= op->range.offset && n <= op->range.length &&
               offset - op->range.offset <= op->range.length - n,
           "data of a range that was not asked for");
    uint64_t at = offset - op->range.offset;
    expect(at % SECTOR == 0 && n % SECTOR == 0, "a chunk of %llu bytes",
           (unsigned long long)n); // nobody upstream cuts so
    for (uint64_t i = at / SECTOR; i < (at + n) / SECTOR; i++) {
        expect(!op->known[i], "data that came twice");
        op->known[i] = 1;
    }
    if (p)
        memcpy(op->data + at, p, (size_t)n);
    else
        memset(op->data + at, 0, (size_t)n);
    op->got += n;
    op->contents++;
}

// Extents go on behind each other; only the last may end behind what was asked for, and that not
// with REQ_ONE, nor behind the export.
static void
take_extents(struct sim_client *c, struct op *op, struct bytes data, bool allocation)
{
    bool one = op->flags & NBD_CMD_FLAG_REQ_ONE;
    size_t each = extent_size(c->format), n = data.len / each;
    uint64_t at = op->range.offset, end = one ? range_end(op->range) : c->size;
    expect(n == 1 || !one, "%zu extents in answer to REQ_ONE", n);
    for (size_t i = 0; i < n; i++) {
        struct extent e = extent_decode(c->format, data.p + i * each);
        expect(e.length, "an extent of nothing");
        expect(at < range_end(op->range) && e.length <= end - at,
               "an extent behind what was asked for");
        expect(!allocation || e.status <= (NBD_STATE_HOLE | NBD_STATE_ZERO), "an unknown status");
        if (allocation && e.status & NBD_STATE_ZERO && !c->plan.lied_to)
            oracle_told_zero(c->oracle, op, (struct range){at, e.length});
        at += e.length;
    }
}

static void
take_status(struct sim_client *c, struct op *op, const struct reply *h, struct bytes data)
{
    uint32_t head = status_head_size(c->format), each = extent_size(c->format);
    expect(op->type == NBD_CMD_BLOCK_STATUS && h->type == status_chunk_type(c->format),
           "block status of another format, or unasked");
    expect(data.len >= head + each && (data.len - head) % each == 0, "malformed block status");
    expect(head == 4 || get_be32(data.p + 4) == (data.len - head) / each,
           "a wrong count of extents");
    uint32_t id = get_be32(data.p);
    bool allocation = c->allocation && id == c->allocation_id;
    expect(allocation || (c->other && id == c->other_id), "a context that was not agreed on");
    unsigned bit = allocation ? 1 : 2;
    expect(!(op->status_seen & bit), "one context twice");
    op->status_seen |= bit;
    take_extents(c, op, bytes_of(data.p + head, data.len - head), allocation);
}

static void
take_error(struct op *op, const struct reply *h, struct bytes data)
{
    bool offset = h->type == NBD_REPLY_TYPE_ERROR_OFFSET;
    expect(data.len >= 6 && get_be32(data.p), "a malformed error chunk");
    size_t text = get_be16(data.p + 4);
    expect(data.len == 6 + text + (offset ? 8 : 0), "an error chunk with %zu bytes of text", text);
    if (offset) {
        uint64_t at = get_be64(data.p + 6 + text);
        expect(at >= op->range.offset && at < range_end(op->range), "an error elsewhere");
    }
    op->failed = true;
    if (!op->error)
        op->error = get_be32(data.p);
}

static void
take_chunk(struct sim_client *c, struct op *op, const struct reply *h, struct bytes data)
{
    switch (h->type) {
    case NBD_REPLY_TYPE_NONE:
        expect(!data.len && (h->flags & NBD_REPLY_FLAG_DONE), "a malformed NONE chunk");
        break;
    case NBD_REPLY_TYPE_OFFSET_DATA:
        expect(data.len > 8, "data without data");
        take_data(op, get_be64(data.p), data.p + 8, data.len - 8);
        break;
    case NBD_REPLY_TYPE_OFFSET_HOLE:
        expect(data.len == 12, "a malformed hole");
        take_data(op, get_be64(data.p), NULL, get_be32(data.p + 8));
        break;
    case NBD_REPLY_TYPE_BLOCK_STATUS:
    case NBD_REPLY_TYPE_BLOCK_STATUS_EXT: take_status(c, op, h, data); break;
    case NBD_REPLY_TYPE_ERROR:
    case NBD_REPLY_TYPE_ERROR_OFFSET: take_error(op, h, data); break;
    default: world_fail("a chunk of type %u", h->type);
    }
}

bool
sim_client_reply(struct sim_client *c, struct bytes in, size_t *used)
{
    if (in.len < SIMPLE_REPLY_SIZE)
        return false;
    uint32_t size = reply_header_size(c->format, get_be32(in.p));
    expect(size, "client %u: the proxy lost the framing of replies", c->index);
    if (in.len < size)
        return false;
    struct reply h = reply_decode(in.p);
    if (!h.chunk)
        return simple_reply(c, in, &h, used);
    struct op *op = find_op(c, h.cookie);
    expect(c->format != FORMAT_EXTENDED || h.offset == op->range.offset,
           "an extended chunk with offset %llu", (unsigned long long)h.offset);
    expect(!(h.flags & ~NBD_REPLY_FLAG_DONE), "a chunk with flags %u", h.flags);
    if (in.len - size < h.length)
        return false;
    op->structured_seen = true;
    take_chunk(c, op, &h, bytes_of(in.p + size, (size_t)h.length));
    *used = size + (size_t)h.length;
    if (h.flags & NBD_REPLY_FLAG_DONE)
        done(c, op, op->failed ? op->error : NBD_SUCCESS);
    return true;
}
