// SPDX-License-Identifier: BSD-3-Clause
// STARTTLS of a client: when it is granted, what is answered before it, and what is left of what
// was agreed in plaintext.
#include "client_side.h"

static void
ask(uint32_t option)
{
    put_option(&in, option, LITERAL(""));
}

static void
ask_with_zeroes(uint32_t option, size_t len)
{
    put_option_header(&in, option, (uint32_t)len);
    out_zeroes(&in, len);
}

static void
start_tls(void)
{
    ask(NBD_OPT_STARTTLS);
    expect_acked_with(NBD_OPT_STARTTLS, CLIENT_HS_STARTTLS);
    cr_expect(hs.secure);
    cr_expect_eq(hs.format, FORMAT_SIMPLE);
}

static void
ask_for_context(void)
{
    put_meta_option(&in, NBD_OPT_SET_META_CONTEXT, bytes_str("disk"), bytes_str("base:allocation"));
}

// Every kind of option that there is, none of it well-formed if it has data.
static const uint32_t options[] = {0,
                                   NBD_OPT_LIST,
                                   NBD_OPT_PEEK_EXPORT,
                                   NBD_OPT_INFO,
                                   NBD_OPT_GO,
                                   NBD_OPT_STRUCTURED_REPLY,
                                   NBD_OPT_LIST_META_CONTEXT,
                                   NBD_OPT_SET_META_CONTEXT,
                                   NBD_OPT_EXTENDED_HEADERS,
                                   12,
                                   0x7fff,
                                   UINT32_MAX};
#define OPTIONS (sizeof options / sizeof options[0])

// Off -------------------------------------------------------------------------------------

Test(client_tls, off_refuses_by_policy_and_lives)
{
    begin_with_tls(3, CLIENT_TLS_OFF);
    for (int i = 0; i < 3; i++) {
        ask(NBD_OPT_STARTTLS);
        expect_refused(NBD_OPT_STARTTLS, NBD_REP_ERR_POLICY);
        cr_expect_not(hs.secure);
    }
}

// spec: "the server MUST NOT" say TLS_REQD in NOTLS mode; nor is there reason to when it is
// optional.
Test(client_tls, tls_required_is_said_only_where_it_is)
{
    for (enum client_tls tls = CLIENT_TLS_OFF; tls <= CLIENT_TLS_ALLOW; tls++) {
        for (unsigned i = 0; i < OPTIONS; i++) {
            begin_with_tls(3, tls);
            ask_with_zeroes(options[i], 7);
            cr_assert_eq(feed(), CLIENT_HS_ANSWERED);
            cr_expect_neq(get_be32(said.p + 12), NBD_REP_ERR_TLS_REQD);
        }
    }
}

// Granted ---------------------------------------------------------------------------------

Test(client_tls, allowed_both_ways)
{
    begin_with_tls(3, CLIENT_TLS_ALLOW);
    put_info_option(&in, NBD_OPT_GO, bytes_str("disk"), LITERAL(""));
    cr_expect_eq(feed(), CLIENT_HS_OPTION, "in plaintext");
    client_hs_ack(&hs, &said);
    cr_expect(hs.done);
    begin_with_tls(3, CLIENT_TLS_ALLOW);
    start_tls();
    cr_expect_not(hs.done);
    put_info_option(&in, NBD_OPT_GO, bytes_str("disk"), LITERAL(""));
    cr_expect_eq(feed(), CLIENT_HS_OPTION, "in TLS");
    client_hs_ack(&hs, &said);
    cr_expect(hs.done);
}

Test(client_tls, with_data_is_invalid_and_starts_nothing)
{
    static const struct {
        size_t len;
        uint32_t error;
    } rows[] = {{1, NBD_REP_ERR_INVALID},
                {4, NBD_REP_ERR_INVALID},
                {MAX_OPTION_PARSED, NBD_REP_ERR_INVALID},
                {MAX_OPTION_PARSED + 1, NBD_REP_ERR_TOO_BIG}};
    for (enum client_tls tls = CLIENT_TLS_ALLOW; tls <= CLIENT_TLS_REQUIRE; tls++) {
        for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            begin_with_tls(3, tls);
            ask_with_zeroes(NBD_OPT_STARTTLS, rows[i].len);
            expect_error(NBD_OPT_STARTTLS, rows[i].error);
            cr_expect_not(hs.secure);
            start_tls(); // rightly, now
        }
    }
}

