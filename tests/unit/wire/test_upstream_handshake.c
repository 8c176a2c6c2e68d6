// SPDX-License-Identifier: BSD-3-Clause
// Answers of an upstream. test_upstream_styles.c has greetings and questions.
#include "upstream_side.h"

// Answers.

Test(upstream, list)
{
    begin();
    upstream_hs_ask_list(&hs, &said);
    put_reply(&in, NBD_OPT_LIST, NBD_REP_SERVER, LITERAL("\0\0\0\4diskthe one"));
    put_reply(&in, NBD_OPT_LIST, NBD_REP_SERVER, LITERAL("\0\0\0\0"));
    put_reply(&in, NBD_OPT_LIST, NBD_REP_SERVER, LITERAL("\0\0\0\1ccut\0here"));
    put_reply(&in, NBD_OPT_LIST, NBD_REP_ACK, LITERAL(""));
    cr_assert_eq(feed(), UPSTREAM_HS_ITEM);
    cr_expect_eq(hs.item.reply, NBD_REP_SERVER);
    cr_expect(bytes_equal(hs.item.name, bytes_str("disk")));
    cr_expect(bytes_equal(hs.item.description, bytes_str("the one")));
    cr_assert_eq(feed(), UPSTREAM_HS_ITEM);
    cr_expect_eq(hs.item.name.len, 0);
    cr_expect_eq(hs.item.description.len, 0);
    cr_assert_eq(feed(), UPSTREAM_HS_ITEM);
    cr_expect(bytes_equal(hs.item.description, bytes_str("cut")));
    cr_assert_eq(feed(), UPSTREAM_HS_ANSWER);
    cr_expect_eq(hs.answer.reply, NBD_REP_ACK);
    cr_expect_eq(hs.answer.text.len, 0);
}

Test(upstream, go)
{
    begin_go();
    put_export(NBD_OPT_GO, 12345, 0x8001);
    put_block_size(NBD_OPT_GO, 1, 4096, UINT32_MAX);
    put_reply(&in, NBD_OPT_GO, NBD_REP_INFO, LITERAL("\0\1disk"));
    put_reply(&in, NBD_OPT_GO, NBD_REP_INFO, LITERAL("\0\2a disk\0"));
    put_reply(&in, NBD_OPT_GO, NBD_REP_INFO, LITERAL("\x77\x77whatever"));
    put_reply(&in, NBD_OPT_GO, NBD_REP_ACK, LITERAL(""));
    out_bytes(&in, LITERAL("transmission"));
    cr_assert_eq(feed(), UPSTREAM_HS_ITEM);
    cr_expect_eq(hs.item.info, NBD_INFO_EXPORT);
    cr_expect_eq(hs.item.payload.len, 10);
    cr_assert_eq(feed(), UPSTREAM_HS_ITEM);
    cr_expect_eq(hs.item.info, NBD_INFO_BLOCK_SIZE);
    cr_assert_eq(feed(), UPSTREAM_HS_ITEM);
    cr_expect(bytes_equal(hs.item.payload, bytes_str("disk")));
    cr_assert_eq(feed(), UPSTREAM_HS_ITEM);
    cr_expect(bytes_equal(hs.item.payload, bytes_str("a disk")));
    cr_assert_eq(feed(), UPSTREAM_HS_ITEM);
    cr_expect_eq(hs.item.info, 0x7777);
    cr_assert_eq(feed(), UPSTREAM_HS_ANSWER);
    cr_expect_eq(hs.answer.reply, NBD_REP_ACK);
    cr_expect(hs.export.known && hs.export.has_block_size);
    cr_expect_eq(hs.export.size, 12345);
    cr_expect_eq(hs.export.flags, 0x8001);
    cr_expect_eq(hs.export.minimum, 1);
    cr_expect_eq(hs.export.preferred, 4096);
    cr_expect_eq(hs.export.maximum, UINT32_MAX);
    size_t left = in.len - in_used;
    cr_expect_eq(feed(), UPSTREAM_HS_MORE);
    cr_expect_eq(in.len - in_used, left, "what follows is not ours");
}

