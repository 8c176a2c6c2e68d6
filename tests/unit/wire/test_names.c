// SPDX-License-Identifier: BSD-3-Clause
#include <criterion/criterion.h>
#include <wire/codec.h>
#include <wire/names.h>
#include <wire/nbd.h>

Test(names, known_and_unknown)
{
    cr_assert_str_eq(nbd_option_name(NBD_OPT_GO), "GO");
    cr_assert_str_eq(nbd_option_name(NBD_OPT_EXTENDED_HEADERS), "EXTENDED_HEADERS");
    cr_assert_str_eq(nbd_option_name(0), "unknown");
    cr_assert_str_eq(nbd_option_name(UINT32_MAX), "unknown");
    cr_assert_str_eq(nbd_reply_name(NBD_REP_ERR_UNKNOWN), "ERR_UNKNOWN");
    cr_assert_str_eq(nbd_reply_name(NBD_REP_ERROR_BIT + 77), "unknown");
    cr_assert_str_eq(nbd_command_name(NBD_CMD_WRITE_ZEROES), "WRITE_ZEROES");
    cr_assert_str_eq(nbd_command_name(NBD_COMMANDS), "unknown");
    cr_assert_str_eq(nbd_command_name(UINT16_MAX), "unknown");
    cr_assert_str_eq(nbd_error_name(NBD_ENOTSUP), "ENOTSUP");
    cr_assert_str_eq(nbd_error_name(NBD_SUCCESS), "SUCCESS");
    cr_assert_str_eq(nbd_error_name(11), "unknown");
}

Test(names, every_number_has_a_name)
{
    for (uint32_t o = NBD_OPT_EXPORT_NAME; o <= NBD_OPT_EXTENDED_HEADERS; o++)
        cr_assert_str_neq(nbd_option_name(o), "unknown", "option %u", o);
    for (uint32_t r = NBD_REP_ACK; r <= NBD_REP_META_CONTEXT; r++)
        cr_assert_str_neq(nbd_reply_name(r), "unknown", "reply %u", r);
    for (uint32_t r = NBD_REP_ERR_UNSUP; r <= NBD_REP_ERR_EXT_HEADER_REQD; r++)
        cr_assert_str_neq(nbd_reply_name(r), "unknown", "reply %#x", r);
    for (uint16_t c = 0; c < NBD_COMMANDS; c++)
        cr_assert_str_neq(nbd_command_name(c), "unknown", "command %u", c);
}

Test(names, formats)
{
    cr_expect_str_eq(wire_format_name(FORMAT_SIMPLE), "simple");
    cr_expect_str_eq(wire_format_name(FORMAT_STRUCTURED), "structured");
    cr_expect_str_eq(wire_format_name(FORMAT_EXTENDED), "extended");
    cr_expect_str_eq(wire_format_name((enum wire_format)3), "unknown");
}

Test(names, commands_as_the_spec_has_them)
{
    static const struct {
        uint16_t command, flags, needs;
        bool changes_data, has_range;
        uint32_t beyond_end;
    } spec[] = {
        {NBD_CMD_READ, NBD_CMD_FLAG_DF, 0, false, true, NBD_EINVAL},
        {NBD_CMD_WRITE, 0, 0, true, true, NBD_ENOSPC},
        {NBD_CMD_DISC, 0, 0, false, false, 0},
        {NBD_CMD_FLUSH, 0, NBD_FLAG_SEND_FLUSH, false, false, 0},
        {NBD_CMD_TRIM, 0, NBD_FLAG_SEND_TRIM, true, true, NBD_EINVAL},
        {NBD_CMD_CACHE, 0, NBD_FLAG_SEND_CACHE, false, true, NBD_EINVAL},
        {NBD_CMD_WRITE_ZEROES, NBD_CMD_FLAG_NO_HOLE | NBD_CMD_FLAG_FAST_ZERO,
         NBD_FLAG_SEND_WRITE_ZEROES, true, true, NBD_ENOSPC},
        {NBD_CMD_BLOCK_STATUS, NBD_CMD_FLAG_REQ_ONE, 0, false, true, NBD_EINVAL},
    };
    for (unsigned i = 0; i < sizeof spec / sizeof spec[0]; i++) {
        const struct nbd_command_info *c = nbd_command_info(spec[i].command);
        cr_assert_not_null(c);
        cr_expect_eq(c->flags, spec[i].flags, "flags of %s", c->name);
        cr_expect_eq(c->needs, spec[i].needs, "needs of %s", c->name);
        cr_expect_eq(c->changes_data, spec[i].changes_data, "changes_data of %s", c->name);
        cr_expect_eq(c->has_range, spec[i].has_range, "has_range of %s", c->name);
        cr_expect_eq(c->beyond_end, spec[i].beyond_end, "beyond_end of %s", c->name);
    }
    for (uint16_t c = 0; c < NBD_COMMANDS; c++)
        cr_expect_not(nbd_command_info(c)->flags & NBD_CMD_FLAG_PAYLOAD_LEN, "it is the header's");
    cr_expect_null(nbd_command_info(NBD_COMMANDS));
    cr_expect_null(nbd_command_info(UINT16_MAX));
}

