// SPDX-License-Identifier: BSD-3-Clause
// The model client's requests, from a script or by chance, and the replies to them.
#include "sim_client.h"

#include <base/limits.h>
#include <stdlib.h>
#include <wire/names.h>

// Asking ------------------------------------------------------------------------------------

static const struct scripted *
next_scripted(const struct sim_client *c)
{
    return c->plan.script && c->issued < c->plan.n_script ? &c->plan.script[c->issued] : NULL;
}

bool
client_can_issue(const struct sim_client *c)
{
    if (c->state != CLIENT_TRANSMISSION || c->disc_sent || c->sock->dead ||
        c->in_flight >= c->plan.in_flight || c->out_len - c->out_head > (1u << 20))
        return false;
    const struct scripted *s = next_scripted(c);
    if (s)
        return !(s->alone && c->in_flight);
    return !c->plan.script && c->issued < c->plan.requests;
}

static void
send_request(struct sim_client *c, const struct request *r)
{
    static uint8_t payload[MAX_PAYLOAD];
    uint8_t b[REQUEST_SIZE];
    struct op *op =
        oracle_op(c->oracle, c->index, r->type, r->flags, (struct range){r->offset, r->length});
    op->cookie = r->cookie;
    request_encode(b, r);
    client_say(c, b, sizeof b);
    if (r->type == NBD_CMD_WRITE) {
        op->stamp = oracle_stamp(c->oracle);
        stamp_fill(op->stamp, r->offset, payload, r->length);
        client_say(c, payload, r->length);
    }
    op->ends_at = c->queued;
    c->issued++;
    if (++c->in_flight > c->most_in_flight)
        c->most_in_flight = c->in_flight;
    note("client %u: %s offset %llu length %u flags %u", c->index, nbd_command_name(r->type),
         (unsigned long long)r->offset, r->length, r->flags);
}

static bool
is_legal(const struct sim_client *c, uint16_t type)
{
    const struct nbd_command_info *info = nbd_command_info(type);
    if (!info || type == NBD_CMD_DISC || !(c->plan.types >> type & 1))
        return false;
    if (type == NBD_CMD_BLOCK_STATUS)
        return c->allocation || c->other;
    return !info->needs || (c->flags & info->needs);
}

static uint16_t
choose_flags(const struct sim_client *c, uint16_t type)
{
    const struct nbd_command_info *info = nbd_command_info(type);
    uint16_t flags = 0;
    if ((c->flags & NBD_FLAG_SEND_FUA) && info->changes_data && chance_of(25))
        flags |= NBD_CMD_FLAG_FUA;
    if (type == NBD_CMD_WRITE_ZEROES) {
        flags |= chance_of(40) ? NBD_CMD_FLAG_NO_HOLE : 0;
        if ((c->flags & NBD_FLAG_SEND_FAST_ZERO) && chance_of(c->plan.fast_percent))
            flags |= NBD_CMD_FLAG_FAST_ZERO;
    }
    if (type == NBD_CMD_READ && (c->flags & NBD_FLAG_SEND_DF) && chance_of(20))
        flags |= NBD_CMD_FLAG_DF;
    if (type == NBD_CMD_BLOCK_STATUS && chance_of(30))
        flags |= NBD_CMD_FLAG_REQ_ONE;
    return flags;
}

// False: everything that came to mind would conflict with what is in flight.
static bool
choose_range(const struct sim_client *c, uint16_t type, struct request *r)
{
    const struct nbd_command_info *info = nbd_command_info(type);
    struct range all = c->plan.region.length ? c->plan.region : (struct range){0, c->size};
    uint32_t align = c->plan.align;
    uint64_t most = all.length < c->plan.longest ? all.length : c->plan.longest;
    if ((type == NBD_CMD_READ || type == NBD_CMD_WRITE) && c->has_block_size && most > c->maximum)
        most = c->maximum;
    for (unsigned tries = 0; tries < 20; tries++) {
        uint64_t n = chance_between(1, most / align) * align;
        uint64_t at = all.offset + chance_below((all.length - n) / align + 1) * align;
        struct range range = {at, n};
        if (!c->plan.conflicts && oracle_busy(c->oracle, range, info->changes_data))
            continue;
        // Reads are checked exactly, so nobody may write there meanwhile.
        if (c->plan.conflicts && !info->changes_data && oracle_busy(c->oracle, range, false))
            continue;
        r->offset = at;
        r->length = (uint32_t)n;
        return true;
    }
    return false;
}

static bool
choose(struct sim_client *c, struct request *r)
{
    do
        r->type = (uint16_t)chance_below(NBD_COMMANDS);
    while (!is_legal(c, r->type));
    r->flags = choose_flags(c, r->type);
    return r->type == NBD_CMD_FLUSH || choose_range(c, r->type, r);
}

void
client_issue(struct sim_client *c)
{
    const struct scripted *s = next_scripted(c);
    struct request r = {.cookie = c->next_cookie++};
    if (s && s->pause && c->wakes < world.now) { // it is due now: remember that it has waited
        c->wakes = world.now + s->pause;
        return;
    }
    if (s) {
        r.type = s->type;
        r.flags = s->flags;
        r.offset = s->offset;
        r.length = s->length;
        send_request(c, &r);
        c->wakes = 0;
        return;
    }
    if (choose(c, &r))
        send_request(c, &r);
    else
        c->wakes = world.now + 10 * NS_PER_US;
    if (c->plan.think)
        c->wakes = world.now + chance_below(c->plan.think) + 1;
}

