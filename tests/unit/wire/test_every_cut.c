// SPDX-License-Identifier: BSD-3-Clause
// However a conversation is cut, the machines do the same.
#include <criterion/criterion.h>

#include "../../fuzz/drive.h"
#include "message.h"

static uint8_t in_bytes[64u << 10];
static struct out in;

typedef void drive(struct bytes in, struct cut cut, struct transcript *t);

static void
expect_same_at_every_cut(drive *run)
{
    struct bytes whole = bytes_of(in.p, in.len);
    struct transcript at_once = {0}, cut = {0};
    cr_assert_not(in.full);
    run(whole, (struct cut){SIZE_MAX, 1}, &at_once);
    cr_assert_gt(at_once.len, 40);
    run(whole, (struct cut){1, 1}, &cut);
    cr_expect(transcript_equal(&at_once, &cut), "byte by byte");
    transcript_free(&cut);
    for (size_t at = 1; at < in.len; at++) {
        run(whole, (struct cut){at, SIZE_MAX}, &cut);
        cr_assert(transcript_equal(&at_once, &cut), "cut at %zu", at);
        transcript_free(&cut);
    }
    transcript_free(&at_once);
}

static void
drive_plain_client(struct bytes all, struct cut cut, struct transcript *t)
{
    drive_client(CLIENT_TLS_OFF, all, cut, t);
}

static void
drive_client_with_tls(struct bytes all, struct cut cut, struct transcript *t)
{
    drive_client(CLIENT_TLS_ALLOW, all, cut, t);
}

static void
drive_client_in_need_of_tls(struct bytes all, struct cut cut, struct transcript *t)
{
    drive_client(CLIENT_TLS_REQUIRE, all, cut, t);
}

Test(every_cut, client)
{
    in = out_of(in_bytes, sizeof in_bytes);
    out_be32(&in, 3);
    put_option(&in, NBD_OPT_EXTENDED_HEADERS, LITERAL("data"));
    put_meta_option(&in, NBD_OPT_SET_META_CONTEXT, bytes_str("disk"), bytes_str("base:"));
    put_option(&in, NBD_OPT_STRUCTURED_REPLY, LITERAL(""));
    put_option(&in, NBD_OPT_STRUCTURED_REPLY, LITERAL(""));
    put_option(&in, NBD_OPT_STARTTLS, LITERAL("data"));
    put_option(&in, NBD_OPT_LIST, LITERAL(""));
    put_option(&in, 0x7fff, LITERAL("a little data to be thrown away"));
    put_meta_option(&in, NBD_OPT_SET_META_CONTEXT, bytes_str("disk"), bytes_str("base:allocation"));
    put_option(&in, NBD_OPT_EXTENDED_HEADERS, LITERAL(""));
    put_option(&in, NBD_OPT_STRUCTURED_REPLY, LITERAL(""));
    put_option(&in, NBD_OPT_EXTENDED_HEADERS, LITERAL(""));
    put_info_option(&in, NBD_OPT_INFO, bytes_str("xdisk"), LITERAL("\0\1"));
    put_info_option(&in, NBD_OPT_INFO, bytes_str("disk"), LITERAL("\0\1\0\3"));
    put_option(&in, NBD_OPT_GO, LITERAL("\0\0\0\4disk\0\0trailing"));
    put_info_option(&in, NBD_OPT_GO, bytes_str("disk"), LITERAL("\0\1\0\3"));
    out_bytes(&in, LITERAL("transmission"));
    expect_same_at_every_cut(drive_plain_client);
}

Test(every_cut, client_that_breaks_off)
{
    in = out_of(in_bytes, sizeof in_bytes);
    out_be32(&in, 1);
    put_option(&in, NBD_OPT_LIST, LITERAL(""));
    put_option(&in, NBD_OPT_EXPORT_NAME, LITERAL("di\0sk"));
    put_option(&in, NBD_OPT_LIST, LITERAL(""));
    expect_same_at_every_cut(drive_plain_client);
}

Test(every_cut, client_with_extended_headers_that_names_an_export)
{
    in = out_of(in_bytes, sizeof in_bytes);
    out_be32(&in, 3);
    put_option(&in, NBD_OPT_EXTENDED_HEADERS, LITERAL(""));
    put_meta_option(&in, NBD_OPT_SET_META_CONTEXT, bytes_str("disk"), bytes_str("base:allocation"));
    put_option(&in, NBD_OPT_EXPORT_NAME, bytes_str("disk"));
    expect_same_at_every_cut(drive_plain_client);
}

