// SPDX-License-Identifier: BSD-3-Clause
// The model client in the handshake.
#include "sim_client.h"

#include <base/limits.h>

#define REPLY_HEADER 20u

bool
sim_client_greeting(struct sim_client *c, struct bytes in, size_t *used)
{
    if (in.len < 18)
        return false;
    expect(get_be64(in.p) == NBD_INIT_MAGIC && get_be64(in.p + 8) == NBD_OPTION_MAGIC,
           "the proxy greets with a wrong magic");
    expect(get_be16(in.p + 16) == (NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES),
           "the proxy greets with wrong flags");
    *used = 18;
    uint8_t flags[4];
    put_be32(flags, NBD_FLAG_FIXED_NEWSTYLE | (c->plan.no_zeroes ? NBD_FLAG_NO_ZEROES : 0));
    sim_client_say(c, flags, sizeof flags);
    c->state = CLIENT_OPTION;
    sim_client_next_option(c);
    return true;
}

// Asking ------------------------------------------------------------------------------------

static void
ask(struct sim_client *c, uint32_t option, const struct out *data)
{
    uint8_t b[16];
    struct out out = out_of(b, sizeof b);
    out_be64(&out, NBD_OPTION_MAGIC);
    out_be32(&out, option);
    out_be32(&out, (uint32_t)data->len);
    sim_client_say(c, b, sizeof b);
    sim_client_say(c, data->p, data->len);
}

static const char *
name_of_step(const struct sim_client *c)
{
    const char *own = c->plan.names[c->step];
    return own ? own : c->plan.name;
}

static void
put_name(struct sim_client *c, struct out *out)
{
    struct bytes name = bytes_str(name_of_step(c));
    out_be32(out, (uint32_t)name.len);
    out_bytes(out, name);
}

static void
put_query(struct out *out, const char *q)
{
    out_be32(out, (uint32_t)strlen(q));
    out_bytes(out, bytes_str(q));
}

static void
put_data(struct sim_client *c, uint32_t option, struct out *out)
{
    bool set = option == NBD_OPT_SET_META_CONTEXT;
    switch (option) {
    case NBD_OPT_EXPORT_NAME: out_bytes(out, bytes_str(name_of_step(c))); break;
    case NBD_OPT_INFO:
    case NBD_OPT_GO:
        put_name(c, out);
        out_be16(out, c->plan.block_size ? 2 : 0);
        if (c->plan.block_size) {
            out_be16(out, NBD_INFO_DESCRIPTION);
            out_be16(out, NBD_INFO_BLOCK_SIZE);
        }
        break;
    case NBD_OPT_LIST_META_CONTEXT:
    case NBD_OPT_SET_META_CONTEXT:
        put_name(c, out);
        out_be32(out, set ? !c->plan.no_allocation + c->plan.other_context : 0);
        if (set && c->plan.other_context)
            put_query(out, "sim:other");
        if (set && !c->plan.no_allocation)
            put_query(out, "base:allocation");
        break;
    case NBD_OPT_STRUCTURED_REPLY:
    case NBD_OPT_EXTENDED_HEADERS:
    case NBD_OPT_LIST:
    case NBD_OPT_ABORT: break;
    case NBD_OPT_STARTTLS:
        if (!c->plan.tls) // the proxy must refuse it, too
            out_bytes(out, bytes_str("whatever"));
        break;
    default: out_bytes(out, bytes_str("whatever")); break; // the proxy must refuse it
    }
}

// Somebody between the client and the proxy has something to say, too.
static void
inject(struct sim_client *c)
{
    struct out none = out_of(NULL, 0);
    switch (chance_below(3)) {
    case 0: sim_client_say(c, "x", 1); break;
    case 1: ask(c, NBD_OPT_STRUCTURED_REPLY, &none); break;
    case 2: ask(c, NBD_OPT_LIST, &none); break;
    }
}

void
sim_client_next_option(struct sim_client *c)
{
    if (c->step == c->plan.n_steps) // it stays, and says nothing
        return;
    uint8_t b[256];
    struct out out = out_of(b, sizeof b);
    uint32_t option = c->plan.steps[c->step];
    if (option == NBD_OPT_SET_META_CONTEXT) {
        c->allocation = c->other = false;
        c->contexts_of = name_of_step(c);
    }
    if (option == NBD_OPT_LIST)
        c->n_listed = 0;
    put_data(c, option, &out);
    ask(c, option, &out);
    c->disc_sent |= option == NBD_OPT_ABORT;
    if (option == NBD_OPT_STARTTLS && c->plan.trouble == TLS_INJECTED)
        inject(c);
}