// Replies -----------------------------------------------------------------------------------

static struct op *
find_op(const struct sim_client *c, uint64_t cookie)
{
    for (struct op *op = c->oracle->ops; op; op = op->next)
        if (op->client == c->index && op->cookie == cookie)
            return op;
    world_fail("client %u: a reply to nothing, or a second one", c->index);
}

static void
done(struct sim_client *c, struct op *op, uint32_t error)
{
    note("client %u: %s offset %llu length %llu: error %u", c->index, nbd_command_name(op->type),
         (unsigned long long)op->range.offset, (unsigned long long)op->range.length, error);
    if (!error && op->type == NBD_CMD_READ)
        expect(op->got == op->range.length, "a READ of which %llu bytes came",
               (unsigned long long)op->got);
    if (!error && op->type == NBD_CMD_BLOCK_STATUS)
        expect(op->status_seen, "BLOCK_STATUS without an extent");
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
    expect(!op->structured_seen, "a simple reply behind chunks");
    bool read = op->type == NBD_CMD_READ;
    expect(!read || !c->structured, "a simple reply to a READ");
    size_t n = read && !h->error ? (size_t)op->range.length : 0;
    if (in.len - SIMPLE_REPLY_SIZE < n)
        return false;
    *used = SIMPLE_REPLY_SIZE + n;
    if (n)
        memcpy(op->data, in.p + SIMPLE_REPLY_SIZE, n);
    op->got = n;
    done(c, op, h->error);
    return true;
}

static void
take_data(struct op *op, uint64_t offset, const uint8_t *p, uint32_t n)
{
    expect(op->type == NBD_CMD_READ && offset >= op->range.offset &&
               offset - op->range.offset <= op->range.length - n,
           "data of a range that was not asked for");
    uint64_t at = offset - op->range.offset;
    for (uint64_t i = at / SECTOR; i < (at + n) / SECTOR; i++) {
        expect(!op->known[i], "data that came twice");
        op->known[i] = 1;
    }
    if (p)
        memcpy(op->data + at, p, n);
    else
        memset(op->data + at, 0, n);
    op->got += n;
}

static void
take_status(struct sim_client *c, struct op *op, struct bytes data)
{
    expect(op->type == NBD_CMD_BLOCK_STATUS && data.len >= 12 && data.len % 8 == 4,
           "malformed BLOCK_STATUS");
    uint32_t id = get_be32(data.p);
    expect((c->allocation && id == c->allocation_id) || (c->other && id == c->other_id),
           "a context that was not agreed on");
    uint64_t total = 0;
    for (size_t i = 4; i < data.len; i += 8)
        total += get_be32(data.p + i);
    expect(total && total <= op->range.length, "extents of %llu bytes", (unsigned long long)total);
    op->status_seen = true;
}

static void
take_chunk(struct sim_client *c, struct op *op, const struct reply *h, struct bytes data)
{
    switch (h->type) {
    case NBD_REPLY_TYPE_NONE:
        expect(!data.len && (h->flags & NBD_REPLY_FLAG_DONE), "a malformed NONE chunk");
        break;
    case NBD_REPLY_TYPE_OFFSET_DATA:
        take_data(op, get_be64(data.p), data.p + 8, (uint32_t)data.len - 8);
        break;
    case NBD_REPLY_TYPE_OFFSET_HOLE:
        take_data(op, get_be64(data.p), NULL, get_be32(data.p + 8));
        break;
    case NBD_REPLY_TYPE_BLOCK_STATUS: take_status(c, op, data); break;
    case NBD_REPLY_TYPE_ERROR:
    case NBD_REPLY_TYPE_ERROR_OFFSET:
        expect(data.len >= 6 && get_be32(data.p), "a malformed error chunk");
        op->failed = true;
        if (!op->error)
            op->error = get_be32(data.p);
        break;
    default: world_fail("a chunk of type %u", h->type);
    }
}

bool
client_reply(struct sim_client *c, struct bytes in, size_t *used)
{
    if (in.len < SIMPLE_REPLY_SIZE)
        return false;
    uint32_t size = reply_header_size(get_be32(in.p));
    expect(size, "the proxy lost the framing of replies");
    if (in.len < size)
        return false;
    struct reply h = reply_decode(in.p);
    if (!h.chunk)
        return simple_reply(c, in, &h, used);
    expect(c->structured, "a chunk where simple replies were agreed on");
    if (in.len - CHUNK_SIZE < h.length)
        return false;
    struct op *op = find_op(c, h.cookie);
    op->structured_seen = true;
    take_chunk(c, op, &h, bytes_of(in.p + CHUNK_SIZE, h.length));
    *used = CHUNK_SIZE + h.length;
    if (h.flags & NBD_REPLY_FLAG_DONE)
        done(c, op, op->failed ? op->error : NBD_SUCCESS);
    return true;
}