Test(upstream, each_answer_speaks_for_itself)
{
    begin();
    upstream_hs_ask_info(&hs, &said, NBD_OPT_INFO, bytes_str("one"), LITERAL(""));
    put_export(NBD_OPT_INFO, 1, 1);
    put_block_size(NBD_OPT_INFO, 1, 512, 512);
    put_reply(&in, NBD_OPT_INFO, NBD_REP_ACK, LITERAL(""));
    cr_assert_eq(feed(), UPSTREAM_HS_ITEM);
    cr_assert_eq(feed(), UPSTREAM_HS_ITEM);
    cr_assert_eq(feed(), UPSTREAM_HS_ANSWER);
    upstream_hs_ask_info(&hs, &said, NBD_OPT_INFO, bytes_str("two"), LITERAL(""));
    cr_expect_not(hs.export.known || hs.export.has_block_size);
    put_export(NBD_OPT_INFO, 2, 1);
    put_reply(&in, NBD_OPT_INFO, NBD_REP_ACK, LITERAL(""));
    cr_assert_eq(feed(), UPSTREAM_HS_ITEM);
    cr_assert_eq(feed(), UPSTREAM_HS_ANSWER);
    cr_expect_eq(hs.export.size, 2);
    cr_expect_not(hs.export.has_block_size);
    out_bytes(&in, LITERAL("x"));
    expect_breach("INFO does not begin the transmission phase");
}

Test(upstream, repetitions_are_swallowed)
{
    begin_go();
    for (int i = 0; i < 2; i++) {
        put_export(NBD_OPT_GO, 0, 1);
        put_block_size(NBD_OPT_GO, 65536, 65536, 65536);
        put_reply(&in, NBD_OPT_GO, NBD_REP_INFO, LITERAL("\0\1disk"));
    }
    put_reply(&in, NBD_OPT_GO, NBD_REP_ACK, LITERAL(""));
    for (int i = 0; i < 3; i++)
        cr_assert_eq(feed(), UPSTREAM_HS_ITEM);
    cr_assert_eq(feed(), UPSTREAM_HS_ANSWER);
}

Test(upstream, meta_contexts)
{
    begin();
    upstream_hs_ask_meta(&hs, &said, NBD_OPT_SET_META_CONTEXT, bytes_str("disk"), 0, LITERAL(""),
                         bytes_str("base:allocation"));
    put_reply(&in, NBD_OPT_SET_META_CONTEXT, NBD_REP_META_CONTEXT,
              LITERAL("\1\2\3\4base:allocation"));
    put_reply(&in, NBD_OPT_SET_META_CONTEXT, NBD_REP_ACK, LITERAL(""));
    cr_assert_eq(feed(), UPSTREAM_HS_ITEM);
    cr_expect_eq(hs.item.context, 0x01020304);
    cr_expect(bytes_equal(hs.item.name, bytes_str("base:allocation")));
    cr_assert_eq(feed(), UPSTREAM_HS_ANSWER);
}

Test(upstream, export_name)
{
    for (uint16_t flags = 0; flags <= 3; flags++) {
        begin_with(flags);
        cr_assert_eq(feed(), UPSTREAM_HS_READY);
        upstream_hs_ask_export_name(&hs, &said, bytes_str("disk"));
        out_be64(&in, 12345);
        out_be16(&in, 0x8001);
        if (!(flags & NBD_FLAG_NO_ZEROES)) {
            cr_assert_eq(feed(), UPSTREAM_HS_MORE);
            out_zeroes(&in, 124);
        }
        out_bytes(&in, LITERAL("transmission"));
        cr_assert_eq(feed(), UPSTREAM_HS_ANSWER);
        cr_expect_eq(hs.answer.reply, NBD_REP_ACK);
        cr_expect_eq(hs.export.size, 12345);
        cr_expect_eq(hs.export.flags, 0x8001);
        cr_expect_eq(feed(), UPSTREAM_HS_MORE);
        cr_expect_eq(in.len - in_used, 12, "what follows is not ours");
    }
    begin();
    upstream_hs_ask_export_name(&hs, &said, bytes_str("disk"));
    out_be64(&in, UINT64_MAX);
    out_be16(&in, 1);
    expect_breach("too large");
}