Test(errors, only_those_of_the_spec_leave)
{
    static const uint32_t sent[] = {1,  5,   11,  12,  22,         27,        28, 75,
                                    95, 108, 110, 121, UINT32_MAX, 1u << 31u, 2};
    for (unsigned i = 0; i < sizeof sent / sizeof sent[0]; i++) {
        for (uint16_t c = 0; c < NBD_COMMANDS; c++) {
            for (int flags = 0; flags < 4; flags++) {
                uint32_t e = nbd_error_for_client(sent[i], c, flags & 1, flags & 2);
                cr_expect_str_neq(nbd_error_name(e), "unknown", "%u for %u", sent[i], c);
                cr_expect_neq(e, NBD_SUCCESS);
            }
        }
    }
}

Test(errors, known_ones_pass)
{
    static const uint32_t known[] = {NBD_SUCCESS, NBD_EPERM,  NBD_EIO,      NBD_ENOMEM,
                                     NBD_EINVAL,  NBD_ENOSPC, NBD_ESHUTDOWN};
    for (unsigned i = 0; i < sizeof known / sizeof known[0]; i++) {
        for (uint16_t c = 0; c < NBD_COMMANDS; c++)
            cr_expect_eq(nbd_error_for_client(known[i], c, false, false), known[i]);
    }
}

Test(errors, unknown_ones_by_command)
{
    cr_expect_eq(nbd_error_for_client(121, NBD_CMD_READ, false, false), NBD_EIO);
    cr_expect_eq(nbd_error_for_client(121, NBD_CMD_WRITE, false, false), NBD_EIO);
    cr_expect_eq(nbd_error_for_client(121, NBD_CMD_FLUSH, false, false), NBD_EIO);
    cr_expect_eq(nbd_error_for_client(121, NBD_CMD_TRIM, false, false), NBD_EINVAL);
    cr_expect_eq(nbd_error_for_client(121, NBD_CMD_WRITE_ZEROES, false, false), NBD_EINVAL);
    cr_expect_eq(nbd_error_for_client(121, NBD_CMD_CACHE, false, false), NBD_EINVAL);
    cr_expect_eq(nbd_error_for_client(121, NBD_CMD_BLOCK_STATUS, false, false), NBD_EINVAL);
}

Test(errors, enotsup_only_for_fast_zero)
{
    cr_expect_eq(nbd_error_for_client(NBD_ENOTSUP, NBD_CMD_WRITE_ZEROES, true, false), NBD_ENOTSUP);
    cr_expect_eq(nbd_error_for_client(NBD_ENOTSUP, NBD_CMD_WRITE_ZEROES, false, false), NBD_EINVAL);
    cr_expect_eq(nbd_error_for_client(NBD_ENOTSUP, NBD_CMD_READ, true, true), NBD_EINVAL);
}

Test(errors, eoverflow_only_for_df)
{
    cr_expect_eq(nbd_error_for_client(NBD_EOVERFLOW, NBD_CMD_READ, false, true), NBD_EOVERFLOW);
    cr_expect_eq(nbd_error_for_client(NBD_EOVERFLOW, NBD_CMD_READ, false, false), NBD_EINVAL);
    cr_expect_eq(nbd_error_for_client(NBD_EOVERFLOW, NBD_CMD_WRITE_ZEROES, true, true), NBD_EINVAL);
}
