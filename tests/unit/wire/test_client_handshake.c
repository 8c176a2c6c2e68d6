// SPDX-License-Identifier: BSD-3-Clause
#include "client_side.h"

// Parsed options.

Test(client, greeting)
{
    static const uint8_t greeting[] = "NBDMAGICIHAVEOPT\0\3";
    said = out_of(said_bytes, sizeof said_bytes);
    client_hs_begin(&hs, scratch, CLIENT_TLS_OFF, &said);
    cr_assert_eq(said.len, 18);
    cr_expect_arr_eq(said.p, greeting, 18);
}

Test(client, flags)
{
    begin(0);
    cr_expect(!hs.fixed && !hs.no_zeroes);
    begin(3);
    cr_expect(hs.fixed && hs.no_zeroes);
    static const uint32_t bad[] = {4, 7, 0x80000001, UINT32_MAX, 0x00030000};
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        begin(bad[i]);
        expect_breach();
    }
}

Test(client, wrong_magic)
{
    begin(3);
    out_bytes(&in, LITERAL("GET / HTTP/1.0\r\n"));
    expect_breach();
}

Test(client, go)
{
    begin(3);
    put_info_option(&in, NBD_OPT_GO, bytes_str("disk"), LITERAL("\0\1\0\3"));
    cr_assert_eq(feed(), CLIENT_HS_OPTION);
    cr_expect_eq(said.len, 0);
    cr_expect_eq(hs.option.id, NBD_OPT_GO);
    cr_expect(bytes_equal(hs.option.name, bytes_str("disk")));
    cr_expect(client_option_wants(&hs.option, NBD_INFO_NAME));
    cr_expect(client_option_wants(&hs.option, NBD_INFO_BLOCK_SIZE));
    cr_expect_not(client_option_wants(&hs.option, NBD_INFO_DESCRIPTION));
    client_hs_put_export(&hs, &said, 0x1122334455667788, 0x8001);
    client_hs_put_info(&hs, &said, NBD_INFO_NAME, bytes_str("disk"));
    client_hs_ack(&hs, &said);
    static const uint8_t answer[] = "\0\3\xe8\x89\4\x55\x65\xa9\0\0\0\7\0\0\0\3\0\0\0\x0c" // INFO
                                    "\0\0\x11\x22\x33\x44\x55\x66\x77\x88\x80\1"
                                    "\0\3\xe8\x89\4\x55\x65\xa9\0\0\0\7\0\0\0\3\0\0\0\6" // INFO
                                    "\0\1disk"
                                    "\0\3\xe8\x89\4\x55\x65\xa9\0\0\0\7\0\0\0\1\0\0\0\0"; // ACK
    cr_assert_eq(said.len, sizeof answer - 1);
    cr_expect_arr_eq(said.p, answer, sizeof answer - 1);
    cr_expect(hs.done);
}

Test(client, transmission_is_not_consumed)
{
    begin(3);
    put_info_option(&in, NBD_OPT_GO, bytes_str(""), LITERAL(""));
    cr_assert_eq(feed(), CLIENT_HS_OPTION);
    client_hs_ack(&hs, &said);
    enum client_hs_event event;
    cr_expect_eq(client_hs_feed(&hs, (const uint8_t *)"request", 7, &said, &event), 0);
    cr_expect_eq(event, CLIENT_HS_MORE);
}

Test(client, info_does_not_end_the_handshake)
{
    begin(3);
    put_info_option(&in, NBD_OPT_INFO, bytes_str("disk"), LITERAL(""));
    cr_assert_eq(feed(), CLIENT_HS_OPTION);
    client_hs_ack(&hs, &said);
    cr_expect_not(hs.done);
    put_info_option(&in, NBD_OPT_GO, bytes_str("disk"), LITERAL(""));
    cr_assert_eq(feed(), CLIENT_HS_OPTION);
    client_hs_error(&hs, &said, NBD_REP_ERR_UNKNOWN, bytes_str("gone"));
    cr_expect_not(hs.done);
}

Test(client, infos_that_we_know_each_once)
{
    begin(3);
    put_info_option(&in, NBD_OPT_GO, bytes_str("disk"),
                    LITERAL("\0\3\x77\x77\0\3\0\0\0\4\0\3\0\0\xff\xff"));
    cr_assert_eq(feed(), CLIENT_HS_OPTION);
    cr_expect(bytes_equal(hs.option.infos, LITERAL("\0\3\0\0")));
    client_hs_error(&hs, &said, NBD_REP_ERR_UNKNOWN, bytes_str("none"));
    put_info_option(&in, NBD_OPT_GO, bytes_str("disk"), LITERAL("\0\1"));
    cr_assert_eq(feed(), CLIENT_HS_OPTION);
    cr_expect(bytes_equal(hs.option.infos, LITERAL("\0\1")), "nothing of the last one");
}

