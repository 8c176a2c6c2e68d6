// SPDX-License-Identifier: BSD-3-Clause
// STARTTLS asked of an upstream: the first thing it is asked, and nothing is said without it.
#include "upstream_side.h"

#define STARTTLS LITERAL("IHAVEOPT\0\0\0\5\0\0\0\0")

static void
begin_tls(void)
{
    begin_with_tls(3, true);
    cr_assert_eq(feed(), UPSTREAM_HS_READY);
    expect_said(LITERAL("\0\0\0\3"));
}

static void
ask_tls(void)
{
    begin_tls();
    upstream_hs_ask_tls(&hs, &said);
    expect_said(STARTTLS);
}

static void
begin_secure(void)
{
    ask_tls();
    put_reply(&in, NBD_OPT_STARTTLS, NBD_REP_ACK, LITERAL(""));
    cr_assert_eq(feed(), UPSTREAM_HS_ANSWER);
    cr_expect_eq(hs.answer.reply, NBD_REP_ACK);
    cr_expect(hs.secure);
}

// No fallback -----------------------------------------------------------------------------

Test(upstream_tls, oldstyle_is_refused_unheard)
{
    begin_with_tls(3, true);
    in.len = 8;
    out_be64(&in, NBD_OLDSTYLE_MAGIC);
    expect_breach("no need to hear what it has");
    cr_expect_eq(said.len, 0, "nor a trial of its flags");
    cr_expect_not(hs.export.known);
}

Test(upstream_tls, not_fixed_is_refused)
{
    static const uint16_t flags[] = {0, 2, 0xfffc, 0xfffe};
    for (unsigned i = 0; i < 4; i++) {
        begin_with_tls(flags[i], true);
        expect_breach("row");
        cr_expect_eq(said.len, 0, "not even our flags");
        upstream_hs_ask_tls(&hs, &said);
        upstream_hs_ask_export_name(&hs, &said, bytes_str("disk"));
        expect_said(LITERAL(""));
    }
}

Test(upstream_tls, nothing_else_is_asked_before_it)
{
    begin_tls();
    ask_in_vain();
    name_in_vain();
    cr_expect_eq(feed(), UPSTREAM_HS_MORE, "it is still there");
    upstream_hs_ask_tls(&hs, &said);
    expect_said(STARTTLS);
    ask_in_vain(); // it is not acknowledged yet
    name_in_vain();
    upstream_hs_ask_tls(&hs, &said);
    expect_said(LITERAL(""));
    put_reply(&in, NBD_OPT_STARTTLS, NBD_REP_ACK, LITERAL(""));
    cr_assert_eq(feed(), UPSTREAM_HS_ANSWER);
    upstream_hs_ask_list(&hs, &said);
    expect_said(LITERAL("IHAVEOPT\0\0\0\3\0\0\0\0"));
}

Test(upstream_tls, nothing_is_asked_of_who_has_not_greeted)
{
    begin_with_tls(3, true);
    upstream_hs_ask_tls(&hs, &said);
    ask_in_vain();
    name_in_vain();
}

Test(upstream_tls, refused_and_nothing_is_asked_after_it)
{
    static const uint32_t errors[] = {
        NBD_REP_ERR_UNSUP,    NBD_REP_ERR_POLICY,   NBD_REP_ERR_INVALID, NBD_REP_ERR_PLATFORM,
        NBD_REP_ERR_TLS_REQD, NBD_REP_ERR_SHUTDOWN, 0x80000077,          UINT32_MAX};
    for (unsigned i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        ask_tls();
        put_reply(&in, NBD_OPT_STARTTLS, errors[i], LITERAL("no TLS"));
        cr_assert_eq(feed(), UPSTREAM_HS_ANSWER);
        cr_expect_eq(hs.answer.reply, errors[i]);
        cr_expect(bytes_equal(hs.answer.text, bytes_str("no TLS")));
        cr_expect_not(hs.secure);
        ask_in_vain();
        name_in_vain();
    }
}

// Answers that are none -------------------------------------------------------------------