// Answers -----------------------------------------------------------------------------------

static void
check_export(struct sim_client *c, uint32_t option, uint64_t size, uint16_t flags)
{
    uint64_t right = c->plan.size_of ? c->plan.size_of(name_of_step(c)) : c->oracle->size;
    bool unknown = !size && option == NBD_OPT_INFO && c->plan.may_be_cut; // as upstream's INFO says
    expect(size == right || unknown, "the export's size is told as %llu", (unsigned long long)size);
    uint16_t expected = c->plan.expected_flags;
    if (c->format == FORMAT_SIMPLE)
        expected &= (uint16_t)~NBD_FLAG_SEND_DF;
    expect(!expected || flags == expected, "the export's flags are told as 0x%x, not 0x%x", flags,
           expected);
    expect(c->format != FORMAT_SIMPLE || !(flags & NBD_FLAG_SEND_DF), "DF without chunks");
    if (c->info_seen && !c->plan.size_of)
        expect(flags == c->info_flags, "INFO and GO do not agree");
    c->info_seen = option == NBD_OPT_INFO;
    c->info_flags = flags;
    c->size = size;
    c->flags = flags;
}

static void
take_info(struct sim_client *c, uint32_t option, struct bytes data)
{
    struct cursor cur = cursor_of(data.p, data.len);
    uint16_t info = cursor_be16(&cur);
    if (info == NBD_INFO_EXPORT) {
        uint64_t size = cursor_be64(&cur);
        check_export(c, option, size, cursor_be16(&cur));
    } else if (info == NBD_INFO_BLOCK_SIZE) {
        c->has_block_size = true;
        c->minimum = cursor_be32(&cur);
        cursor_be32(&cur);
        c->maximum = cursor_be32(&cur);
    } else {
        cursor_bytes(&cur, cursor_left(&cur));
    }
    expect(!cur.bad && !cursor_left(&cur), "malformed INFO %u", info);
}

static void
take_context(struct sim_client *c, uint32_t option, struct bytes data)
{
    expect(data.len > 4, "malformed META_CONTEXT");
    struct bytes name = bytes_of(data.p + 4, data.len - 4);
    bool allocation = bytes_equal(name, bytes_str("base:allocation"));
    expect(allocation || bytes_equal(name, bytes_str("sim:other")), "an unknown context");
    if (option != NBD_OPT_SET_META_CONTEXT)
        return;
    expect(allocation ? !c->plan.no_allocation : c->plan.other_context,
           "a context that the client has not asked for");
    if (allocation) {
        c->allocation = true;
        c->allocation_id = get_be32(data.p);
    } else {
        c->other = true;
        c->other_id = get_be32(data.p);
    }
}

static void
take_server(struct sim_client *c, struct bytes data)
{
    expect(data.len >= 4 && get_be32(data.p) <= data.len - 4, "malformed SERVER");
    size_t n = get_be32(data.p);
    expect(c->n_listed < LISTED_MAX && n < sizeof c->listed[0], "more listed than there is");
    memcpy(c->listed[c->n_listed], data.p + 4, n);
    c->listed[c->n_listed++][n] = '\0';
}

static void
take_item(struct sim_client *c, uint32_t option, uint32_t type, struct bytes data)
{
    bool meta = option == NBD_OPT_SET_META_CONTEXT || option == NBD_OPT_LIST_META_CONTEXT;
    bool info = option == NBD_OPT_INFO || option == NBD_OPT_GO;
    if (type == NBD_REP_SERVER && option == NBD_OPT_LIST)
        take_server(c, data);
    else if (type == NBD_REP_INFO && info)
        take_info(c, option, data);
    else if (type == NBD_REP_META_CONTEXT && meta)
        take_context(c, option, data);
    else
        world_fail("reply %u to option %u", type, option);
}