static void
put_secured_conversation(void)
{
    put_option(&in, NBD_OPT_STARTTLS, LITERAL("data"));
    put_option(&in, NBD_OPT_STARTTLS, LITERAL(""));
    put_option(&in, NBD_OPT_STARTTLS, LITERAL(""));
    put_meta_option(&in, NBD_OPT_SET_META_CONTEXT, bytes_str("disk"), bytes_str("base:"));
    put_option(&in, NBD_OPT_STRUCTURED_REPLY, LITERAL(""));
    put_meta_option(&in, NBD_OPT_SET_META_CONTEXT, bytes_str("disk"), bytes_str("base:allocation"));
    put_info_option(&in, NBD_OPT_GO, bytes_str("disk"), LITERAL("\0\1\0\3"));
    out_bytes(&in, LITERAL("transmission"));
}

Test(every_cut, client_that_starts_tls)
{
    in = out_of(in_bytes, sizeof in_bytes);
    out_be32(&in, 3);
    put_option(&in, NBD_OPT_EXTENDED_HEADERS, LITERAL(""));
    put_meta_option(&in, NBD_OPT_SET_META_CONTEXT, bytes_str("disk"), bytes_str("base:allocation"));
    put_secured_conversation();
    expect_same_at_every_cut(drive_client_with_tls);
}

Test(every_cut, client_that_must_start_tls)
{
    in = out_of(in_bytes, sizeof in_bytes);
    out_be32(&in, 3);
    put_option(&in, NBD_OPT_EXTENDED_HEADERS, LITERAL(""));
    put_option(&in, 0x7fff, LITERAL("a little data to be thrown away"));
    put_info_option(&in, NBD_OPT_GO, bytes_str("disk"), LITERAL("\0\1\0\3"));
    put_secured_conversation();
    expect_same_at_every_cut(drive_client_in_need_of_tls);
    in = out_of(in_bytes, sizeof in_bytes);
    out_be32(&in, 3);
    put_option(&in, NBD_OPT_LIST, LITERAL(""));
    put_option(&in, NBD_OPT_EXPORT_NAME, LITERAL("disk"));
    expect_same_at_every_cut(drive_client_in_need_of_tls);
}

static void
drive_upstream_script(struct bytes all, struct cut cut, struct transcript *t)
{
    // extended, structured, list, INFO, list meta, set meta, GO
    drive_upstream(false, LITERAL("\x8\0\1\2\4\5\3"), all, cut, t);
}

static void
put_export_info(uint32_t option)
{
    put_reply(&in, option, NBD_REP_INFO, LITERAL("\0\0\0\0\0\0\0\x10\0\0\0\x6d"));
}

Test(every_cut, upstream)
{
    static uint8_t text[6000];
    memset(text, 't', sizeof text);
    in = out_of(in_bytes, sizeof in_bytes);
    out_bytes(&in, LITERAL("NBDMAGICIHAVEOPT\0\3"));
    put_reply(&in, NBD_OPT_EXTENDED_HEADERS, NBD_REP_ACK, LITERAL(""));
    put_reply(&in, NBD_OPT_STRUCTURED_REPLY, NBD_REP_ERR_EXT_HEADER_REQD, LITERAL("no"));
    put_reply(&in, NBD_OPT_LIST, NBD_REP_SERVER, LITERAL("\0\0\0\4diska disk"));
    put_reply(&in, NBD_OPT_LIST, NBD_REP_ERR_POLICY, bytes_of(text, sizeof text));
    put_export_info(NBD_OPT_INFO);
    put_reply(&in, NBD_OPT_INFO, NBD_REP_ACK, LITERAL(""));
    put_reply(&in, NBD_OPT_LIST_META_CONTEXT, NBD_REP_META_CONTEXT, LITERAL("\0\0\0\0qemu:"));
    put_reply(&in, NBD_OPT_LIST_META_CONTEXT, NBD_REP_ACK, LITERAL(""));
    put_reply(&in, NBD_OPT_SET_META_CONTEXT, NBD_REP_ERR_UNSUP, LITERAL(""));
    put_export_info(NBD_OPT_GO);
    put_export_info(NBD_OPT_GO);
    put_reply(&in, NBD_OPT_GO, NBD_REP_INFO, LITERAL("\0\3\0\0\0\1\0\0\x10\0\2\0\0\0"));
    put_reply(&in, NBD_OPT_GO, NBD_REP_ACK, LITERAL(""));
    out_bytes(&in, LITERAL("transmission"));
    expect_same_at_every_cut(drive_upstream_script);
}

