// SPDX-License-Identifier: BSD-3-Clause
#include <wire/upstream_handshake.h>

#include <base/range.h>

#define REPLY_HEADER_SIZE 20u

//   MAGIC ▶ STYLE ▶ FLAGS ▶ IDLE ──ask──▶ HEADER ──▶ DATA ──▶ HEADER (an item), or
//                            ▲ │                       │      DONE after GO and EXPORT_NAME
//                            │ └──ask──▶ EXPORT ▶ DONE │      any state ──▶ CLOSED: breach, abort
//                            └──────── TAIL ◀──────────┘
enum state {
    MAGIC,  // of every NBD server
    STYLE,  // old or new
    FLAGS,  // of the handshake
    IDLE,   // it is for the caller to ask
    HEADER, // of an option reply
    DATA,   // of an option reply, as far as we keep it
    TAIL,   // what is too long of an error's text: thrown away
    EXPORT, // the answer to EXPORT_NAME
    DONE,   // transmission phase
    CLOSED,
};

static void
await(struct upstream_handshake *hs, enum state state, uint32_t need)
{
    hs->state = state;
    hs->need = need;
    hs->have = 0;
}

static enum upstream_hs_event
breach(struct upstream_handshake *hs, const char *why)
{
    hs->breach = why;
    await(hs, CLOSED, 0);
    return UPSTREAM_HS_BREACH;
}

void
upstream_hs_begin(struct upstream_handshake *hs, uint8_t *scratch)
{
    *hs = (struct upstream_handshake){.scratch = scratch};
    await(hs, MAGIC, 8);
}

static enum upstream_hs_event
take_magic(struct upstream_handshake *hs)
{
    if (get_be64(hs->scratch) != NBD_INIT_MAGIC)
        return breach(hs, "not an NBD server: wrong magic");
    await(hs, STYLE, 8);
    return UPSTREAM_HS_MORE;
}

static enum upstream_hs_event
take_style(struct upstream_handshake *hs)
{
    uint64_t magic = get_be64(hs->scratch);
    if (magic == NBD_OLDSTYLE_MAGIC)
        return breach(hs, "server speaks oldstyle NBD, which is not yet supported");
    if (magic != NBD_OPTION_MAGIC)
        return breach(hs, "not an NBD server: wrong second magic");
    await(hs, FLAGS, 2);
    return UPSTREAM_HS_MORE;
}

