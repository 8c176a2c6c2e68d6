// SPDX-License-Identifier: BSD-3-Clause
// The model upstream in the handshake. It serves one disk, as "" and as "disk".
#include "sim_upstream.h"

#include <base/limits.h>

#define OPTION_HEADER 16u

static void
reply(struct upstream_conn *c, uint32_t option, uint32_t type, const void *p, size_t n)
{
    struct out out = conn_room(c, 20 + n);
    out_be64(&out, NBD_OPTION_REPLY_MAGIC);
    out_be32(&out, option);
    out_be32(&out, type);
    out_be32(&out, (uint32_t)n);
    out_bytes(&out, bytes_of(p, n));
    conn_said(c, &out);
}

static void
reply_error(struct upstream_conn *c, uint32_t option, uint32_t error)
{
    static const char text[] = "not here\x01";
    reply(c, option, error, text, chance_below(sizeof text));
}

static bool
serves(struct bytes name)
{
    return name.len == 0 || bytes_equal(name, bytes_str("disk"));
}

static void
list(struct upstream_conn *c)
{
    static const uint8_t entry[] = "\0\0\0\4diskthe only one";
    if (c->host->no_list) {
        reply_error(c, NBD_OPT_LIST, NBD_REP_ERR_POLICY);
        return;
    }
    reply(c, NBD_OPT_LIST, NBD_REP_SERVER, entry, sizeof entry - 1);
    reply(c, NBD_OPT_LIST, NBD_REP_ACK, NULL, 0);
}

static void
put_infos(struct upstream_conn *c, uint32_t option, bool block_size, bool description)
{
    const struct sim_upstream *u = c->host;
    uint8_t b[14];
    put_be16(b, NBD_INFO_EXPORT);
    put_be64(b + 2, option == NBD_OPT_INFO && u->info_says_zero ? 0 : u->disk->size);
    put_be16(b + 10, u->flags);
    reply(c, option, NBD_REP_INFO, b, 12);
    if (description)
        reply(c, option, NBD_REP_INFO, "\0\2a disk", 8);
    if (!block_size || !u->has_block_size)
        return;
    c->bound |= option == NBD_OPT_GO;
    put_be16(b, NBD_INFO_BLOCK_SIZE);
    put_be32(b + 2, u->minimum);
    put_be32(b + 6, u->preferred);
    put_be32(b + 10, u->maximum);
    reply(c, option, NBD_REP_INFO, b, 14);
}

static void
info_or_go(struct upstream_conn *c, uint32_t option, struct bytes data)
{
    struct cursor cur = cursor_of(data.p, data.len);
    struct bytes name = cursor_bytes(&cur, cursor_be32(&cur));
    unsigned n = cursor_be16(&cur);
    bool block_size = false, description = false;
    for (unsigned i = 0; i < n; i++) {
        uint16_t info = cursor_be16(&cur);
        block_size |= info == NBD_INFO_BLOCK_SIZE;
        description |= info == NBD_INFO_DESCRIPTION;
    }
    expect(!cur.bad && !cursor_left(&cur), "the proxy sent a malformed INFO or GO");
    if (c->host->no_go) {
        reply_error(c, option, NBD_REP_ERR_UNSUP);
    } else if (!serves(name)) {
        reply_error(c, option, NBD_REP_ERR_UNKNOWN);
    } else {
        put_infos(c, option, block_size, description);
        reply(c, option, NBD_REP_ACK, NULL, 0);
        if (option == NBD_OPT_GO)
            c->state = CONN_TRANSMISSION;
    }
}

static void
put_context(struct upstream_conn *c, uint32_t option, uint32_t id, const char *name)
{
    uint8_t b[64];
    put_be32(b, id);
    memcpy(b + 4, name, strlen(name));
    reply(c, option, NBD_REP_META_CONTEXT, b, 4 + strlen(name));
}

static void
meta(struct upstream_conn *c, uint32_t option, struct bytes data)
{
    struct cursor cur = cursor_of(data.p, data.len);
    struct bytes name = cursor_bytes(&cur, cursor_be32(&cur));
    uint32_t n = cursor_be32(&cur);
    bool allocation = option == NBD_OPT_LIST_META_CONTEXT && n == 0, other = allocation;
    for (uint32_t i = 0; i < n && !cur.bad; i++) {
        struct bytes q = cursor_bytes(&cur, cursor_be32(&cur));
        allocation |= bytes_equal(q, bytes_str("base:allocation"));
        other |= bytes_equal(q, bytes_str("sim:other"));
    }
    expect(!cur.bad && !cursor_left(&cur), "the proxy sent a malformed META_CONTEXT");
    if (c->host->no_meta || !c->structured || !serves(name)) {
        reply_error(c, option, c->host->no_meta ? NBD_REP_ERR_UNSUP : NBD_REP_ERR_UNKNOWN);
        return;
    }
    if (other)
        put_context(c, option, CONTEXT_OTHER, "sim:other");
    if (allocation)
        put_context(c, option, CONTEXT_ALLOCATION, "base:allocation");
    if (option == NBD_OPT_SET_META_CONTEXT) {
        c->allocation = allocation;
        c->n_contexts = (unsigned)allocation + other;
    }
    reply(c, option, NBD_REP_ACK, NULL, 0);
}

static void
export_name(struct upstream_conn *c, struct bytes name)
{
    if (!serves(name)) {
        c->state = CONN_ENDING;
        return;
    }
    struct out out = conn_room(c, 134);
    out_be64(&out, c->host->disk->size);
    out_be16(&out, c->host->flags);
    if (!c->no_zeroes)
        out_zeroes(&out, 124);
    conn_said(c, &out);
    c->state = CONN_TRANSMISSION;
}

static void
answer(struct upstream_conn *c, uint32_t option, struct bytes data)
{
    switch (option) {
    case NBD_OPT_EXPORT_NAME: export_name(c, data); break;
    case NBD_OPT_ABORT:
        reply(c, option, NBD_REP_ACK, NULL, 0);
        c->state = CONN_ENDING;
        break;
    case NBD_OPT_LIST:
        expect(!data.len, "LIST with data");
        list(c);
        break;
    case NBD_OPT_INFO:
    case NBD_OPT_GO: info_or_go(c, option, data); break;
    case NBD_OPT_STRUCTURED_REPLY:
        expect(!data.len && !c->structured, "STRUCTURED_REPLY with data, or twice");
        c->structured = !c->host->no_structured;
        if (c->structured)
            reply(c, option, NBD_REP_ACK, NULL, 0);
        else
            reply_error(c, option, NBD_REP_ERR_UNSUP);
        break;
    case NBD_OPT_LIST_META_CONTEXT:
    case NBD_OPT_SET_META_CONTEXT: meta(c, option, data); break;
    default: world_fail("the proxy asked for option %u", option);
    }
}

bool
conn_option(struct upstream_conn *c, struct bytes in, size_t *used)
{
    if (in.len < OPTION_HEADER)
        return false;
    expect(get_be64(in.p) == NBD_OPTION_MAGIC, "the proxy lost the framing of options");
    uint32_t len = get_be32(in.p + 12);
    expect(len <= MAX_OPTION_PARSED, "the proxy sent an option of %u bytes", len);
    if (in.len - OPTION_HEADER < len)
        return false;
    *used = OPTION_HEADER + len;
    answer(c, get_be32(in.p + 8), bytes_of(in.p + OPTION_HEADER, len));
    return true;
}