Test(every_cut, upstream_that_talks_unasked)
{
    in = out_of(in_bytes, sizeof in_bytes);
    out_bytes(&in, LITERAL("NBDMAGICIHAVEOPT\0\3"));
    for (int i = 0; i < 7; i++)
        put_reply(&in, (uint32_t[]){11, 8, 3, 6, 9, 10, 7}[i], NBD_REP_ERR_UNSUP, LITERAL("no"));
    out_bytes(&in, LITERAL("and another thing"));
    expect_same_at_every_cut(drive_upstream_script);
}

Test(every_cut, upstream_that_is_oldstyle)
{
    in = out_of(in_bytes, sizeof in_bytes);
    out_bytes(&in, LITERAL("NBDMAGIC\0\0\x42\x02\x81\x86\x12\x53"
                           "\0\0\0\0\0\0\x10\0\x80\0\0\x6d"));
    out_zeroes(&in, 124);
    out_bytes(&in, LITERAL("\x67\x44\x66\x98\0\0\0\x16oldstyle")); // FLUSH: EINVAL
    out_bytes(&in, LITERAL("transmission"));
    expect_same_at_every_cut(drive_upstream_script);
}

static void
drive_upstream_by_name(struct bytes all, struct cut cut, struct transcript *t)
{
    // GO, extended, abort: nothing that may be asked; then EXPORT_NAME
    drive_upstream(false, LITERAL("\3\x8\7\6"), all, cut, t);
}

Test(every_cut, upstream_that_is_not_fixed)
{
    for (uint16_t flags = 0; flags <= 2; flags += 2) {
        in = out_of(in_bytes, sizeof in_bytes);
        out_bytes(&in, LITERAL("NBDMAGICIHAVEOPT"));
        out_be16(&in, flags);
        out_bytes(&in, LITERAL("\0\0\0\0\0\0\x10\0\0\x6d"));
        out_zeroes(&in, flags ? 0 : 124);
        out_bytes(&in, LITERAL("transmission"));
        expect_same_at_every_cut(drive_upstream_by_name);
    }
}

static void
drive_upstream_with_tls(struct bytes all, struct cut cut, struct transcript *t)
{
    // list, EXPORT_NAME, abort: nothing that may be asked; then STARTTLS, extended, GO
    drive_upstream(true, LITERAL("\1\6\7\x10\x8\3"), all, cut, t);
}

Test(every_cut, upstream_with_tls)
{
    in = out_of(in_bytes, sizeof in_bytes);
    out_bytes(&in, LITERAL("NBDMAGICIHAVEOPT\0\3"));
    put_reply(&in, NBD_OPT_STARTTLS, NBD_REP_ACK, LITERAL(""));
    put_reply(&in, NBD_OPT_EXTENDED_HEADERS, NBD_REP_ERR_UNSUP, LITERAL("no"));
    put_export_info(NBD_OPT_GO);
    put_reply(&in, NBD_OPT_GO, NBD_REP_ACK, LITERAL(""));
    out_bytes(&in, LITERAL("transmission"));
    expect_same_at_every_cut(drive_upstream_with_tls);
}

Test(every_cut, upstream_without_tls_where_it_is_wanted)
{
    in = out_of(in_bytes, sizeof in_bytes);
    out_bytes(&in, LITERAL("NBDMAGICIHAVEOPT\0\3"));
    put_reply(&in, NBD_OPT_STARTTLS, NBD_REP_ERR_POLICY, LITERAL("not here"));
    put_export_info(NBD_OPT_GO);
    expect_same_at_every_cut(drive_upstream_with_tls);
    in = out_of(in_bytes, sizeof in_bytes);
    out_bytes(&in, LITERAL("NBDMAGIC\0\0\x42\x02\x81\x86\x12\x53"));
    out_zeroes(&in, 136);
    expect_same_at_every_cut(drive_upstream_with_tls);
    in = out_of(in_bytes, sizeof in_bytes);
    out_bytes(&in, LITERAL("NBDMAGICIHAVEOPT\0\2"));
    out_zeroes(&in, 10);
    expect_same_at_every_cut(drive_upstream_with_tls);
}