static enum upstream_hs_event
take_flags(struct upstream_handshake *hs, struct out *out)
{
    hs->server_flags = get_be16(hs->scratch);
    if (!(hs->server_flags & NBD_FLAG_FIXED_NEWSTYLE))
        return breach(hs, "server speaks newstyle NBD but not fixed, which is not yet supported");
    // "The client SHOULD ignore any handshake flags it does not recognize"
    uint32_t flags = hs->server_flags & (NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
    hs->no_zeroes = flags & NBD_FLAG_NO_ZEROES;
    out_be32(out, flags);
    await(hs, IDLE, 0);
    return UPSTREAM_HS_READY;
}

static bool
is_string(struct bytes s)
{
    return s.len <= MAX_STRING && !(s.len && memchr(s.p, 0, s.len));
}

// Descriptions are for people, so a terminator that a server sends along is no reason to drop it;
// but the protocol forbids us to pass it on.
static struct bytes
without_nul(struct bytes s)
{
    const uint8_t *nul = s.len ? memchr(s.p, 0, s.len) : NULL;
    return nul ? bytes_of(s.p, (size_t)(nul - s.p)) : s;
}

// Is this a reply to the option that was asked?
static bool
answers(uint32_t option, uint32_t reply)
{
    switch (reply) {
    case NBD_REP_ACK: return true;
    case NBD_REP_SERVER: return option == NBD_OPT_LIST;
    case NBD_REP_INFO: return option == NBD_OPT_INFO || option == NBD_OPT_GO;
    case NBD_REP_META_CONTEXT:
        return option == NBD_OPT_LIST_META_CONTEXT || option == NBD_OPT_SET_META_CONTEXT;
    }
    return reply & NBD_REP_ERROR_BIT;
}

static enum upstream_hs_event
take_header(struct upstream_handshake *hs)
{
    if (get_be64(hs->scratch) != NBD_OPTION_REPLY_MAGIC)
        return breach(hs, "wrong magic of an option reply");
    if (get_be32(hs->scratch + 8) != hs->asked)
        return breach(hs, "reply to another option than the one asked");
    hs->reply_type = get_be32(hs->scratch + 12);
    hs->reply_len = get_be32(hs->scratch + 16);
    if (!answers(hs->asked, hs->reply_type))
        return breach(hs, "option reply of an unknown or unexpected type");
    bool error = hs->reply_type & NBD_REP_ERROR_BIT;
    if (hs->reply_type == NBD_REP_ACK && hs->reply_len)
        return breach(hs, "ACK with data");
    if (!error && hs->reply_len > MAX_OPTION_REPLY)
        return breach(hs, "option reply longer than any legal one");
    if (hs->reply_type != NBD_REP_ACK && !error && ++hs->items > MAX_REPLY_ITEMS)
        return breach(hs, "too many entries in the answer to one option");
    hs->item_bytes += hs->reply_len;
    if (hs->item_bytes > MAX_REPLY_BYTES)
        return breach(hs, "too much data in the answer to one option");
    bool cut = error && hs->reply_len > MAX_STRING;
    await(hs, DATA, cut ? MAX_STRING : hs->reply_len);
    return UPSTREAM_HS_MORE;
}

static const char *
parse_server(struct upstream_handshake *hs, struct cursor *c)
{
    hs->item.name = cursor_bytes(c, cursor_be32(c));
    hs->item.description = without_nul(bytes_of(c->p, cursor_left(c)));
    if (c->bad)
        return "name of an export longer than its entry";
    if (!is_string(hs->item.name))
        return "name of an export longer than 4096 bytes or with NUL";
    return is_string(hs->item.description) ? NULL : "description longer than 4096 bytes";
}

static const char *
parse_context(struct upstream_handshake *hs, struct cursor *c)
{
    hs->item.context = cursor_be32(c);
    hs->item.name = bytes_of(c->p, cursor_left(c));
    if (c->bad)
        return "META_CONTEXT too short";
    return is_string(hs->item.name) ? NULL : "name of a context longer than 4096 bytes or with NUL";
}

static const char *
set_export(struct upstream_export *e, uint64_t size, uint16_t flags)
{
    if (size > MAX_EXPORT_SIZE)
        return "export larger than 2^63 - 1 bytes";
    if (e->known && (e->size != size || e->flags != flags))
        return "two different INFO_EXPORT";
    e->known = true;
    e->size = size;
    e->flags = flags;
    return NULL;
}

static const char *
parse_export(struct upstream_export *e, struct bytes payload)
{
    if (payload.len != 10)
        return "INFO_EXPORT of impossible length";
    return set_export(e, get_be64(payload.p), get_be16(payload.p + 8));
}

// spec: "Size constraints". That `preferred` be 512 at least is left alone: nothing depends on it.
static const char *
parse_block_size(struct upstream_export *e, struct bytes payload)
{
    if (payload.len != 12)
        return "INFO_BLOCK_SIZE of impossible length";
    uint32_t minimum = get_be32(payload.p);
    uint32_t preferred = get_be32(payload.p + 4);
    uint32_t maximum = get_be32(payload.p + 8);
    if (!is_power_of_two(minimum) || minimum > 65536)
        return "minimum block size that is no power of two up to 65536";
    if (!is_power_of_two(preferred) || preferred < minimum)
        return "preferred block size that is no power of two from the minimum up";
    if (maximum < preferred)
        return "maximum payload smaller than the preferred block size";
    if (e->has_block_size &&
        (e->minimum != minimum || e->preferred != preferred || e->maximum != maximum))
        return "two different INFO_BLOCK_SIZE";
    e->has_block_size = true;
    e->minimum = minimum;
    e->preferred = preferred;
    e->maximum = maximum;
    return NULL;
}

static const char *
parse_info(struct upstream_handshake *hs, struct cursor *c)
{
    struct upstream_item *item = &hs->item;
    item->info = cursor_be16(c);
    item->payload = bytes_of(c->p, cursor_left(c));
    if (c->bad)
        return "INFO too short";
    switch (item->info) {
    case NBD_INFO_EXPORT: return parse_export(&hs->export, item->payload);
    case NBD_INFO_NAME:
        return is_string(item->payload) ? NULL : "INFO_NAME longer than 4096 bytes or with NUL";
    case NBD_INFO_DESCRIPTION:
        item->payload = without_nul(item->payload);
        return is_string(item->payload) ? NULL : "INFO_DESCRIPTION longer than 4096 bytes";
    case NBD_INFO_BLOCK_SIZE: return parse_block_size(&hs->export, item->payload);
    }
    return NULL;
}

// "A particular information type SHOULD only appear once": the caller sees the first.
static bool
is_repetition(struct upstream_handshake *hs)
{
    if (hs->item.reply != NBD_REP_INFO || hs->item.info > NBD_INFO_BLOCK_SIZE)
        return false;
    uint32_t bit = UINT32_C(1) << hs->item.info;
    bool repeated = hs->infos_seen & bit;
    hs->infos_seen |= bit;
    return repeated;
}

static enum upstream_hs_event
take_item(struct upstream_handshake *hs)
{
    struct cursor c = cursor_of(hs->scratch, hs->reply_len);
    hs->item = (struct upstream_item){.reply = hs->reply_type};
    const char *why = hs->reply_type == NBD_REP_SERVER ? parse_server(hs, &c)
                      : hs->reply_type == NBD_REP_INFO ? parse_info(hs, &c)
                                                       : parse_context(hs, &c);
    if (why)
        return breach(hs, why);
    await(hs, HEADER, REPLY_HEADER_SIZE);
    return is_repetition(hs) ? UPSTREAM_HS_MORE : UPSTREAM_HS_ITEM;
}

static enum upstream_hs_event
finish(struct upstream_handshake *hs, uint32_t reply, struct bytes text)
{
    bool begins =
        reply == NBD_REP_ACK && (hs->asked == NBD_OPT_GO || hs->asked == NBD_OPT_EXPORT_NAME);
    hs->answer = (struct upstream_answer){.reply = reply, .text = text};
    hs->asked = 0;
    await(hs, begins ? DONE : IDLE, 0);
    return UPSTREAM_HS_ANSWER;
}

static enum upstream_hs_event
take_data(struct upstream_handshake *hs)
{
    if (hs->reply_type & NBD_REP_ERROR_BIT) {
        await(hs, TAIL, hs->reply_len - hs->need);
        return UPSTREAM_HS_MORE;
    }
    if (hs->reply_type != NBD_REP_ACK)
        return take_item(hs);
    bool of_export = hs->asked == NBD_OPT_INFO || hs->asked == NBD_OPT_GO;
    if (of_export && !hs->export.known)
        return breach(hs, "ACK without INFO_EXPORT");
    return finish(hs, NBD_REP_ACK, (struct bytes){0});
}

static enum upstream_hs_event
take_tail(struct upstream_handshake *hs)
{
    return finish(hs, hs->reply_type, bytes_of(hs->scratch, hs->reply_len - hs->need));
}

static enum upstream_hs_event
take_export(struct upstream_handshake *hs)
{
    const char *why = set_export(&hs->export, get_be64(hs->scratch), get_be16(hs->scratch + 8));
    return why ? breach(hs, why) : finish(hs, NBD_REP_ACK, (struct bytes){0});
}

// One element is complete.
static enum upstream_hs_event
step(struct upstream_handshake *hs, struct out *out)
{
    switch ((enum state)hs->state) {
    case MAGIC: return take_magic(hs);
    case STYLE: return take_style(hs);
    case FLAGS: return take_flags(hs, out);
    case HEADER: return take_header(hs);
    case DATA: return take_data(hs);
    case TAIL: return take_tail(hs);
    case EXPORT: return take_export(hs);
    case IDLE:
    case DONE:
    case CLOSED: break;
    }
    return hs->breach ? UPSTREAM_HS_BREACH : UPSTREAM_HS_MORE;
}

size_t
upstream_hs_feed(struct upstream_handshake *hs, const uint8_t *in, size_t len, struct out *out,
                 enum upstream_hs_event *event)
{
    size_t used = 0;
    *event = UPSTREAM_HS_MORE;
    while (*event == UPSTREAM_HS_MORE) {
        if (hs->state == IDLE && used < len)
            *event = breach(hs, "bytes that nobody asked for");
        size_t n = hs->need - hs->have;
        if (n > len - used)
            n = len - used;
        if (n && hs->state != TAIL)
            memcpy(hs->scratch + hs->have, in + used, n);
        hs->have += (uint32_t)n;
        used += n;
        if (hs->have < hs->need)
            break;
        *event = step(hs, out);
        if (hs->state == IDLE || hs->state >= DONE)
            break;
    }
    return used;
}

static void
ask(struct upstream_handshake *hs, struct out *out, uint32_t option, size_t len)
{
    hs->asked = option;
    hs->items = 0;
    hs->item_bytes = 0;
    hs->infos_seen = 0;
    out_be64(out, NBD_OPTION_MAGIC);
    out_be32(out, option);
    out_be32(out, (uint32_t)len);
    await(hs, HEADER, REPLY_HEADER_SIZE);
}

static void
out_string(struct out *out, struct bytes s)
{
    out_be32(out, (uint32_t)s.len);
    out_bytes(out, s);
}

void
upstream_hs_ask_structured(struct upstream_handshake *hs, struct out *out)
{
    ask(hs, out, NBD_OPT_STRUCTURED_REPLY, 0);
}

void
upstream_hs_ask_list(struct upstream_handshake *hs, struct out *out)
{
    ask(hs, out, NBD_OPT_LIST, 0);
}

void
upstream_hs_ask_info(struct upstream_handshake *hs, struct out *out, uint32_t option,
                     struct bytes name, struct bytes infos)
{
    hs->export = (struct upstream_export){0};
    ask(hs, out, option, 4 + name.len + 2 + infos.len);
    out_string(out, name);
    out_be16(out, (uint16_t)(infos.len / 2));
    out_bytes(out, infos);
}

void
upstream_hs_ask_meta(struct upstream_handshake *hs, struct out *out, uint32_t option,
                     struct bytes name, uint32_t n_queries, struct bytes queries,
                     struct bytes extra)
{
    size_t more = extra.len ? 4 + extra.len : 0;
    ask(hs, out, option, 4 + name.len + 4 + queries.len + more);
    out_string(out, name);
    out_be32(out, n_queries + (extra.len ? 1 : 0));
    out_bytes(out, queries);
    if (extra.len)
        out_string(out, extra);
}

void
upstream_hs_ask_export_name(struct upstream_handshake *hs, struct out *out, struct bytes name)
{
    hs->export = (struct upstream_export){0};
    ask(hs, out, NBD_OPT_EXPORT_NAME, name.len);
    out_bytes(out, name);
    await(hs, EXPORT, hs->no_zeroes ? 10 : 134);
}

void
upstream_hs_abort(struct upstream_handshake *hs, struct out *out)
{
    ask(hs, out, NBD_OPT_ABORT, 0);
    await(hs, CLOSED, 0);
}
