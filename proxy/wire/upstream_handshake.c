// SPDX-License-Identifier: BSD-3-Clause
#include <wire/upstream_handshake.h>

#include "upstream_items.h"

#define REPLY_HEADER_SIZE 20u
// Size, flags and padding (spec: "Oldstyle negotiation", the reply to EXPORT_NAME).
#define OLDSTYLE_SIZE (8u + 4 + 124)
#define EXPORT_SIZE   (8u + 2)
#define EXPORT_ZEROES 124u

//   MAGIC ▶ STYLE ▶ FLAGS ▶ IDLE ──ask──▶ HEADER ──▶ DATA ──▶ HEADER (an item), or
//             │              ▲ │                       │      DONE after GO and EXPORT_NAME
//             ▼              │ └──ask──▶ EXPORT ▶ DONE │      any state ──▶ CLOSED: breach, abort
//         OLDSTYLE ▶ DONE    └──────── TAIL ◀──────────┘
//                └ TRIAL ▶ DONE
enum state {
    MAGIC,    // of every NBD server
    STYLE,    // old or new
    OLDSTYLE, // all there is to that handshake
    TRIAL,    // the reply to the FLUSH that tries an oldstyle server's flags
    FLAGS,    // of the handshake
    IDLE,     // it is for the caller to ask
    HEADER,   // of an option reply
    DATA,     // of an option reply, as far as we keep it
    TAIL,     // what is too long of an error's text: thrown away
    EXPORT,   // the answer to EXPORT_NAME
    DONE,     // transmission phase
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
upstream_hs_begin(struct upstream_handshake *hs, uint8_t *scratch, bool tls)
{
    *hs = (struct upstream_handshake){.scratch = scratch, .wants_tls = tls};
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
    if (magic == NBD_OLDSTYLE_MAGIC && hs->wants_tls)
        return breach(hs, "TLS: an oldstyle server cannot speak it, and without it, which nbd:// "
                          "would mean, it is not spoken to");
    if (magic == NBD_OLDSTYLE_MAGIC)
        await(hs, OLDSTYLE, OLDSTYLE_SIZE);
    else if (magic == NBD_OPTION_MAGIC)
        await(hs, FLAGS, 2);
    else
        return breach(hs, "not an NBD server: wrong second magic");
    return UPSTREAM_HS_MORE;
}

// nbdkit's oldstyle server advertises all that newstyle clients may use and refuses it with EINVAL,
// in every version so far: FLUSH, FUA, TRIM, WRITE_ZEROES, CACHE. So a FLUSH, which harms nobody,
// is tried before its flags are believed.
#define TRIAL_COOKIE UINT64_C(0x6f6c647374796c65)
#define UNTRIED                                                                                    \
    (NBD_FLAG_HAS_FLAGS | NBD_FLAG_READ_ONLY | NBD_FLAG_ROTATIONAL | NBD_FLAG_CAN_MULTI_CONN)

static enum upstream_hs_event
begin_oldstyle(struct upstream_handshake *hs)
{
    await(hs, DONE, 0);
    return UPSTREAM_HS_READY;
}

static void
try_flush(struct upstream_handshake *hs, struct out *out)
{
    uint8_t b[REQUEST_SIZE_MAX];
    struct request flush = {.type = NBD_CMD_FLUSH, .cookie = TRIAL_COOKIE};
    request_encode(FORMAT_SIMPLE, b, &flush);
    out_bytes(out, bytes_of(b, COMPACT_REQUEST_SIZE));
    await(hs, TRIAL, SIMPLE_REPLY_SIZE);
}

// These tell of a FLUSH that was understood and did not succeed, or of success: the flags are true,
// and whatever could not be made safe is not this client's, who has written nothing. All others
// (EINVAL, EPERM, ENOTSUP, an errno that NBD does not have) say that there is no such command: then
// not to offer it is the truth.
static bool
failed_in_earnest(uint32_t error)
{
    switch (error) {
    case NBD_SUCCESS:
    case NBD_EIO:
    case NBD_ENOMEM:
    case NBD_ENOSPC:
    case NBD_ESHUTDOWN: return true;
    }
    return false;
}

static enum upstream_hs_event
take_trial(struct upstream_handshake *hs)
{
    if (get_be32(hs->scratch) != NBD_SIMPLE_REPLY_MAGIC)
        return breach(hs, "wrong reply magic");
    struct reply r = reply_decode(hs->scratch);
    if (r.cookie != TRIAL_COOKIE)
        return breach(hs, "reply with a cookie that is not in flight");
    if (!failed_in_earnest(r.error))
        hs->export.flags &= UNTRIED;
    return begin_oldstyle(hs);
}

// The transmission flags are the low half of the flags; the high half has no meaning.
static enum upstream_hs_event
take_oldstyle(struct upstream_handshake *hs, struct out *out)
{
    hs->style = UPSTREAM_OLDSTYLE;
    hs->server_flags = get_be16(hs->scratch + 8);
    const char *why = export_set(&hs->export, get_be64(hs->scratch), get_be16(hs->scratch + 10));
    if (why)
        return breach(hs, why);
    if (!(hs->export.flags & NBD_FLAG_SEND_FLUSH))
        return begin_oldstyle(hs);
    try_flush(hs, out);
    return UPSTREAM_HS_MORE;
}

static enum upstream_hs_event
take_flags(struct upstream_handshake *hs, struct out *out)
{
    hs->server_flags = get_be16(hs->scratch);
    // "The client SHOULD ignore any handshake flags it does not recognize"
    uint32_t flags = hs->server_flags & (NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
    hs->style = flags & NBD_FLAG_FIXED_NEWSTYLE ? UPSTREAM_FIXED : UPSTREAM_NEWSTYLE;
    if (hs->wants_tls && hs->style != UPSTREAM_FIXED)
        return breach(hs, "TLS: a server that is not fixed newstyle cannot speak it, and without "
                          "it, which nbd:// would mean, it is not spoken to");
    hs->no_zeroes = flags & NBD_FLAG_NO_ZEROES;
    out_be32(out, flags);
    await(hs, IDLE, 0);
    return UPSTREAM_HS_READY;
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
    const char *why = item_parse(&hs->item, &hs->export, &c);
    if (why)
        return breach(hs, why);
    await(hs, HEADER, REPLY_HEADER_SIZE);
    return is_repetition(hs) ? UPSTREAM_HS_MORE : UPSTREAM_HS_ITEM;
}

static enum upstream_hs_event
finish(struct upstream_handshake *hs, uint32_t reply, struct bytes text)
{
    bool ack = reply == NBD_REP_ACK;
    bool begins = ack && (hs->asked == NBD_OPT_GO || hs->asked == NBD_OPT_EXPORT_NAME);
    if (ack && hs->asked == NBD_OPT_EXTENDED_HEADERS)
        hs->format = FORMAT_EXTENDED;
    hs->secure |= ack && hs->asked == NBD_OPT_STARTTLS;
    if (ack && hs->asked == NBD_OPT_STRUCTURED_REPLY && hs->format == FORMAT_SIMPLE)
        hs->format = FORMAT_STRUCTURED;
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
    // ext: once it has acknowledged EXTENDED_HEADERS it "MUST NOT fail NBD_OPT_GO" so. We could not
    // fall back either: EXPORT_NAME is forbidden then.
    if (hs->asked == NBD_OPT_GO && hs->reply_type == NBD_REP_ERR_UNSUP &&
        hs->format == FORMAT_EXTENDED)
        return breach(hs, "extended headers without GO");
    return finish(hs, hs->reply_type, bytes_of(hs->scratch, hs->reply_len - hs->need));
}

static enum upstream_hs_event
take_export(struct upstream_handshake *hs)
{
    const char *why = export_set(&hs->export, get_be64(hs->scratch), get_be16(hs->scratch + 8));
    return why ? breach(hs, why) : finish(hs, NBD_REP_ACK, (struct bytes){0});
}

// One element is complete.
static enum upstream_hs_event
step(struct upstream_handshake *hs, struct out *out)
{
    switch ((enum state)hs->state) {
    case MAGIC: return take_magic(hs);
    case STYLE: return take_style(hs);
    case OLDSTYLE: return take_oldstyle(hs, out);
    case TRIAL: return take_trial(hs);
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

// One question at a time, and only what the other side can understand. Whoever asks for more writes
// nothing: a byte too much would be taken for something else.
static bool
may_ask(const struct upstream_handshake *hs, uint32_t option)
{
    if (hs->state != IDLE)
        return false;
    // spec: STARTTLS must be the first option; not a word more may be said in plaintext.
    if (hs->wants_tls && !hs->secure)
        return option == NBD_OPT_STARTTLS;
    if (option == NBD_OPT_EXPORT_NAME)
        return hs->format != FORMAT_EXTENDED; // ext: "MUST NOT use this option"
    return hs->style == UPSTREAM_FIXED;
}

static bool
ask(struct upstream_handshake *hs, struct out *out, uint32_t option, size_t len)
{
    if (!may_ask(hs, option))
        return false;
    hs->asked = option;
    hs->items = 0;
    hs->item_bytes = 0;
    hs->infos_seen = 0;
    out_be64(out, NBD_OPTION_MAGIC);
    out_be32(out, option);
    out_be32(out, (uint32_t)len);
    await(hs, HEADER, REPLY_HEADER_SIZE);
    return true;
}

static void
out_string(struct out *out, struct bytes s)
{
    out_be32(out, (uint32_t)s.len);
    out_bytes(out, s);
}

void
upstream_hs_ask_tls(struct upstream_handshake *hs, struct out *out)
{
    ask(hs, out, NBD_OPT_STARTTLS, 0);
}

void
upstream_hs_ask_format(struct upstream_handshake *hs, struct out *out, enum wire_format f)
{
    ask(hs, out, f == FORMAT_EXTENDED ? NBD_OPT_EXTENDED_HEADERS : NBD_OPT_STRUCTURED_REPLY, 0);
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
    if (!ask(hs, out, option, 4 + name.len + 2 + infos.len))
        return;
    hs->export = (struct upstream_export){0};
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
    if (!ask(hs, out, option, 4 + name.len + 4 + queries.len + more))
        return;
    out_string(out, name);
    out_be32(out, n_queries + (extra.len ? 1 : 0));
    out_bytes(out, queries);
    if (extra.len)
        out_string(out, extra);
}

void
upstream_hs_ask_export_name(struct upstream_handshake *hs, struct out *out, struct bytes name)
{
    if (!ask(hs, out, NBD_OPT_EXPORT_NAME, name.len))
        return;
    hs->export = (struct upstream_export){0};
    out_bytes(out, name);
    await(hs, EXPORT, EXPORT_SIZE + (hs->no_zeroes ? 0 : EXPORT_ZEROES));
}

void
upstream_hs_abort(struct upstream_handshake *hs, struct out *out)
{
    if (ask(hs, out, NBD_OPT_ABORT, 0))
        await(hs, CLOSED, 0);
}