Test(client_tls, twice_is_invalid)
{
    for (enum client_tls tls = CLIENT_TLS_ALLOW; tls <= CLIENT_TLS_REQUIRE; tls++) {
        begin_with_tls(3, tls);
        start_tls();
        for (int i = 0; i < 2; i++) {
            ask(NBD_OPT_STARTTLS);
            expect_refused(NBD_OPT_STARTTLS, NBD_REP_ERR_INVALID);
            put_option(&in, NBD_OPT_STARTTLS, LITERAL("x"));
            expect_refused(NBD_OPT_STARTTLS, NBD_REP_ERR_INVALID);
        }
        cr_expect(hs.secure);
    }
}

// What comes behind must not be looked at: it is TLS's, or somebody's who slips commands in.
Test(client_tls, nothing_behind_it_is_consumed)
{
    for (int kind = 0; kind < 5; kind++) {
        begin_with_tls(3, CLIENT_TLS_REQUIRE);
        ask(NBD_OPT_STARTTLS);
        size_t own = in.len;
        switch (kind) {
        case 0: out_bytes(&in, LITERAL("x")); break;
        case 1: out_bytes(&in, LITERAL("\x16\3\1\2\0\1\0\1\xfc\3\3")); break; // ClientHello
        case 2: put_info_option(&in, NBD_OPT_GO, bytes_str("disk"), LITERAL("")); break;
        case 3: ask(NBD_OPT_STRUCTURED_REPLY); break;
        case 4: ask_for_context(); break;
        }
        said.len = 0;
        enum client_hs_event event;
        cr_expect_eq(client_hs_feed(&hs, in.p, in.len, &said, &event), own);
        cr_expect_eq(event, CLIENT_HS_STARTTLS);
        cr_expect_eq(said.len, 20, "its ACK, and nothing else");
    }
}

Test(client_tls, needs_a_fixed_client)
{
    for (enum client_tls tls = CLIENT_TLS_OFF; tls <= CLIENT_TLS_REQUIRE; tls++) {
        begin_with_tls(NBD_FLAG_NO_ZEROES, tls);
        ask(NBD_OPT_STARTTLS);
        expect_breach();
        cr_expect_not(hs.secure);
    }
}

// Required --------------------------------------------------------------------------------

Test(client_tls, required_before_everything_known_or_not)
{
    static const size_t lengths[] = {0, 1, 100, MAX_OPTION_PARSED, MAX_OPTION_PARSED + 1};
    for (unsigned i = 0; i < OPTIONS; i++) {
        for (unsigned l = 0; l < sizeof lengths / sizeof lengths[0]; l++) {
            begin_with_tls(3, CLIENT_TLS_REQUIRE);
            ask_with_zeroes(options[i], lengths[l]);
            expect_error(options[i], NBD_REP_ERR_TLS_REQD);
            cr_expect_eq(hs.format, FORMAT_SIMPLE);
            cr_expect_not(hs.done);
            start_tls(); // it is alive, and all of the data is gone
        }
    }
}

Test(client_tls, required_before_what_is_well_formed)
{
    begin_with_tls(3, CLIENT_TLS_REQUIRE);
    for (int round = 0; round < 3; round++) {
        put_info_option(&in, NBD_OPT_GO, bytes_str("disk"), LITERAL("\0\1"));
        expect_error(NBD_OPT_GO, NBD_REP_ERR_TLS_REQD);
        ask_for_context();
        expect_error(NBD_OPT_SET_META_CONTEXT, NBD_REP_ERR_TLS_REQD);
        cr_expect_eq(hs.option.name.len, 0, "nobody has looked at it");
    }
}