// STRUCTURED_REPLY and EXTENDED_HEADERS are the proxy's own to give, whatever upstream speaks.
static void
finish_format(struct sim_client *c, uint32_t option, uint32_t type)
{
    enum wire_format asked =
        option == NBD_OPT_EXTENDED_HEADERS ? FORMAT_EXTENDED : FORMAT_STRUCTURED;
    if (c->format < asked) {
        expect(type == NBD_REP_ACK, "option %u was answered 0x%x", option, type);
        c->format = asked;
        return;
    }
    // "SHOULD NOT" ask again; what was agreed stays.
    expect(asked == c->format || type == NBD_REP_ERR_EXT_HEADER_REQD,
           "STRUCTURED_REPLY behind EXTENDED_HEADERS was answered 0x%x", type);
}

// spec: NBD_OPT_STARTTLS: nothing of what was agreed before it holds.
static void
finish_starttls(struct sim_client *c, uint32_t type)
{
    bool may = c->plan.tls && !c->line.secure;
    expect(may == (type == NBD_REP_ACK), "STARTTLS was answered 0x%x", type);
    if (!may)
        return;
    sim_client_start_tls(c);
    c->format = FORMAT_SIMPLE;
    c->allocation = c->other = c->info_seen = c->has_block_size = false;
    c->contexts_of = NULL;
}

// Known or not, in plaintext an option is answered so where TLS is required.
static bool
is_too_early(const struct sim_client *c, uint32_t option)
{
    return c->plan.tls_required && !c->line.secure && option != NBD_OPT_STARTTLS &&
           option != NBD_OPT_ABORT;
}

static void
begin_transmission(struct sim_client *c)
{
    c->state = CLIENT_TRANSMISSION;
    if (c->contexts_of && strcmp(c->contexts_of, name_of_step(c)) != 0)
        c->allocation = c->other = false; // spec: "referred to the same export name"
}

static void
finish_option(struct sim_client *c, uint32_t option, uint32_t type)
{
    bool good = type == NBD_REP_ACK, early = is_too_early(c, option);
    expect(early == (type == NBD_REP_ERR_TLS_REQD), "option %u was answered 0x%x", option, type);
    bool starts = option == NBD_OPT_STARTTLS && good;
    if (!early && (option == NBD_OPT_STRUCTURED_REPLY || option == NBD_OPT_EXTENDED_HEADERS))
        finish_format(c, option, type);
    if (option == NBD_OPT_STARTTLS)
        finish_starttls(c, type);
    c->was_refused |= !good;
    if (!good)
        c->refusal = type;
    c->info_seen &= option == NBD_OPT_INFO; // what it said holds until another option comes
    if (option == NBD_OPT_SET_META_CONTEXT && !good)
        c->allocation = c->other = false;
    if (good && option == NBD_OPT_GO)
        begin_transmission(c);
    c->step++;
    if (c->state == CLIENT_OPTION && !starts)
        sim_client_next_option(c);
}

static bool
export_name_reply(struct sim_client *c, struct bytes in, size_t *used)
{
    size_t n = c->plan.no_zeroes ? 10 : 134;
    if (in.len < n)
        return false;
    check_export(c, NBD_OPT_EXPORT_NAME, get_be64(in.p), get_be16(in.p + 8));
    expect(n == 10 || bytes_all_zero(in.p + 10, 124), "EXPORT_NAME without its zeroes");
    *used = n;
    begin_transmission(c);
    return true;
}

bool
sim_client_option_reply(struct sim_client *c, struct bytes in, size_t *used)
{
    expect(c->step < c->plan.n_steps, "the proxy talks unasked");
    uint32_t option = c->plan.steps[c->step];
    if (option == NBD_OPT_EXPORT_NAME)
        return export_name_reply(c, in, used);
    if (in.len < REPLY_HEADER)
        return false;
    expect(get_be64(in.p) == NBD_OPTION_REPLY_MAGIC, "the proxy lost the framing of options");
    expect(get_be32(in.p + 8) == option, "the answer to another option");
    uint32_t type = get_be32(in.p + 12), len = get_be32(in.p + 16);
    expect(len <= MAX_OPTION_REPLY, "a reply of %u bytes", len);
    if (in.len - REPLY_HEADER < len)
        return false;
    *used = REPLY_HEADER + len;
    struct bytes data = bytes_of(in.p + REPLY_HEADER, len);
    if (type == NBD_REP_ACK || (type & NBD_REP_ERROR_BIT)) {
        expect(type != NBD_REP_ACK || !len, "an ACK with data");
        note("client %u: option %u answered 0x%x", c->index, option, type);
        finish_option(c, option, type);
    } else {
        take_item(c, option, type, data);
    }
    return true;
}
