// SPDX-License-Identifier: BSD-3-Clause
// Greetings of an upstream, what may be asked behind each, and the formats that it agrees to.
#include "upstream_side.h"

// Greetings.

Test(styles, client_flags_are_those_offered_and_known)
{
    static const struct {
        uint16_t offered;
        uint32_t answered;
        enum upstream_style style;
    } rows[] = {
        {0, 0, UPSTREAM_NEWSTYLE},   {1, 1, UPSTREAM_FIXED},         {2, 2, UPSTREAM_NEWSTYLE},
        {3, 3, UPSTREAM_FIXED},      {0xffff, 3, UPSTREAM_FIXED},    {0xfffc, 0, UPSTREAM_NEWSTYLE},
        {0xfffd, 1, UPSTREAM_FIXED}, {0xfffe, 2, UPSTREAM_NEWSTYLE},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        begin_with(rows[i].offered);
        cr_assert_eq(feed(), UPSTREAM_HS_READY);
        cr_assert_eq(said.len, 4);
        cr_expect_eq(get_be32(said.p), rows[i].answered, "row %u", i);
        cr_expect_eq(hs.style, rows[i].style, "row %u", i);
        cr_expect_eq(hs.server_flags, rows[i].offered);
        cr_expect_eq(hs.no_zeroes, !!(rows[i].answered & NBD_FLAG_NO_ZEROES));
        cr_expect_eq(hs.format, FORMAT_SIMPLE);
        cr_expect_not(hs.export.known);
    }
}

Test(styles, others_are_none)
{
    begin_with(3);
    put_be64(in.p + 8, 0);
    expect_breach("another second magic");
    begin_with(3);
    in.p[7] = 'X';
    in.len = 8; // no more is needed to know
    expect_breach("another magic");
}

// Begins with an oldstyle server that has not spoken to the end; its padding is not all zero.
static void
begin_oldstyle(uint64_t size, uint32_t flags)
{
    begin_with(3);
    in.len = 8;
    out_be64(&in, NBD_OLDSTYLE_MAGIC);
    out_be64(&in, size);
    out_be32(&in, flags);
    out_zeroes(&in, 60);
    out_bytes(&in, LITERAL("old servers leave anything here"));
    out_zeroes(&in, 124 - 60 - 31 - 1);
    cr_assert_eq(in.len, 151);
}

// The FLUSH that tries its flags has been sent; the server's reply.
static void
answer_trial(uint32_t error)
{
    struct request r;
    cr_assert_eq(said.len, COMPACT_REQUEST_SIZE);
    cr_assert(request_decode(FORMAT_SIMPLE, said.p, &r));
    cr_expect_eq(r.type, NBD_CMD_FLUSH);
    cr_expect_eq(r.flags, 0);
    cr_expect_eq(r.offset, 0);
    cr_expect_eq(r.length, 0);
    said.len = 0;
    uint8_t b[SIMPLE_REPLY_SIZE];
    simple_reply_encode(b, r.cookie, error);
    out_bytes(&in, bytes_of(b, sizeof b));
}

Test(styles, oldstyle)
{
    static const struct {
        uint64_t size;
        uint32_t flags;
        uint16_t low, high;
    } rows[] = {
        {12345, 0, 0, 0},
        {0, 3, 3, 0},
        {MAX_EXPORT_SIZE, 0x8001ff6d, 0xff6d, 0x8001},
        {1, UINT32_MAX, 0xffff, 0xffff},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        begin_oldstyle(rows[i].size, rows[i].flags);
        cr_assert_eq(feed(), UPSTREAM_HS_MORE, "not before the last byte");
        cr_expect_not(hs.export.known);
        out_bytes(&in, LITERAL("\0"));
        if (rows[i].low & NBD_FLAG_SEND_FLUSH) {
            cr_assert_eq(feed(), UPSTREAM_HS_MORE, "a FLUSH is tried first");
            answer_trial(NBD_SUCCESS);
        }
        out_bytes(&in, LITERAL("transmission"));
        cr_assert_eq(feed(), UPSTREAM_HS_READY);
        cr_expect_eq(hs.style, UPSTREAM_OLDSTYLE);
        cr_expect_eq(hs.format, FORMAT_SIMPLE);
        cr_expect(hs.export.known);
        cr_expect_eq(hs.export.size, rows[i].size);
        cr_expect_eq(hs.export.flags, rows[i].low);
        cr_expect_eq(hs.server_flags, rows[i].high);
        cr_expect_not(hs.export.has_block_size);
        cr_expect_eq(feed(), UPSTREAM_HS_MORE);
        cr_expect_eq(in.len - in_used, 12, "what follows is not ours");
        cr_expect_eq(said.len, 0, "there is nothing to say");
    }
}

