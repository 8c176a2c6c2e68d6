// SPDX-License-Identifier: BSD-3-Clause
#include <base/bytes.h>
#include <criterion/criterion.h>

Test(bytes, big_endian)
{
    static const uint8_t wire[] = {0xff, 1, 2, 3, 4, 5, 6, 7, 8};
    cr_expect_eq(get_be16(wire + 1), 0x0102); // unaligned on purpose
    cr_expect_eq(get_be32(wire + 1), 0x01020304);
    cr_expect_eq(get_be64(wire + 1), UINT64_C(0x0102030405060708));
    cr_expect_eq(get_be16(wire), 0xff01);
    cr_expect_eq(get_be32(wire), UINT32_C(0xff010203));
    uint8_t again[9] = {0xff};
    put_be16(again + 1, 0x0102);
    put_be16(again + 3, 0x0304);
    put_be32(again + 5, 0x05060708);
    cr_expect_arr_eq(again, wire, 9);
    memset(again + 1, 0, 8);
    put_be64(again + 1, UINT64_C(0x0102030405060708));
    cr_expect_arr_eq(again, wire, 9);
}

Test(bytes, equal)
{
    cr_expect(bytes_equal(bytes_str("abc"), bytes_of("abcd", 3)));
    cr_expect_not(bytes_equal(bytes_str("abc"), bytes_str("abd")));
    cr_expect_not(bytes_equal(bytes_str("abc"), bytes_str("ab")));
    cr_expect(bytes_equal(bytes_of(NULL, 0), bytes_str("")));
}

Test(bytes, all_zero)
{
    uint8_t zeroes[64] = {0};
    cr_expect(bytes_all_zero(zeroes, 0));
    cr_expect(bytes_all_zero(zeroes, 1));
    cr_expect(bytes_all_zero(zeroes, sizeof zeroes));
    for (size_t i = 0; i < sizeof zeroes; i++) {
        zeroes[i] = 1;
        cr_expect_not(bytes_all_zero(zeroes, sizeof zeroes), "at %zu", i);
        cr_expect(bytes_all_zero(zeroes, i), "before %zu", i);
        zeroes[i] = 0;
    }
}

Test(cursor, reads_in_order)
{
    static const uint8_t wire[] = {0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 'a', 'b'};
    struct cursor c = cursor_of(wire, sizeof wire);
    cr_expect_eq(cursor_be16(&c), 1);
    cr_expect_eq(cursor_be32(&c), 2);
    cr_expect_eq(cursor_be64(&c), 3);
    cr_expect_eq(cursor_left(&c), 2);
    cr_expect(bytes_equal(cursor_bytes(&c, 2), bytes_str("ab")));
    cr_expect_eq(cursor_left(&c), 0);
    cr_expect_not(c.bad);
    cr_expect_eq(cursor_bytes(&c, 0).len, 0);
    cr_expect_not(c.bad, "nothing can be read at the end");
}

Test(cursor, stays_bad)
{
    static const uint8_t wire[] = {1, 2, 3};
    struct cursor c = cursor_of(wire, sizeof wire);
    cr_expect_eq(cursor_be32(&c), 0);
    cr_expect(c.bad);
    cr_expect_eq(cursor_be16(&c), 0, "what there is, is not read any more");
    cr_expect_eq(cursor_be64(&c), 0);
    cr_expect_null(cursor_bytes(&c, 1).p);
    cr_expect_eq(cursor_left(&c), 3);
}

Test(cursor, huge_lengths_do_not_wrap)
{
    static const uint8_t wire[8] = {0};
    struct cursor c = cursor_of(wire, sizeof wire);
    cr_expect_null(cursor_bytes(&c, SIZE_MAX).p);
    cr_expect(c.bad);
}

Test(cursor, over_nothing)
{
    struct cursor c = cursor_of(NULL, 0);
    cr_expect_eq(cursor_left(&c), 0);
    cr_expect_eq(cursor_be16(&c), 0);
    cr_expect(c.bad);
}

Test(out, writes_in_order)
{
    static const uint8_t wire[] = {0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 'a', 'b', 0, 0};
    uint8_t buffer[sizeof wire];
    memset(buffer, 0xee, sizeof buffer);
    struct out o = out_of(buffer, sizeof buffer);
    out_be16(&o, 1);
    out_be32(&o, 2);
    out_be64(&o, 3);
    out_bytes(&o, bytes_str("ab"));
    out_zeroes(&o, 2);
    out_bytes(&o, bytes_of(NULL, 0));
    cr_expect_eq(o.len, sizeof wire);
    cr_expect_not(o.full);
    cr_expect_arr_eq(buffer, wire, sizeof wire);
}

Test(out, drops_whole_what_does_not_fit)
{
    uint8_t buffer[8];
    memset(buffer, 0xee, sizeof buffer);
    struct out o = out_of(buffer, 5);
    out_be32(&o, 1);
    out_be16(&o, 2);
    cr_expect(o.full);
    cr_expect_eq(o.len, 4);
    cr_expect_eq(buffer[4], 0xee);
    out_bytes(&o, bytes_str("x"));
    cr_expect_eq(o.len, 4, "and stays full, though this would fit");
    cr_expect_null(out_take(&o, SIZE_MAX));
}
