// SPDX-License-Identifier: BSD-3-Clause
// STRUCTURED_REPLY and EXTENDED_HEADERS, which the machine grants by itself, and what follows from
// having them.
#include "client_side.h"

static void
ask(uint32_t option)
{
    put_option(&in, option, LITERAL(""));
}

Test(client_formats, simple_until_asked)
{
    begin(3);
    cr_expect_eq(hs.format, FORMAT_SIMPLE);
    ask(NBD_OPT_STRUCTURED_REPLY);
    expect_acked(NBD_OPT_STRUCTURED_REPLY);
    cr_expect_eq(hs.format, FORMAT_STRUCTURED);
    cr_expect_not(hs.done);
    ask(NBD_OPT_EXTENDED_HEADERS);
    expect_acked(NBD_OPT_EXTENDED_HEADERS);
    cr_expect_eq(hs.format, FORMAT_EXTENDED);
    begin(3);
    ask(NBD_OPT_EXTENDED_HEADERS);
    expect_acked(NBD_OPT_EXTENDED_HEADERS);
    cr_expect_eq(hs.format, FORMAT_EXTENDED, "structured replies need not come first");
}

Test(client_formats, twice_is_invalid)
{
    begin_in(FORMAT_STRUCTURED);
    ask(NBD_OPT_STRUCTURED_REPLY);
    expect_refused(NBD_OPT_STRUCTURED_REPLY, NBD_REP_ERR_INVALID);
    cr_expect_eq(hs.format, FORMAT_STRUCTURED);
    begin_in(FORMAT_EXTENDED);
    ask(NBD_OPT_EXTENDED_HEADERS);
    expect_refused(NBD_OPT_EXTENDED_HEADERS, NBD_REP_ERR_INVALID);
    cr_expect_eq(hs.format, FORMAT_EXTENDED);
}

Test(client_formats, no_way_back_from_extended)
{
    for (int structured_first = 0; structured_first < 2; structured_first++) {
        begin_in(structured_first ? FORMAT_STRUCTURED : FORMAT_SIMPLE);
        ask(NBD_OPT_EXTENDED_HEADERS);
        expect_acked(NBD_OPT_EXTENDED_HEADERS);
        for (int i = 0; i < 2; i++) {
            ask(NBD_OPT_STRUCTURED_REPLY);
            expect_refused(NBD_OPT_STRUCTURED_REPLY, NBD_REP_ERR_EXT_HEADER_REQD);
        }
        cr_expect_eq(hs.format, FORMAT_EXTENDED);
        put_option(&in, NBD_OPT_STRUCTURED_REPLY, LITERAL("data"));
        expect_refused(NBD_OPT_STRUCTURED_REPLY, NBD_REP_ERR_INVALID);
    }
}

Test(client_formats, data_are_invalid_and_grant_nothing)
{
    static const uint32_t options[] = {NBD_OPT_STRUCTURED_REPLY, NBD_OPT_EXTENDED_HEADERS};
    static const size_t lengths[] = {1, 4, MAX_OPTION_PARSED};
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned l = 0; l < 3; l++) {
            begin(3);
            put_option_header(&in, options[i], (uint32_t)lengths[l]);
            out_zeroes(&in, lengths[l]);
            expect_refused(options[i], NBD_REP_ERR_INVALID);
            cr_expect_eq(hs.format, FORMAT_SIMPLE);
            ask(options[i]); // rightly, now
            expect_acked(options[i]);
        }
    }
}

Test(client_formats, contexts_need_either)
{
    static const uint32_t options[] = {NBD_OPT_LIST_META_CONTEXT, NBD_OPT_SET_META_CONTEXT};
    for (unsigned i = 0; i < 2; i++) {
        begin_in(FORMAT_SIMPLE);
        put_meta_option(&in, options[i], bytes_str("disk"), bytes_str("base:allocation"));
        expect_refused(options[i], NBD_REP_ERR_INVALID);
        for (enum wire_format f = FORMAT_STRUCTURED; f <= FORMAT_EXTENDED; f++) {
            begin_in(f);
            put_meta_option(&in, options[i], bytes_str("disk"), bytes_str("base:allocation"));
            cr_expect_eq(feed(), CLIENT_HS_OPTION);
            cr_expect_eq(hs.option.id, options[i]);
        }
    }
}

Test(client_formats, export_name_is_forbidden_with_extended_headers)
{
    begin_in(FORMAT_STRUCTURED);
    put_option(&in, NBD_OPT_EXPORT_NAME, bytes_str("disk"));
    cr_expect_eq(feed(), CLIENT_HS_OPTION, "but not with structured replies");
    begin_in(FORMAT_EXTENDED);
    put_option_header(&in, NBD_OPT_EXPORT_NAME, 4); // no need to wait for the name
    expect_breach();
    begin_in(FORMAT_EXTENDED);
    put_info_option(&in, NBD_OPT_GO, bytes_str("disk"), LITERAL(""));
    cr_expect_eq(feed(), CLIENT_HS_OPTION);
    client_hs_ack(&hs, &said);
    cr_expect(hs.done);
    cr_expect_eq(hs.format, FORMAT_EXTENDED);
}

Test(client_formats, only_of_a_fixed_client)
{
    begin(NBD_FLAG_NO_ZEROES);
    ask(NBD_OPT_EXTENDED_HEADERS);
    expect_breach();
    cr_expect_eq(hs.format, FORMAT_SIMPLE);
}

Test(client_formats, they_count_as_options)
{
    begin_in(FORMAT_EXTENDED);
    for (unsigned i = 1; i < MAX_OPTIONS; i++) {
        ask(NBD_OPT_EXTENDED_HEADERS);
        cr_assert_eq(feed(), CLIENT_HS_ANSWERED);
    }
    ask(NBD_OPT_EXTENDED_HEADERS);
    expect_breach();
}
