// SPDX-License-Identifier: BSD-3-Clause
// The model upstream in the handshake, of any age. It serves one disk, under its name and as "".
#include "sim_upstream.h"

#include <base/limits.h>

#define OPTION_HEADER 16u

// Greeting ----------------------------------------------------------------------------------

unsigned
conn_handshake_flags(const struct sim_upstream *u)
{
    return (u->kind == KIND_FIXED ? NBD_FLAG_FIXED_NEWSTYLE : 0u) |
           (u->keeps_zeroes ? 0u : NBD_FLAG_NO_ZEROES);
}

void
conn_transmit(struct upstream_conn *c)
{
    c->state = CONN_TRANSMISSION;
    c->host->begun[c->format]++;
}

static void
greet_oldstyle(struct upstream_conn *c)
{
    struct out out = conn_room(c, 152);
    out_be64(&out, NBD_INIT_MAGIC);
    out_be64(&out, UINT64_C(0x00420281861253));
    out_be64(&out, c->host->disk->size);
    out_be32(&out, c->host->flags);
    out_zeroes(&out, 124);
    conn_said(c, &out);
    conn_transmit(c);
}

void
conn_greet(struct upstream_conn *c)
{
    if (c->host->kind == KIND_OLDSTYLE) {
        greet_oldstyle(c);
        return;
    }
    struct out out = conn_room(c, 18);
    out_be64(&out, NBD_INIT_MAGIC);
    out_be64(&out, NBD_OPTION_MAGIC);
    out_be16(&out, (uint16_t)conn_handshake_flags(c->host));
    conn_said(c, &out);
}

void
conn_expect_heard(const struct upstream_conn *c)
{
    uint64_t heard = c->sock->peer->received;
    bool all = c->line.secure ? heard == c->sent && !line_can_send(&c->line) : heard == c->said;
    expect(all, "the proxy talks before it has heard the answer");
}

// Answers -----------------------------------------------------------------------------------

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
serves(const struct upstream_conn *c, struct bytes name)
{
    return name.len == 0 || bytes_equal(name, bytes_str(c->host->name));
}

// Answered so by who speaks nothing but extended headers, until they are agreed.
static bool
demands_extended(struct upstream_conn *c, uint32_t option)
{
    if (!c->host->only_extended || c->format == FORMAT_EXTENDED)
        return false;
    reply_error(c, option, NBD_REP_ERR_EXT_HEADER_REQD);
    return true;
}

static void
list(struct upstream_conn *c)
{
    uint8_t b[64];
    struct out entry = out_of(b, sizeof b);
    out_be32(&entry, (uint32_t)strlen(c->host->name));
    out_bytes(&entry, bytes_str(c->host->name));
    out_bytes(&entry, bytes_str("the only one"));
    if (c->host->no_list) {
        reply_error(c, NBD_OPT_LIST, c->number % 2 ? NBD_REP_ERR_POLICY : NBD_REP_ERR_UNSUP);
        return;
    }
    reply(c, NBD_OPT_LIST, NBD_REP_SERVER, entry.p, entry.len);
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
    } else if (demands_extended(c, option)) {
        return;
    } else if (!serves(c, name)) {
        reply_error(c, option, NBD_REP_ERR_UNKNOWN);
    } else {
        put_infos(c, option, block_size, description);
        reply(c, option, NBD_REP_ACK, NULL, 0);
        if (option == NBD_OPT_GO)
            conn_transmit(c);
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
    if (demands_extended(c, option))
        return;
    expect(c->format != FORMAT_SIMPLE, "contexts before there are chunks");
    if (c->host->no_meta || !serves(c, name)) {
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
    expect(c->format != FORMAT_EXTENDED, "EXPORT_NAME behind EXTENDED_HEADERS");
    if (!serves(c, name) || c->host->only_extended) {
        c->state = CONN_ENDING;
        return;
    }
    struct out out = conn_room(c, 134);
    out_be64(&out, c->host->disk->size);
    out_be16(&out, c->host->flags);
    if (!c->no_zeroes)
        out_zeroes(&out, 124);
    conn_said(c, &out);
    conn_transmit(c);
}

static void
format(struct upstream_conn *c, uint32_t option, struct bytes data)
{
    bool extended = option == NBD_OPT_EXTENDED_HEADERS;
    enum wire_format f = extended ? FORMAT_EXTENDED : FORMAT_STRUCTURED;
    expect(!data.len && c->format < f, "%s with data, or twice",
           extended ? "EXTENDED_HEADERS" : "STRUCTURED_REPLY");
    if (!extended && demands_extended(c, option))
        return;
    if (extended ? !c->host->extended : c->host->no_structured) {
        reply_error(c, option, NBD_REP_ERR_UNSUP);
        return;
    }
    c->format = f;
    c->allocation = false; // contexts are to be set when the format is known
    c->n_contexts = 0;
    reply(c, option, NBD_REP_ACK, NULL, 0);
}

// The first thing that is asked, and all of what is ever asked in plaintext.
static void
starttls(struct upstream_conn *c, struct bytes data)
{
    const struct sim_upstream *u = c->host;
    expect(u->tls && !c->line.secure && !data.len, "STARTTLS unwanted, twice or with data");
    expect(c->sock->received == 4 + OPTION_HEADER, "the proxy said something besides STARTTLS");
    c->refused = true;
    switch (u->trouble) {
    case TLS_DECLINED: reply_error(c, NBD_OPT_STARTTLS, NBD_REP_ERR_POLICY); return;
    case TLS_UNANSWERED: return;
    case TLS_ANSWERED_ELSE: reply(c, NBD_OPT_GO, NBD_REP_ACK, NULL, 0); return;
    case TLS_ACK_WITH_DATA: reply(c, NBD_OPT_STARTTLS, NBD_REP_ACK, "data", 4); return;
    default: break;
    }
    c->refused = false;
    reply(c, NBD_OPT_STARTTLS, NBD_REP_ACK, NULL, 0);
    if (u->trouble == TLS_INJECTED && chance_of(50))
        conn_say(c, "x", 1);
    else if (u->trouble == TLS_INJECTED)
        reply(c, NBD_OPT_GO, NBD_REP_ERR_UNKNOWN, NULL, 0);
    line_start_tls(&c->line, false, u->trouble);
}

static void
answer(struct upstream_conn *c, uint32_t option, struct bytes data)
{
    expect(!c->host->tls || c->line.secure || option == NBD_OPT_STARTTLS,
           "the proxy asked for option %u in plaintext", option);
    switch (option) {
    case NBD_OPT_STARTTLS: starttls(c, data); break;
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
    case NBD_OPT_EXTENDED_HEADERS: format(c, option, data); break;
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
    uint32_t option = get_be32(in.p + 8), len = get_be32(in.p + 12);
    expect(c->host->kind == KIND_FIXED || option == NBD_OPT_EXPORT_NAME,
           "the proxy asked for option %u of a server that is not fixed newstyle", option);
    expect(len <= MAX_OPTION_PARSED, "the proxy sent an option of %u bytes", len);
    if (in.len - OPTION_HEADER < len)
        return false;
    *used = OPTION_HEADER + len;
    if (option != NBD_OPT_ABORT)
        conn_expect_heard(c);
    answer(c, option, bytes_of(in.p + OPTION_HEADER, len));
    expect(option != NBD_OPT_STARTTLS || in.len == *used, "the proxy speaks on behind STARTTLS");
    return true;
}