Test(client_tls, required_and_everything_is_as_usual_behind_it)
{
    begin_with_tls(3, CLIENT_TLS_REQUIRE);
    start_tls();
    ask_with_zeroes(0x7fff, 100);
    expect_refused(0x7fff, NBD_REP_ERR_UNSUP);
    ask_with_zeroes(NBD_OPT_INFO, 5);
    expect_refused(NBD_OPT_INFO, NBD_REP_ERR_INVALID);
    ask(NBD_OPT_EXTENDED_HEADERS);
    expect_acked(NBD_OPT_EXTENDED_HEADERS);
    ask_for_context();
    cr_assert_eq(feed(), CLIENT_HS_OPTION);
    client_hs_ack(&hs, &said);
    put_info_option(&in, NBD_OPT_GO, bytes_str("disk"), LITERAL(""));
    cr_assert_eq(feed(), CLIENT_HS_OPTION);
    client_hs_ack(&hs, &said);
    cr_expect(hs.done);
    cr_expect_eq(hs.format, FORMAT_EXTENDED);
}

Test(client_tls, required_and_too_long_to_be_drained)
{
    begin_with_tls(3, CLIENT_TLS_REQUIRE);
    put_option_header(&in, 0x7fff, MAX_OPTION_DRAINED + 1);
    expect_breach();
}

// An error cannot be replied to EXPORT_NAME.
Test(client_tls, export_name_only_behind_it)
{
    for (uint32_t flags = 0; flags <= 3; flags++) {
        begin_with_tls(flags, CLIENT_TLS_REQUIRE);
        put_option_header(&in, NBD_OPT_EXPORT_NAME, 4); // no need to wait for the name
        expect_breach();
        begin_with_tls(flags, CLIENT_TLS_ALLOW);
        put_option(&in, NBD_OPT_EXPORT_NAME, bytes_str("disk"));
        cr_expect_eq(feed(), CLIENT_HS_OPTION);
    }
    begin_with_tls(3, CLIENT_TLS_REQUIRE);
    start_tls();
    put_option(&in, NBD_OPT_EXPORT_NAME, bytes_str("disk"));
    cr_expect_eq(feed(), CLIENT_HS_OPTION);
    cr_expect(bytes_equal(hs.option.name, bytes_str("disk")));
}

// spec: "the server MUST" reply to ABORT in FORCEDTLS mode as always.
Test(client_tls, abort_is_acked_with_tls_or_without)
{
    for (int secure = 0; secure < 2; secure++) {
        begin_with_tls(3, CLIENT_TLS_REQUIRE);
        if (secure)
            start_tls();
        put_option(&in, NBD_OPT_ABORT, LITERAL("because"));
        expect_acked_with(NBD_OPT_ABORT, CLIENT_HS_ABORT);
    }
}

// What is left of plaintext ---------------------------------------------------------------

Test(client_tls, formats_are_forgotten)
{
    static const uint32_t formats[] = {NBD_OPT_STRUCTURED_REPLY, NBD_OPT_EXTENDED_HEADERS};
    for (unsigned i = 0; i < 2; i++) {
        begin_with_tls(3, CLIENT_TLS_ALLOW);
        ask(formats[i]);
        expect_acked(formats[i]);
        start_tls();
        ask_for_context();
        expect_refused(NBD_OPT_SET_META_CONTEXT, NBD_REP_ERR_INVALID);
        for (unsigned j = 0; j < 2; j++) { // as if never asked: neither twice nor the lesser one
            ask(formats[j]);
            expect_acked(formats[j]);
        }
        cr_expect_eq(hs.format, FORMAT_EXTENDED);
    }
}

Test(client_tls, extended_headers_of_plaintext_forbid_nothing)
{
    begin_with_tls(3, CLIENT_TLS_ALLOW);
    ask(NBD_OPT_EXTENDED_HEADERS);
    expect_acked(NBD_OPT_EXTENDED_HEADERS);
    start_tls();
    put_option(&in, NBD_OPT_EXPORT_NAME, bytes_str("disk"));
    cr_expect_eq(feed(), CLIENT_HS_OPTION);
}

Test(client_tls, the_last_option_is_forgotten)
{
    begin_with_tls(3, CLIENT_TLS_ALLOW);
    ask(NBD_OPT_STRUCTURED_REPLY);
    expect_acked(NBD_OPT_STRUCTURED_REPLY);
    ask_for_context();
    cr_assert_eq(feed(), CLIENT_HS_OPTION);
    cr_expect_eq(hs.option.n_queries, 1);
    client_hs_ack(&hs, &said);
    start_tls();
    cr_expect_eq(hs.option.name.len, 0);
    cr_expect_eq(hs.option.queries.len, 0);
    cr_expect_eq(hs.option.n_queries, 0);
}