Test(upstream_tls, answers_that_are_none)
{
    static const struct {
        uint32_t option, reply, len;
        const char *what;
    } rows[] = {
        {NBD_OPT_STARTTLS, NBD_REP_ACK, 4, "ACK with data"},
        {NBD_OPT_STARTTLS, NBD_REP_ACK, UINT32_MAX, "ACK with much data"},
        {NBD_OPT_GO, NBD_REP_ACK, 0, "another option"},
        {NBD_OPT_STRUCTURED_REPLY, NBD_REP_ACK, 0, "another option"},
        {0, NBD_REP_ACK, 0, "no option"},
        {NBD_OPT_GO, NBD_REP_ERR_UNSUP, 0, "another option's error"},
        {NBD_OPT_STARTTLS, NBD_REP_SERVER, 4, "of LIST"},
        {NBD_OPT_STARTTLS, NBD_REP_INFO, 12, "of GO"},
        {NBD_OPT_STARTTLS, NBD_REP_META_CONTEXT, 8, "of META"},
        {NBD_OPT_STARTTLS, 0, 0, "no type"},
        {NBD_OPT_STARTTLS, 5, 0, "unknown"},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ask_tls();
        put_reply_header(&in, rows[i].option, rows[i].reply, rows[i].len);
        expect_breach(rows[i].what);
        cr_expect_not(hs.secure);
        ask_in_vain();
        name_in_vain();
    }
    ask_tls();
    put_reply(&in, NBD_OPT_STARTTLS, NBD_REP_ACK, LITERAL(""));
    in.p[0] ^= 1;
    expect_breach("magic");
}

Test(upstream_tls, an_ack_that_nobody_asked_for)
{
    begin_with_tls(3, true);
    put_reply(&in, NBD_OPT_STARTTLS, NBD_REP_ACK, LITERAL(""));
    cr_assert_eq(feed(), UPSTREAM_HS_READY);
    said.len = 0;
    expect_breach("behind the greeting");
    cr_expect_not(hs.secure);
    ask_in_vain();
}

// Whatever it is, it was said in plaintext: the caller closes.
Test(upstream_tls, nothing_behind_the_ack_is_consumed)
{
    for (int kind = 0; kind < 4; kind++) {
        ask_tls();
        put_reply(&in, NBD_OPT_STARTTLS, NBD_REP_ACK, LITERAL(""));
        switch (kind) {
        case 0: out_bytes(&in, LITERAL("x")); break;
        case 1: put_export(NBD_OPT_GO, 4096, 1); break;
        case 2: put_reply(&in, NBD_OPT_STRUCTURED_REPLY, NBD_REP_ACK, LITERAL("")); break;
        case 3: put_reply(&in, NBD_OPT_STARTTLS, NBD_REP_ACK, LITERAL("")); break;
        }
        cr_assert_eq(feed(), UPSTREAM_HS_ANSWER);
        cr_expect_eq(in_used, 20, "the ACK to its last byte, and no further");
        expect_breach("and it is never taken for an answer");
    }
}

// Behind it -------------------------------------------------------------------------------

Test(upstream_tls, everything_may_be_asked_behind_it)
{
    begin_secure();
    cr_expect_eq(hs.format, FORMAT_SIMPLE);
    upstream_hs_ask_format(&hs, &said, FORMAT_EXTENDED);
    expect_said(LITERAL("IHAVEOPT\0\0\0\x0b\0\0\0\0"));
    put_reply(&in, NBD_OPT_EXTENDED_HEADERS, NBD_REP_ACK, LITERAL(""));
    cr_assert_eq(feed(), UPSTREAM_HS_ANSWER);
    cr_expect_eq(hs.format, FORMAT_EXTENDED);
    upstream_hs_ask_info(&hs, &said, NBD_OPT_GO, bytes_str("disk"), LITERAL(""));
    expect_said(LITERAL("IHAVEOPT\0\0\0\7\0\0\0\x0a\0\0\0\4disk\0\0"));
    put_export(NBD_OPT_GO, 4096, 1);
    put_reply(&in, NBD_OPT_GO, NBD_REP_ACK, LITERAL(""));
    cr_assert_eq(feed(), UPSTREAM_HS_ITEM);
    cr_assert_eq(feed(), UPSTREAM_HS_ANSWER);
    cr_expect_eq(hs.export.size, 4096);
    begin_secure();
    upstream_hs_ask_export_name(&hs, &said, bytes_str("disk"));
    expect_said(LITERAL("IHAVEOPT\0\0\0\1\0\0\0\4disk"));
    begin_secure();
    upstream_hs_abort(&hs, &said);
    expect_said(LITERAL("IHAVEOPT\0\0\0\2\0\0\0\0"));
}

// Who wants TLS begins anew with each connection.
Test(upstream_tls, is_of_one_connection)
{
    begin_secure();
    begin_tls();
    cr_expect_not(hs.secure);
    ask_in_vain();
    begin();
    upstream_hs_ask_list(&hs, &said);
    expect_said(LITERAL("IHAVEOPT\0\0\0\3\0\0\0\0"));
}