Test(client, as_many_infos_as_the_field_can_say)
{
    begin(3);
    put_option_header(&in, NBD_OPT_GO, 4 + MAX_STRING + 2 + 2 * 65535);
    out_be32(&in, MAX_STRING);
    uint8_t *name = out_take(&in, MAX_STRING);
    memset(name, 'n', MAX_STRING);
    out_be16(&in, 65535);
    out_zeroes(&in, 2 * 65534);
    out_be16(&in, NBD_INFO_BLOCK_SIZE);
    cr_assert_eq(feed(), CLIENT_HS_OPTION);
    cr_expect_eq(hs.option.name.len, MAX_STRING);
    cr_expect(client_option_wants(&hs.option, NBD_INFO_BLOCK_SIZE));
}

Test(client, bytes_behind_an_unanswered_option_stay)
{
    begin(3);
    put_option(&in, NBD_OPT_LIST, LITERAL(""));
    put_option(&in, NBD_OPT_ABORT, LITERAL(""));
    enum client_hs_event event;
    cr_assert_eq(client_hs_feed(&hs, in.p, in.len, &said, &event), 16);
    cr_assert_eq(event, CLIENT_HS_OPTION);
    cr_expect_eq(client_hs_feed(&hs, in.p + 16, in.len - 16, &said, &event), 0);
    client_hs_put_server(&hs, &said, bytes_str("disk"), bytes_str("a disk"));
    client_hs_ack(&hs, &said);
    cr_expect_eq(client_hs_feed(&hs, in.p + 16, in.len - 16, &said, &event), 16);
    cr_expect_eq(event, CLIENT_HS_ABORT);
}

Test(client, export_name)
{
    static const struct {
        uint32_t flags;
        size_t len;
    } rows[] = {{0, 134}, {1, 134}, {2, 10}, {3, 10}};
    for (unsigned i = 0; i < 4; i++) {
        begin(rows[i].flags);
        put_option(&in, NBD_OPT_EXPORT_NAME, bytes_str("disk"));
        cr_assert_eq(feed(), CLIENT_HS_OPTION);
        cr_expect(bytes_equal(hs.option.name, bytes_str("disk")));
        client_hs_export_name(&hs, &said, 0x1122334455667788, 0x8001);
        cr_assert_eq(said.len, rows[i].len);
        cr_expect_arr_eq(said.p, "\x11\x22\x33\x44\x55\x66\x77\x88\x80\1", 10);
        for (size_t z = 10; z < said.len; z++)
            cr_assert_eq(said.p[z], 0);
        cr_expect(hs.done);
    }
}

Test(client, export_name_that_is_none)
{
    begin(3);
    put_option_header(&in, NBD_OPT_EXPORT_NAME, MAX_STRING);
    memset(out_take(&in, MAX_STRING), 'n', MAX_STRING);
    cr_expect_eq(feed(), CLIENT_HS_OPTION, "this one is");
    begin(3);
    put_option_header(&in, NBD_OPT_EXPORT_NAME, MAX_STRING + 1);
    expect_breach();
    begin(3);
    put_option(&in, NBD_OPT_EXPORT_NAME, LITERAL("di\0sk"));
    expect_breach();
}

Test(client, not_fixed_may_only_name_an_export)
{
    for (uint32_t option = 0; option < 14; option++) {
        begin(option & 1 ? NBD_FLAG_NO_ZEROES : 0);
        put_option_header(&in, option, 0);
        if (option == NBD_OPT_EXPORT_NAME)
            cr_expect_eq(feed(), CLIENT_HS_OPTION);
        else
            expect_breach();
    }
}

Test(client, abort_is_acked_whatever_comes_with_it)
{
    static const size_t lengths[] = {0, 9, MAX_OPTION_PARSED + 1};
    for (unsigned i = 0; i < 3; i++) {
        begin(3);
        put_option_header(&in, NBD_OPT_ABORT, (uint32_t)lengths[i]);
        out_zeroes(&in, lengths[i]);
        cr_assert_eq(feed(), CLIENT_HS_ABORT);
        cr_assert_eq(said.len, 20);
        cr_expect_eq(get_be32(said.p + 12), NBD_REP_ACK);
        enum client_hs_event event;
        cr_expect_eq(client_hs_feed(&hs, (const uint8_t *)"more", 4, &said, &event), 0);
    }
}