// nbdkit -o advertises what it refuses.
Test(styles, oldstyle_flags_are_tried)
{
    static const struct {
        uint32_t error;
        uint16_t flags;
    } rows[] = {
        {NBD_SUCCESS, 0x0dff}, {NBD_EINVAL, 0x0113},    {NBD_EPERM, 0x0113}, {NBD_ENOTSUP, 0x0113},
        {38, 0x0113}, // ENOSYS, as it is on the server's machine
        {NBD_EIO, 0x0dff},     {NBD_ESHUTDOWN, 0x0dff}, {NBD_ENOSPC, 0x0dff}};
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        begin_oldstyle(4096, 0x0dff);
        out_bytes(&in, LITERAL("\0"));
        cr_assert_eq(feed(), UPSTREAM_HS_MORE);
        answer_trial(rows[i].error);
        cr_assert_eq(feed(), UPSTREAM_HS_READY);
        cr_expect_eq(hs.export.flags, rows[i].flags);
    }
}

Test(styles, oldstyle_trial_answered_wrongly)
{
    static const struct {
        unsigned at;
        const char *what;
    } rows[] = {{0, "another magic"}, {8, "another cookie"}};
    for (unsigned i = 0; i < 2; i++) {
        begin_oldstyle(4096, NBD_FLAG_SEND_FLUSH);
        out_bytes(&in, LITERAL("\0"));
        cr_assert_eq(feed(), UPSTREAM_HS_MORE);
        answer_trial(NBD_SUCCESS);
        in.p[in.len - SIMPLE_REPLY_SIZE + rows[i].at] ^= 5;
        expect_breach(rows[i].what);
    }
}

Test(styles, oldstyle_too_large)
{
    static const uint64_t sizes[] = {MAX_EXPORT_SIZE + 1, UINT64_MAX};
    for (unsigned i = 0; i < 2; i++) {
        begin_oldstyle(sizes[i], 1);
        out_be16(&in, 0);
        in.len--;
        expect_breach("too large");
        cr_expect_not(hs.export.known);
    }
}

Test(styles, silence_is_fine_and_talk_is_not)
{
    for (uint16_t flags = 0; flags <= 3; flags++) {
        begin_with(flags);
        cr_assert_eq(feed(), UPSTREAM_HS_READY);
        cr_expect_eq(feed(), UPSTREAM_HS_MORE);
        out_bytes(&in, LITERAL("x"));
        expect_breach("unasked");
        begin_with(flags);
        out_bytes(&in, LITERAL("x"));
        cr_expect_eq(feed(), UPSTREAM_HS_READY);
        expect_breach("unasked, behind the greeting");
    }
}

// Questions, as bytes.

// The machine has said this; the upstream refuses.
static void
expect_question(struct bytes what)
{
    expect_said(what);
    put_reply(&in, get_be32(what.p + 8), NBD_REP_ERR_UNSUP, LITERAL(""));
    cr_assert_eq(feed(), UPSTREAM_HS_ANSWER);
    cr_expect_eq(hs.answer.reply, NBD_REP_ERR_UNSUP);
    cr_expect_eq(hs.format, FORMAT_SIMPLE);
}