Test(upstream, errors_known_and_unknown)
{
    static const uint32_t errors[] = {NBD_REP_ERR_UNSUP, NBD_REP_ERR_EXT_HEADER_REQD, 0x80000077,
                                      UINT32_MAX};
    for (unsigned i = 0; i < 4; i++) {
        begin_go();
        put_reply(&in, NBD_OPT_GO, errors[i], LITERAL("because"));
        cr_assert_eq(feed(), UPSTREAM_HS_ANSWER);
        cr_expect_eq(hs.answer.reply, errors[i]);
        cr_expect(bytes_equal(hs.answer.text, bytes_str("because")));
        upstream_hs_ask_list(&hs, &said); // and life goes on
        put_reply(&in, NBD_OPT_LIST, NBD_REP_ACK, LITERAL(""));
        cr_assert_eq(feed(), UPSTREAM_HS_ANSWER);
    }
}

Test(upstream, long_error_texts_are_cut)
{
    static const uint32_t lengths[] = {4095, 4096, 4097, 100000};
    for (unsigned i = 0; i < 4; i++) {
        begin_go();
        put_reply_header(&in, NBD_OPT_GO, NBD_REP_ERR_POLICY, lengths[i]);
        memset(out_take(&in, lengths[i]), 't', lengths[i]);
        cr_assert_eq(feed(), UPSTREAM_HS_ANSWER);
        cr_expect_eq(hs.answer.text.len, lengths[i] < MAX_STRING ? lengths[i] : MAX_STRING);
        cr_expect_eq(in.len, 0, "all of it is gone");
    }
    begin_go();
    put_reply_header(&in, NBD_OPT_GO, NBD_REP_ERR_POLICY, MAX_REPLY_BYTES);
    cr_expect_eq(feed(), UPSTREAM_HS_MORE, "all of the budget");
    begin_go();
    put_reply_header(&in, NBD_OPT_GO, NBD_REP_ERR_POLICY, MAX_REPLY_BYTES + 1);
    expect_breach("longer than the budget");
}

// Breaches.

Test(upstream, headers_that_are_none)
{
    static const struct {
        uint32_t option, reply, len;
    } rows[] = {
        {NBD_OPT_INFO, NBD_REP_ACK, 0},         // another option
        {NBD_OPT_GO, 0, 0},                     // no type
        {NBD_OPT_GO, 5, 0},                     // unknown
        {NBD_OPT_GO, 0x7fffffff, 0},            // unknown
        {NBD_OPT_GO, NBD_REP_SERVER, 4},        // of LIST
        {NBD_OPT_GO, NBD_REP_META_CONTEXT, 4},  // of META
        {NBD_OPT_GO, NBD_REP_ACK, 4},           // with data
        {NBD_OPT_GO, NBD_REP_ACK, 0},           // without INFO_EXPORT
        {NBD_OPT_GO, NBD_REP_INFO, UINT32_MAX}, // too long
        {NBD_OPT_GO, NBD_REP_INFO, MAX_OPTION_REPLY + 1},
        {NBD_OPT_GO, NBD_REP_ERR_POLICY, UINT32_MAX},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        begin_go();
        put_reply_header(&in, rows[i].option, rows[i].reply, rows[i].len);
        expect_breach("row");
    }
    begin_go();
    put_reply_header(&in, NBD_OPT_GO, NBD_REP_ERR_UNSUP, 0);
    in.p[0] ^= 1;
    expect_breach("magic");
}

Test(upstream, exports_that_are_none)
{
    begin_go();
    put_export(NBD_OPT_GO, 1, 1);
    put_export(NBD_OPT_GO, 2, 1);
    expect_breach("two sizes");
    begin_go();
    put_export(NBD_OPT_GO, 1, 1);
    put_export(NBD_OPT_GO, 1, 3);
    expect_breach("two flags");
    begin_go();
    put_export(NBD_OPT_GO, UINT64_C(1) << 63, 1);
    expect_breach("too large");
    begin_go();
    put_export(NBD_OPT_GO, MAX_EXPORT_SIZE, 0);
    cr_expect_eq(feed(), UPSTREAM_HS_ITEM, "this one is not");
    for (uint32_t len = 0; len < 30; len++) {
        if (len == 12)
            continue;
        begin_go();
        put_reply_header(&in, NBD_OPT_GO, NBD_REP_INFO, len);
        out_zeroes(&in, len);
        expect_breach("length");
    }
}