Test(client, meta_contexts)
{
    begin_in(FORMAT_STRUCTURED);
    put_option_header(&in, NBD_OPT_SET_META_CONTEXT, 4 + 4 + 4 + (4 + 15) + (4 + 0) + (4 + 5));
    out_string(&in, bytes_str("disk"));
    out_be32(&in, 3);
    out_string(&in, bytes_str("base:allocation"));
    out_string(&in, bytes_str(""));
    out_string(&in, bytes_str("qemu:"));
    cr_assert_eq(feed(), CLIENT_HS_OPTION);
    cr_expect_eq(hs.option.id, NBD_OPT_SET_META_CONTEXT);
    cr_expect(bytes_equal(hs.option.name, bytes_str("disk")));
    cr_expect_eq(hs.option.n_queries, 3);
    struct bytes rest = hs.option.queries, query;
    cr_assert(client_option_query(&rest, &query));
    cr_expect(bytes_equal(query, bytes_str("base:allocation")));
    cr_assert(client_option_query(&rest, &query));
    cr_expect_eq(query.len, 0);
    cr_assert(client_option_query(&rest, &query));
    cr_expect(bytes_equal(query, bytes_str("qemu:")));
    cr_expect_not(client_option_query(&rest, &query));
    client_hs_put_context(&hs, &said, 5, bytes_str("base:allocation"));
    cr_expect_eq(get_be32(said.p + 12), NBD_REP_META_CONTEXT);
    cr_expect_eq(get_be32(said.p + 16), 19);
    cr_expect_eq(get_be32(said.p + 20), 5);
}

Test(client, error_texts_are_cut)
{
    static uint8_t text[2 * MAX_STRING];
    memset(text, 't', sizeof text);
    begin(3);
    put_option(&in, NBD_OPT_LIST, LITERAL(""));
    cr_assert_eq(feed(), CLIENT_HS_OPTION);
    client_hs_error(&hs, &said, NBD_REP_ERR_POLICY, bytes_of(text, sizeof text));
    cr_expect_eq(said.len, 20 + MAX_STRING);
    cr_expect_eq(get_be32(said.p + 16), MAX_STRING);
}

// Options that the machine refuses.

Test(client, refused_by_nature)
{
    static const struct {
        uint32_t option;
        size_t len;
        uint32_t error;
    } rows[] = {
        {NBD_OPT_STARTTLS, 0, NBD_REP_ERR_POLICY},
        {NBD_OPT_STARTTLS, 1, NBD_REP_ERR_INVALID},
        {NBD_OPT_LIST, 1, NBD_REP_ERR_INVALID},
        {NBD_OPT_STRUCTURED_REPLY, 4, NBD_REP_ERR_INVALID},
        {NBD_OPT_PEEK_EXPORT, 0, NBD_REP_ERR_UNSUP},
        {NBD_OPT_PEEK_EXPORT, 100, NBD_REP_ERR_UNSUP},
        {NBD_OPT_EXTENDED_HEADERS, 4, NBD_REP_ERR_INVALID},
        {NBD_OPT_EXTENDED_HEADERS, MAX_OPTION_PARSED + 1, NBD_REP_ERR_TOO_BIG},
        {0, 0, NBD_REP_ERR_UNSUP},
        {12, 7, NBD_REP_ERR_UNSUP},
        {0x7fff, 100, NBD_REP_ERR_UNSUP},
        {UINT32_MAX, MAX_OPTION_PARSED, NBD_REP_ERR_UNSUP},
        {0x7fff, MAX_OPTION_PARSED + 1, NBD_REP_ERR_TOO_BIG},
        {NBD_OPT_GO, MAX_OPTION_PARSED + 1, NBD_REP_ERR_TOO_BIG},
        {NBD_OPT_LIST, MAX_OPTION_PARSED + 1, NBD_REP_ERR_TOO_BIG},
        {NBD_OPT_SET_META_CONTEXT, 0, NBD_REP_ERR_INVALID},  // not structured yet
        {NBD_OPT_LIST_META_CONTEXT, 9, NBD_REP_ERR_INVALID}, // neither
        {NBD_OPT_GO, 0, NBD_REP_ERR_INVALID},
        {NBD_OPT_INFO, 5, NBD_REP_ERR_INVALID},
        {NBD_OPT_GO, MAX_OPTION_PARSED, NBD_REP_ERR_INVALID}, // zeroes that lead nowhere
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        begin(3);
        put_option_header(&in, rows[i].option, (uint32_t)rows[i].len);
        out_zeroes(&in, rows[i].len);
        expect_refused(rows[i].option, rows[i].error);
    }
}