Test(questions, of_a_fixed_server)
{
    begin();
    upstream_hs_ask_format(&hs, &said, FORMAT_EXTENDED);
    expect_question(LITERAL("IHAVEOPT\0\0\0\x0b\0\0\0\0"));
    upstream_hs_ask_format(&hs, &said, FORMAT_STRUCTURED);
    expect_question(LITERAL("IHAVEOPT\0\0\0\x08\0\0\0\0"));
    upstream_hs_ask_list(&hs, &said);
    expect_question(LITERAL("IHAVEOPT\0\0\0\3\0\0\0\0"));
    upstream_hs_ask_info(&hs, &said, NBD_OPT_INFO, bytes_str("disk"), LITERAL("\0\1\0\3"));
    expect_question(LITERAL("IHAVEOPT\0\0\0\6\0\0\0\x0e\0\0\0\4disk\0\2\0\1\0\3"));
    upstream_hs_ask_info(&hs, &said, NBD_OPT_GO, bytes_str(""), LITERAL(""));
    expect_question(LITERAL("IHAVEOPT\0\0\0\7\0\0\0\6\0\0\0\0\0\0"));
    upstream_hs_ask_meta(&hs, &said, NBD_OPT_LIST_META_CONTEXT, bytes_str("d"), 0, LITERAL(""),
                         LITERAL(""));
    expect_question(LITERAL("IHAVEOPT\0\0\0\x09\0\0\0\x09\0\0\0\1d\0\0\0\0"));
    upstream_hs_ask_meta(&hs, &said, NBD_OPT_SET_META_CONTEXT, bytes_str("d"), 1,
                         LITERAL("\0\0\0\3a:b"), bytes_str("base:allocation"));
    expect_question(LITERAL("IHAVEOPT\0\0\0\x0a\0\0\0\x23\0\0\0\1d\0\0\0\2\0\0\0\3a:b"
                            "\0\0\0\x0f"
                            "base:allocation"));
    upstream_hs_abort(&hs, &said);
    expect_said(LITERAL("IHAVEOPT\0\0\0\2\0\0\0\0"));
    enum upstream_hs_event event;
    cr_expect_eq(upstream_hs_feed(&hs, (const uint8_t *)"late", 4, &said, &event), 0);
    begin();
    upstream_hs_ask_export_name(&hs, &said, bytes_str("disk"));
    expect_said(LITERAL("IHAVEOPT\0\0\0\1\0\0\0\4disk"));
}

Test(questions, of_a_newstyle_server_that_is_not_fixed)
{
    for (uint16_t flags = 0; flags <= 2; flags += 2) {
        begin_with(flags);
        cr_assert_eq(feed(), UPSTREAM_HS_READY);
        said.len = 0;
        ask_in_vain();
        cr_expect_eq(feed(), UPSTREAM_HS_MORE, "it is still there");
        upstream_hs_ask_export_name(&hs, &said, bytes_str("disk"));
        expect_said(LITERAL("IHAVEOPT\0\0\0\1\0\0\0\4disk"));
        ask_in_vain();
        name_in_vain();
        out_be64(&in, 12345);
        out_be16(&in, 0x8001);
        out_zeroes(&in, flags ? 0 : 124);
        cr_assert_eq(feed(), UPSTREAM_HS_ANSWER);
        cr_expect_eq(hs.export.size, 12345);
        ask_in_vain();
        name_in_vain();
    }
}

Test(questions, of_an_oldstyle_server)
{
    begin_oldstyle(12345, 1);
    ask_in_vain();
    name_in_vain();
    out_zeroes(&in, 1);
    cr_assert_eq(feed(), UPSTREAM_HS_READY);
    ask_in_vain();
    name_in_vain();
    cr_expect_eq(hs.export.size, 12345);
}

Test(questions, one_at_a_time)
{
    begin_go();
    said.len = 0;
    ask_in_vain();
    name_in_vain();
    put_export(NBD_OPT_GO, 12345, 1);
    cr_assert_eq(feed(), UPSTREAM_HS_ITEM);
    ask_in_vain();
    name_in_vain();
    put_reply(&in, NBD_OPT_GO, NBD_REP_ACK, LITERAL(""));
    cr_assert_eq(feed(), UPSTREAM_HS_ANSWER);
    ask_in_vain(); // it is in its transmission phase
    name_in_vain();
    begin_with(3);
    ask_in_vain(); // it has not greeted
    name_in_vain();
    in.p[0] = 'X';
    expect_breach("not NBD");
    ask_in_vain();
    name_in_vain();
}

// Formats.

static void
agree(enum wire_format f, uint32_t reply)
{
    uint32_t option = f == FORMAT_EXTENDED ? NBD_OPT_EXTENDED_HEADERS : NBD_OPT_STRUCTURED_REPLY;
    upstream_hs_ask_format(&hs, &said, f);
    cr_expect_eq(said.len, 16);
    said.len = 0;
    put_reply(&in, option, reply, LITERAL(""));
    cr_assert_eq(feed(), UPSTREAM_HS_ANSWER);
    cr_expect_eq(hs.answer.reply, reply);
}