Test(upstream, block_sizes_that_are_none)
{
    static const uint32_t bad[][3] = {
        {0, 512, 512},
        {3, 512, 512},
        {1u << 31, 1u << 31, 1u << 31},
        {131072, 1 << 20, 1 << 20},
        {512, 0, 512},
        {512, 768, 1024},
        {4096, 512, 4096},
        {512, 4096, 4095},
        {1, 512, 0},
    };
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        begin_go();
        put_block_size(NBD_OPT_GO, bad[i][0], bad[i][1], bad[i][2]);
        expect_breach("row");
    }
    for (uint32_t len = 2; len < 30; len++) {
        begin_go();
        put_reply_header(&in, NBD_OPT_GO, NBD_REP_INFO, len);
        out_be16(&in, NBD_INFO_BLOCK_SIZE);
        out_be32(&in, 0x200);
        out_be32(&in, 0x200);
        out_be32(&in, 0x200);
        out_zeroes(&in, 20);
        in.len = 20 + len;
        if (len == 14)
            cr_expect_eq(feed(), UPSTREAM_HS_ITEM);
        else
            expect_breach("length");
    }
    begin_go();
    put_block_size(NBD_OPT_GO, 1, 512, 512);
    put_block_size(NBD_OPT_GO, 1, 512, 1024);
    expect_breach("two maxima");
    begin_go();
    put_block_size(NBD_OPT_GO, 1, 512, 1024);
    put_block_size(NBD_OPT_GO, 1, 1024, 1024);
    expect_breach("two preferred ones");
    begin_go();
    put_block_size(NBD_OPT_GO, 1, 512, 1024);
    put_block_size(NBD_OPT_GO, 2, 512, 1024);
    expect_breach("two minima");
}

Test(upstream, entries_that_are_none)
{
    static const struct {
        uint32_t name, len;
    } rows[] = {{0, 3},           {5, 8},       {UINT32_MAX, 8}, {UINT32_MAX - 3, 8},
                {4097, 4 + 4097}, {0, 4 + 4097}};
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        begin();
        upstream_hs_ask_list(&hs, &said);
        put_reply_header(&in, NBD_OPT_LIST, NBD_REP_SERVER, rows[i].len);
        out_be32(&in, rows[i].name);
        memset(out_take(&in, 5000), 'n', 5000);
        in.len = 20 + rows[i].len;
        expect_breach("row");
    }
    begin();
    upstream_hs_ask_list(&hs, &said);
    put_reply(&in, NBD_OPT_LIST, NBD_REP_SERVER, LITERAL("\0\0\0\5di\0sk"));
    expect_breach("NUL");
}

Test(upstream, contexts_that_are_none)
{
    static const uint32_t lengths[] = {0, 3, 4 + 4097};
    for (unsigned i = 0; i < 3; i++) {
        begin();
        upstream_hs_ask_meta(&hs, &said, NBD_OPT_LIST_META_CONTEXT, bytes_str(""), 0, LITERAL(""),
                             LITERAL(""));
        put_reply_header(&in, NBD_OPT_LIST_META_CONTEXT, NBD_REP_META_CONTEXT, lengths[i]);
        memset(out_take(&in, lengths[i]), 'n', lengths[i]);
        expect_breach("length");
    }
}

static unsigned
endless_list(struct bytes entry)
{
    begin();
    upstream_hs_ask_list(&hs, &said);
    for (unsigned n = 0;; n++) {
        put_reply(&in, NBD_OPT_LIST, NBD_REP_SERVER, entry);
        enum upstream_hs_event event = feed();
        if (event == UPSTREAM_HS_BREACH)
            return n;
        cr_assert_eq(event, UPSTREAM_HS_ITEM);
        cr_assert_lt(n, 1000000);
    }
}

Test(upstream, endless_lists_end)
{
    static uint8_t entry[MAX_OPTION_REPLY];
    memset(entry, 'e', sizeof entry);
    put_be32(entry, MAX_STRING);
    cr_expect_eq(endless_list(LITERAL("\0\0\0\1e")), MAX_REPLY_ITEMS);
    cr_expect_eq(endless_list(bytes_of(entry, sizeof entry)), MAX_REPLY_BYTES / sizeof entry);
}