Test(client, info_with_wrong_inner_lengths)
{
    static const struct {
        uint32_t name_len;
        uint16_t n;
        size_t behind;
    } rows[] = {
        {UINT32_MAX, 0, 0}, {UINT32_MAX - 3, 0, 4},
        {5, 0, 0},          {4, 65535, 2},
        {4, 0, 1},          {4, 1, 3},
        {4, 1, 1},          {0, 0, 4},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        begin(3);
        put_option_header(&in, NBD_OPT_GO, (uint32_t)(10 + rows[i].behind));
        out_be32(&in, rows[i].name_len);
        out_bytes(&in, bytes_str("disk"));
        out_be16(&in, rows[i].n);
        out_zeroes(&in, rows[i].behind);
        expect_refused(NBD_OPT_GO, NBD_REP_ERR_INVALID);
    }
}

Test(client, names_that_are_no_strings)
{
    static uint8_t long_name[MAX_STRING + 1];
    memset(long_name, 'n', sizeof long_name);
    struct bytes bad[] = {bytes_of(long_name, sizeof long_name), LITERAL("di\0sk"), LITERAL("\0")};
    for (unsigned i = 0; i < 3; i++) {
        begin_in(FORMAT_STRUCTURED);
        put_info_option(&in, NBD_OPT_INFO, bad[i], LITERAL(""));
        expect_refused(NBD_OPT_INFO, NBD_REP_ERR_INVALID);
        put_meta_option(&in, NBD_OPT_LIST_META_CONTEXT, bad[i], bytes_str("base:"));
        expect_refused(NBD_OPT_LIST_META_CONTEXT, NBD_REP_ERR_INVALID);
        put_meta_option(&in, NBD_OPT_SET_META_CONTEXT, bytes_str("disk"), bad[i]);
        expect_refused(NBD_OPT_SET_META_CONTEXT, NBD_REP_ERR_INVALID);
    }
}

Test(client, meta_with_wrong_inner_lengths)
{
    static const struct {
        uint32_t n, query_len;
        size_t behind;
    } rows[] = {{UINT32_MAX, 4, 4}, {2, 4, 4}, {1, UINT32_MAX, 4}, {1, 5, 4}, {1, 4, 5}, {0, 0, 1}};
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        begin_in(FORMAT_STRUCTURED);
        put_option_header(&in, NBD_OPT_SET_META_CONTEXT, (uint32_t)(16 + rows[i].behind));
        out_string(&in, bytes_str("disk"));
        out_be32(&in, rows[i].n);
        out_be32(&in, rows[i].query_len);
        out_bytes(&in, bytes_of("qqqqqqqq", rows[i].behind));
        expect_refused(NBD_OPT_SET_META_CONTEXT, NBD_REP_ERR_INVALID);
    }
}

// Budgets.

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

Test(client, too_long_to_be_drained)
{
    begin(3);
    drain_option(MAX_OPTION_DRAINED);
    cr_expect_eq(get_be32(said.p + 12), NBD_REP_ERR_TOO_BIG);
    put_option_header(&in, 0x7fff, MAX_OPTION_DRAINED + 1);
    expect_breach();
    begin(3);
    put_option_header(&in, NBD_OPT_ABORT, UINT32_MAX);
    expect_breach();
}

Test(client, too_much_drained_in_all)
{
    begin(3);
    drain_option(MAX_OPTION_DRAINED);
    drain_option(MAX_OPTION_DRAINED);
    put_option_header(&in, 0x7fff, 1);
    expect_breach();
}

// Returns how many options the client may still send before it is cut off.
static unsigned
options_left(void)
{
    for (unsigned n = 0;; n++) {
        put_option(&in, NBD_OPT_PEEK_EXPORT, LITERAL(""));
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
    put_option(&in, NBD_OPT_LIST, LITERAL(""));
    cr_assert_eq(feed(), CLIENT_HS_OPTION);
    for (unsigned i = 0; i < exports; i++)
        client_hs_put_server(&hs, &said, bytes_str("disk"), bytes_str(""));
    client_hs_ack(&hs, &said);
}

Test(client, too_many_options)
{
    begin(3);
    cr_expect_eq(options_left(), MAX_OPTIONS);
}

Test(client, exports_listed_earn_options_but_only_once)
{
    begin(3);
    list(10);
    list(10);
    list(3);
    cr_expect_eq(options_left(), MAX_OPTIONS + 10 * MAX_OPTIONS_PER_EXPORT - 3);
}

Test(client, answers_of_its_own_are_given_out_one_by_one)
{
    begin(3);
    for (int i = 0; i < 50; i++)
        put_option(&in, NBD_OPT_STARTTLS, LITERAL("data"));
    uint8_t small[CLIENT_HS_OUT];
    size_t used = 0;
    for (int i = 0; i < 50; i++) {
        struct out out = out_of(small, sizeof small);
        enum client_hs_event event;
        used += client_hs_feed(&hs, in.p + used, in.len - used, &out, &event);
        cr_assert_eq(event, CLIENT_HS_ANSWERED);
        cr_assert_not(out.full);
    }
    cr_expect_eq(used, in.len);
}