Test(formats, follow_the_ack)
{
    begin();
    agree(FORMAT_STRUCTURED, NBD_REP_ERR_UNSUP);
    cr_expect_eq(hs.format, FORMAT_SIMPLE);
    agree(FORMAT_EXTENDED, NBD_REP_ERR_POLICY);
    cr_expect_eq(hs.format, FORMAT_SIMPLE);
    agree(FORMAT_STRUCTURED, NBD_REP_ACK);
    cr_expect_eq(hs.format, FORMAT_STRUCTURED);
    agree(FORMAT_EXTENDED, NBD_REP_ERR_UNSUP);
    cr_expect_eq(hs.format, FORMAT_STRUCTURED);
    agree(FORMAT_EXTENDED, NBD_REP_ACK);
    cr_expect_eq(hs.format, FORMAT_EXTENDED);
    agree(FORMAT_STRUCTURED, NBD_REP_ERR_EXT_HEADER_REQD);
    cr_expect_eq(hs.format, FORMAT_EXTENDED);
    agree(FORMAT_STRUCTURED, NBD_REP_ACK);
    cr_expect_eq(hs.format, FORMAT_EXTENDED, "takes precedence");
    begin();
    cr_expect_eq(hs.format, FORMAT_SIMPLE, "a new upstream");
    agree(FORMAT_EXTENDED, NBD_REP_ACK);
    cr_expect_eq(hs.format, FORMAT_EXTENDED, "without structured replies");
}

Test(formats, an_ack_of_something_else_is_none)
{
    begin();
    upstream_hs_ask_format(&hs, &said, FORMAT_EXTENDED);
    put_reply(&in, NBD_OPT_STRUCTURED_REPLY, NBD_REP_ACK, LITERAL(""));
    expect_breach("another option");
    begin();
    upstream_hs_ask_format(&hs, &said, FORMAT_EXTENDED);
    put_reply(&in, NBD_OPT_EXTENDED_HEADERS, NBD_REP_ACK, LITERAL("x"));
    expect_breach("ACK with data");
    cr_expect_eq(hs.format, FORMAT_SIMPLE);
    begin();
    upstream_hs_ask_format(&hs, &said, FORMAT_EXTENDED);
    put_reply(&in, NBD_OPT_EXTENDED_HEADERS, NBD_REP_INFO, LITERAL("\0\1disk"));
    expect_breach("an item");
}

Test(formats, extended_headers_forbid_export_name)
{
    begin();
    agree(FORMAT_STRUCTURED, NBD_REP_ACK);
    upstream_hs_ask_export_name(&hs, &said, bytes_str("disk"));
    expect_said(LITERAL("IHAVEOPT\0\0\0\1\0\0\0\4disk"));
    begin();
    agree(FORMAT_EXTENDED, NBD_REP_ACK);
    name_in_vain();
    upstream_hs_ask_list(&hs, &said);
    expect_said(LITERAL("IHAVEOPT\0\0\0\3\0\0\0\0"));
}

Test(formats, extended_headers_come_with_go)
{
    for (enum wire_format f = FORMAT_STRUCTURED; f <= FORMAT_EXTENDED; f++) {
        begin();
        agree(f, NBD_REP_ACK);
        upstream_hs_ask_info(&hs, &said, NBD_OPT_INFO, bytes_str("disk"), LITERAL(""));
        put_reply(&in, NBD_OPT_INFO, NBD_REP_ERR_UNSUP, LITERAL(""));
        cr_expect_eq(feed(), UPSTREAM_HS_ANSWER, "INFO is another matter");
        upstream_hs_ask_info(&hs, &said, NBD_OPT_GO, bytes_str("disk"), LITERAL(""));
        put_reply(&in, NBD_OPT_GO, NBD_REP_ERR_UNKNOWN, LITERAL(""));
        cr_expect_eq(feed(), UPSTREAM_HS_ANSWER, "and so is another error");
        upstream_hs_ask_info(&hs, &said, NBD_OPT_GO, bytes_str("disk"), LITERAL(""));
        put_reply(&in, NBD_OPT_GO, NBD_REP_ERR_UNSUP, LITERAL("no"));
        if (f == FORMAT_EXTENDED)
            expect_breach("MUST NOT");
        else
            cr_expect_eq(feed(), UPSTREAM_HS_ANSWER);
    }
}