// The flags are the handshake's, not an option's: there is no second time to say them.
Test(client_tls, flags_are_kept)
{
    for (uint32_t flags = 1; flags <= 3; flags += 2) {
        begin_with_tls(flags, CLIENT_TLS_REQUIRE);
        start_tls();
        cr_expect(hs.fixed);
        put_option(&in, NBD_OPT_EXPORT_NAME, bytes_str("disk"));
        cr_assert_eq(feed(), CLIENT_HS_OPTION);
        client_hs_export_name(&hs, &said, 4096, 1);
        cr_expect_eq(said.len, flags & NBD_FLAG_NO_ZEROES ? 10 : 134);
    }
}

// Budgets ---------------------------------------------------------------------------------

// Returns how many options the client may still send before it is cut off.
static unsigned
options_left(void)
{
    for (unsigned n = 0;; n++) {
        ask(NBD_OPT_PEEK_EXPORT);
        enum client_hs_event event = feed();
        if (event == CLIENT_HS_BREACH)
            return n;
        cr_assert_eq(event, CLIENT_HS_ANSWERED);
        cr_assert_lt(n, 100000);
    }
}

static void
list(unsigned exports)
{
    ask(NBD_OPT_LIST);
    cr_assert_eq(feed(), CLIENT_HS_OPTION);
    for (unsigned i = 0; i < exports; i++)
        client_hs_put_server(&hs, &said, bytes_str("disk"), bytes_str(""));
    client_hs_ack(&hs, &said);
}

Test(client_tls, options_are_counted_through_it)
{
    begin_with_tls(3, CLIENT_TLS_REQUIRE);
    cr_expect_eq(options_left(), MAX_OPTIONS, "those that are told to use TLS, too");
    begin_with_tls(3, CLIENT_TLS_REQUIRE);
    for (int i = 0; i < 10; i++) {
        ask(NBD_OPT_LIST);
        expect_error(NBD_OPT_LIST, NBD_REP_ERR_TLS_REQD);
    }
    start_tls();
    cr_expect_eq(options_left(), MAX_OPTIONS - 11);
}

Test(client_tls, starttls_refused_for_ever_ends)
{
    static const enum client_tls modes[] = {CLIENT_TLS_OFF, CLIENT_TLS_ALLOW};
    for (unsigned i = 0; i < 2; i++) {
        begin_with_tls(3, modes[i]);
        unsigned n = modes[i] == CLIENT_TLS_OFF ? 0 : 1;
        if (n)
            start_tls();
        for (; n < MAX_OPTIONS; n++) {
            ask(NBD_OPT_STARTTLS);
            cr_assert_eq(feed(), CLIENT_HS_ANSWERED);
        }
        ask(NBD_OPT_STARTTLS);
        expect_breach();
    }
}

Test(client_tls, exports_listed_earn_options_only_once_on_either_side_of_it)
{
    begin_with_tls(3, CLIENT_TLS_ALLOW);
    list(10);
    start_tls();
    list(10);
    cr_expect_eq(options_left(), MAX_OPTIONS + 10 * MAX_OPTIONS_PER_EXPORT - 3);
}

static void
drain_option(uint64_t len)
{
    put_option_header(&in, 0x7fff, (uint32_t)len);
    cr_assert_eq(feed(), CLIENT_HS_MORE);
    for (uint64_t left = len; left;) {
        size_t n = left < sizeof in_bytes ? left : sizeof in_bytes;
        in.len = n; // whatever is there
        left -= n;
        cr_assert_eq(feed(), left ? CLIENT_HS_MORE : CLIENT_HS_ANSWERED);
    }
}

Test(client_tls, what_is_drained_is_counted_through_it)
{
    begin_with_tls(3, CLIENT_TLS_REQUIRE);
    drain_option(MAX_OPTION_DRAINED);
    cr_expect_eq(get_be32(said.p + 12), NBD_REP_ERR_TLS_REQD);
    drain_option(MAX_OPTION_DRAINED);
    start_tls();
    put_option_header(&in, 0x7fff, 1);
    expect_breach();
}
