// SPDX-License-Identifier: BSD-3-Clause
#include <wire/client_handshake.h>

#define OPTION_HEADER_SIZE 16u

//   FLAGS ──▶ HEADER ──▶ DATA ──▶ WAITING ──▶ HEADER, or DONE after GO and EXPORT_NAME
//               │ ▲
//               ▼ │
//              DRAIN            any state ──▶ CLOSED: breach or ABORT
enum state {
    FLAGS,   // the client's flags are awaited
    HEADER,  // an option's header
    DATA,    // the data of an option that we parse
    DRAIN,   // the data of an option whose answer is known: thrown away
    WAITING, // the caller owes the answer
    DONE,    // transmission phase
    CLOSED,
};

static void
await(struct client_handshake *hs, enum state state, uint32_t need)
{
    hs->state = state;
    hs->need = need;
    hs->have = 0;
}

static enum client_hs_event
breach(struct client_handshake *hs, const char *why)
{
    hs->breach = why;
    await(hs, CLOSED, 0);
    return CLIENT_HS_BREACH;
}

void
client_hs_begin(struct client_handshake *hs, uint8_t *scratch, enum client_tls tls, struct out *out)
{
    *hs = (struct client_handshake){.scratch = scratch, .tls = tls, .options_allowed = MAX_OPTIONS};
    out_be64(out, NBD_INIT_MAGIC);
    out_be64(out, NBD_OPTION_MAGIC);
    out_be16(out, NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
    await(hs, FLAGS, 4);
}

static enum client_hs_event
take_flags(struct client_handshake *hs)
{
    uint32_t flags = get_be32(hs->scratch);
    // "MUST close the TCP connection if it does not recognize the client's flags"
    if (flags & ~(uint32_t)(NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES))
        return breach(hs, "unknown client flags");
    hs->fixed = flags & NBD_FLAG_FIXED_NEWSTYLE;
    hs->no_zeroes = flags & NBD_FLAG_NO_ZEROES;
    await(hs, HEADER, OPTION_HEADER_SIZE);
    return CLIENT_HS_MORE;
}

// An option that is answered so whatever its data: they are read and thrown away first.
static enum client_hs_event
drain(struct client_handshake *hs, uint32_t reply, const char *text)
{
    hs->drained += hs->option_len;
    if (hs->drained > CLIENT_HS_DRAINED)
        return breach(hs, "too much data in options that cannot be served");
    hs->reply = reply;
    hs->reply_text = text;
    await(hs, DRAIN, hs->option_len);
    return CLIENT_HS_MORE;
}

static enum client_hs_event
read_data(struct client_handshake *hs)
{
    await(hs, DATA, hs->option_len);
    return CLIENT_HS_MORE;
}

// STRUCTURED_REPLY, EXTENDED_HEADERS: granted whatever upstream speaks, for we translate.
static enum client_hs_event
take_format(struct client_handshake *hs, enum wire_format f)
{
    if (hs->option_len)
        return drain(hs, NBD_REP_ERR_INVALID, "option takes no data");
    if (hs->format == f)
        return drain(hs, NBD_REP_ERR_INVALID, "this is negotiated already");
    if (hs->format > f) // ext: "precedence over this option"
        return drain(hs, NBD_REP_ERR_EXT_HEADER_REQD, "extended headers are negotiated already");
    hs->format = f;
    return drain(hs, NBD_REP_ACK, NULL);
}

static enum client_hs_event
take_starttls(struct client_handshake *hs)
{
    if (hs->option_len)
        return drain(hs, NBD_REP_ERR_INVALID, "STARTTLS takes no data");
    if (hs->tls == CLIENT_TLS_OFF)
        return drain(hs, NBD_REP_ERR_POLICY, "TLS is not enabled here");
    if (hs->secure)
        return drain(hs, NBD_REP_ERR_INVALID, "this connection has TLS already");
    return drain(hs, NBD_REP_ACK, NULL);
}

// spec: "FORCEDTLS mode": known or not, an option is answered so before TLS.
static bool
is_too_early(const struct client_handshake *hs)
{
    return hs->tls == CLIENT_TLS_REQUIRE && !hs->secure && hs->option_id != NBD_OPT_ABORT &&
           hs->option_id != NBD_OPT_STARTTLS;
}

// What an option is answered for by its header alone; everything else is read and parsed.
static enum client_hs_event
choose(struct client_handshake *hs)
{
    if (is_too_early(hs))
        return drain(hs, NBD_REP_ERR_TLS_REQD, "TLS is required here: STARTTLS must come first");
    bool empty = hs->option_len == 0;
    if (hs->option_len > MAX_OPTION_PARSED && hs->option_id != NBD_OPT_ABORT)
        return drain(hs, NBD_REP_ERR_TOO_BIG, "option is longer than 256 KiB");
    switch (hs->option_id) {
    case NBD_OPT_ABORT: return drain(hs, NBD_REP_ACK, NULL); // "SHOULD ignore any data"
    case NBD_OPT_LIST:
        if (!empty)
            return drain(hs, NBD_REP_ERR_INVALID, "LIST takes no data");
        return read_data(hs);
    case NBD_OPT_STRUCTURED_REPLY: return take_format(hs, FORMAT_STRUCTURED);
    case NBD_OPT_EXTENDED_HEADERS: return take_format(hs, FORMAT_EXTENDED);
    case NBD_OPT_STARTTLS: return take_starttls(hs);
    case NBD_OPT_LIST_META_CONTEXT:
    case NBD_OPT_SET_META_CONTEXT:
        if (hs->format == FORMAT_SIMPLE)
            return drain(hs, NBD_REP_ERR_INVALID, "structured replies must be negotiated first");
        return read_data(hs);
    case NBD_OPT_EXPORT_NAME:
    case NBD_OPT_INFO:
    case NBD_OPT_GO: return read_data(hs);
    }
    return drain(hs, NBD_REP_ERR_UNSUP, "option is not supported");
}

static enum client_hs_event
take_header(struct client_handshake *hs)
{
    if (get_be64(hs->scratch) != NBD_OPTION_MAGIC)
        return breach(hs, "wrong magic of an option");
    hs->option_id = get_be32(hs->scratch + 8);
    hs->option_len = get_be32(hs->scratch + 12);
    hs->option = (struct client_option){.id = hs->option_id};
    hs->listed = 0;
    if (++hs->options > hs->options_allowed)
        return breach(hs, "too many options");
    if (hs->option_id == NBD_OPT_EXPORT_NAME) {
        if (hs->option_len > MAX_STRING) // no error can be replied to this one
            return breach(hs, "export name longer than 4096 bytes");
        if (hs->format == FORMAT_EXTENDED) // ext: "MUST NOT use this option"
            return breach(hs, "EXPORT_NAME from a client that has negotiated extended headers");
        if (is_too_early(hs))
            return breach(hs, "EXPORT_NAME without TLS, which is required here");
    } else if (!hs->fixed) {
        return breach(hs, "option other than EXPORT_NAME from a client that is not fixed newstyle");
    }
    if (hs->option_len > MAX_OPTION_DRAINED)
        return breach(hs, "option longer than 32 MiB");
    return choose(hs);
}

static bool
is_string(struct bytes s)
{
    return s.len <= MAX_STRING && !(s.len && memchr(s.p, 0, s.len));
}

// Keeps, in place, the information types that we know, each once: the others must be ignored, and
// a repetition must not reach the upstream.
static struct bytes
known_infos(uint8_t *p, size_t len)
{
    size_t kept = 0;
    uint32_t seen = 0;
    for (size_t i = 0; i < len; i += 2) {
        uint16_t info = get_be16(p + i);
        if (info > NBD_INFO_BLOCK_SIZE || (seen & UINT32_C(1) << info))
            continue;
        seen |= UINT32_C(1) << info;
        put_be16(p + kept, info);
        kept += 2;
    }
    return bytes_of(p, kept);
}

// The three parsers return why the data are not valid, or NULL.
static const char *
parse_info(struct client_handshake *hs)
{
    struct cursor c = cursor_of(hs->scratch, hs->option_len);
    hs->option.name = cursor_bytes(&c, cursor_be32(&c));
    size_t infos = 2 * (size_t)cursor_be16(&c);
    size_t at = hs->option_len - cursor_left(&c);
    cursor_bytes(&c, infos);
    if (c.bad)
        return "option is shorter than its contents say";
    if (cursor_left(&c))
        return "option is longer than its contents say";
    if (!is_string(hs->option.name))
        return "export name is longer than 4096 bytes or contains NUL";
    hs->option.infos = known_infos(hs->scratch + at, infos);
    return NULL;
}

static const char *
parse_meta(struct client_handshake *hs)
{
    struct cursor c = cursor_of(hs->scratch, hs->option_len);
    hs->option.name = cursor_bytes(&c, cursor_be32(&c));
    hs->option.n_queries = cursor_be32(&c);
    hs->option.queries = bytes_of(c.p, cursor_left(&c));
    for (uint32_t i = 0; i < hs->option.n_queries && !c.bad; i++) {
        if (!is_string(cursor_bytes(&c, cursor_be32(&c))))
            return "query is longer than 4096 bytes or contains NUL";
    }
    if (c.bad)
        return "option is shorter than its contents say";
    if (cursor_left(&c))
        return "option is longer than its contents say";
    if (!is_string(hs->option.name))
        return "export name is longer than 4096 bytes or contains NUL";
    return NULL;
}

static const char *
parse(struct client_handshake *hs)
{
    switch (hs->option_id) {
    case NBD_OPT_INFO:
    case NBD_OPT_GO: return parse_info(hs);
    case NBD_OPT_LIST_META_CONTEXT:
    case NBD_OPT_SET_META_CONTEXT: return parse_meta(hs);
    case NBD_OPT_EXPORT_NAME: hs->option.name = bytes_of(hs->scratch, hs->option_len); break;
    }
    return NULL;
}

static enum client_hs_event
take_data(struct client_handshake *hs, struct out *out)
{
    const char *why = parse(hs);
    if (why) {
        hs->option = (struct client_option){.id = hs->option_id};
        client_hs_error(hs, out, NBD_REP_ERR_INVALID, bytes_str(why));
        return CLIENT_HS_ANSWERED;
    }
    if (hs->option_id == NBD_OPT_EXPORT_NAME && !is_string(hs->option.name))
        return breach(hs, "export name with NUL");
    await(hs, WAITING, 0);
    return CLIENT_HS_OPTION;
}

// spec: NBD_OPT_STARTTLS: what was negotiated before it is void. What counts against the client's
// limits is not.
static enum client_hs_event
secured(struct client_handshake *hs)
{
    hs->secure = true;
    hs->format = FORMAT_SIMPLE;
    hs->option = (struct client_option){.id = hs->option_id};
    return CLIENT_HS_STARTTLS;
}

static enum client_hs_event
drained(struct client_handshake *hs, struct out *out)
{
    if (hs->reply != NBD_REP_ACK) {
        client_hs_error(hs, out, hs->reply, bytes_str(hs->reply_text));
        return CLIENT_HS_ANSWERED;
    }
    client_hs_ack(hs, out);
    if (hs->option_id == NBD_OPT_STARTTLS)
        return secured(hs);
    if (hs->option_id != NBD_OPT_ABORT)
        return CLIENT_HS_ANSWERED;
    await(hs, CLOSED, 0);
    return CLIENT_HS_ABORT;
}

// One element is complete.
static enum client_hs_event
step(struct client_handshake *hs, struct out *out)
{
    switch ((enum state)hs->state) {
    case FLAGS: return take_flags(hs);
    case HEADER: return take_header(hs);
    case DATA: return take_data(hs, out);
    case DRAIN: return drained(hs, out);
    case WAITING:
    case DONE:
    case CLOSED: break;
    }
    return hs->breach ? CLIENT_HS_BREACH : CLIENT_HS_MORE;
}

size_t
client_hs_feed(struct client_handshake *hs, const uint8_t *in, size_t len, struct out *out,
               enum client_hs_event *event)
{
    size_t used = 0;
    *event = CLIENT_HS_MORE;
    while (*event == CLIENT_HS_MORE) {
        size_t n = hs->need - hs->have;
        if (n > len - used)
            n = len - used;
        if (n && hs->state != DRAIN)
            memcpy(hs->scratch + hs->have, in + used, n);
        hs->have += (uint32_t)n;
        used += n;
        if (hs->have < hs->need)
            break;
        *event = step(hs, out);
        if (hs->state >= WAITING)
            break;
    }
    return used;
}

bool
client_option_query(struct bytes *rest, struct bytes *query)
{
    struct cursor c = cursor_of(rest->p, rest->len);
    *query = cursor_bytes(&c, cursor_be32(&c));
    *rest = bytes_of(c.p, cursor_left(&c));
    return !c.bad;
}

bool
client_option_wants(const struct client_option *o, uint16_t info)
{
    for (size_t i = 0; i + 2 <= o->infos.len; i += 2) {
        if (get_be16(o->infos.p + i) == info)
            return true;
    }
    return false;
}

static void
put_header(struct client_handshake *hs, struct out *out, uint32_t reply, size_t len)
{
    out_be64(out, NBD_OPTION_REPLY_MAGIC);
    out_be32(out, hs->option_id);
    out_be32(out, reply);
    out_be32(out, (uint32_t)len);
}

void
client_hs_put_server(struct client_handshake *hs, struct out *out, struct bytes name,
                     struct bytes description)
{
    put_header(hs, out, NBD_REP_SERVER, 4 + name.len + description.len);
    out_be32(out, (uint32_t)name.len);
    out_bytes(out, name);
    out_bytes(out, description);
    // By the longest list, not by the sum: asking again and again earns nothing.
    uint32_t earned = MAX_OPTIONS + MAX_OPTIONS_PER_EXPORT * ++hs->listed;
    if (earned > hs->options_allowed)
        hs->options_allowed = earned;
}

void
client_hs_put_info(struct client_handshake *hs, struct out *out, uint16_t info,
                   struct bytes payload)
{
    put_header(hs, out, NBD_REP_INFO, 2 + payload.len);
    out_be16(out, info);
    out_bytes(out, payload);
}

void
client_hs_put_export(struct client_handshake *hs, struct out *out, uint64_t size, uint16_t flags)
{
    uint8_t payload[10];
    put_be64(payload, size);
    put_be16(payload + 8, flags);
    client_hs_put_info(hs, out, NBD_INFO_EXPORT, bytes_of(payload, sizeof payload));
}

void
client_hs_put_context(struct client_handshake *hs, struct out *out, uint32_t id, struct bytes name)
{
    put_header(hs, out, NBD_REP_META_CONTEXT, 4 + name.len);
    out_be32(out, id);
    out_bytes(out, name);
}

static void
answered(struct client_handshake *hs)
{
    if (hs->done)
        await(hs, DONE, 0);
    else
        await(hs, HEADER, OPTION_HEADER_SIZE);
}

void
client_hs_ack(struct client_handshake *hs, struct out *out)
{
    put_header(hs, out, NBD_REP_ACK, 0);
    hs->done |= hs->option_id == NBD_OPT_GO;
    answered(hs);
}

void
client_hs_error(struct client_handshake *hs, struct out *out, uint32_t error, struct bytes text)
{
    if (text.len > MAX_STRING)
        text.len = MAX_STRING;
    put_header(hs, out, error, text.len);
    out_bytes(out, text);
    answered(hs);
}

void
client_hs_export_name(struct client_handshake *hs, struct out *out, uint64_t size, uint16_t flags)
{
    out_be64(out, size);
    out_be16(out, flags);
    if (!hs->no_zeroes)
        out_zeroes(out, 124);
    hs->done = true;
    answered(hs);
}
