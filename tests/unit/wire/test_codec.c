// SPDX-License-Identifier: BSD-3-Clause
// The codec against bytes written out by hand from the spec.
#include <criterion/criterion.h>
#include <wire/codec.h>

Test(codec, request)
{
    static const uint8_t wire[REQUEST_SIZE] = {
        0x25, 0x60, 0x95, 0x13,                         // magic
        0x00, 0x11,                                     // FUA, FAST_ZERO
        0x00, 0x06,                                     // WRITE_ZEROES
        0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, // cookie
        0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, // offset
        0x21, 0x22, 0x23, 0x24,                         // length
    };
    struct request r;
    cr_assert(request_decode(wire, &r));
    cr_expect_eq(r.flags, NBD_CMD_FLAG_FUA | NBD_CMD_FLAG_FAST_ZERO);
    cr_expect_eq(r.type, NBD_CMD_WRITE_ZEROES);
    cr_expect_eq(r.cookie, UINT64_C(0x0102030405060708));
    cr_expect_eq(r.offset, UINT64_C(0x1112131415161718));
    cr_expect_eq(r.length, UINT32_C(0x21222324));
    uint8_t again[REQUEST_SIZE];
    request_encode(again, &r);
    cr_expect_arr_eq(again, wire, sizeof wire);
    again[3] ^= 1;
    cr_expect_not(request_decode(again, &r));
}

Test(codec, simple_reply)
{
    static const uint8_t wire[SIMPLE_REPLY_SIZE] = {
        0x67, 0x44, 0x66, 0x98, 0, 0, 0, 95, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0xfa, 0xf9, 0xf8,
    };
    cr_expect_eq(reply_header_size(get_be32(wire)), SIMPLE_REPLY_SIZE);
    struct reply r = reply_decode(wire);
    cr_expect_not(r.chunk);
    cr_expect_eq(r.error, NBD_ENOTSUP);
    cr_expect_eq(r.cookie, UINT64_C(0xfffefdfcfbfaf9f8));
    cr_expect_eq(get_be64(wire + SIMPLE_REPLY_COOKIE), r.cookie);
    uint8_t again[SIMPLE_REPLY_SIZE];
    simple_reply_encode(again, r.cookie, r.error);
    cr_expect_arr_eq(again, wire, sizeof wire);
}

Test(codec, chunk)
{
    static const uint8_t wire[CHUNK_SIZE] = {
        0x66, 0x8e, 0x33, 0xef, 0, 1, 0x80, 0x01, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 1, 2,
    };
    cr_expect_eq(reply_header_size(get_be32(wire)), CHUNK_SIZE);
    struct reply r = reply_decode(wire);
    cr_expect(r.chunk);
    cr_expect_eq(r.flags, NBD_REPLY_FLAG_DONE);
    cr_expect_eq(r.type, NBD_REPLY_TYPE_ERROR);
    cr_expect_eq(r.cookie, UINT64_C(0x0102030405060708));
    cr_expect_eq(get_be64(wire + CHUNK_COOKIE), r.cookie);
    cr_expect_eq(r.length, 0x102);
    uint8_t again[CHUNK_SIZE];
    chunk_encode(again, r.flags, r.type, r.cookie, r.length);
    cr_expect_arr_eq(again, wire, sizeof wire);
}

Test(codec, error_chunk)
{
    uint8_t wire[ERROR_CHUNK_SIZE];
    error_chunk_encode(wire, 7, NBD_EIO);
    struct reply r = reply_decode(wire);
    cr_expect_eq(r.type, NBD_REPLY_TYPE_ERROR);
    cr_expect_eq(r.flags, NBD_REPLY_FLAG_DONE);
    cr_expect_eq(r.cookie, 7);
    cr_expect_eq(r.length, 6);
    cr_expect_eq(get_be32(wire + CHUNK_SIZE), NBD_EIO);
    cr_expect_eq(get_be16(wire + CHUNK_SIZE + 4), 0);
}

Test(codec, other_magics_are_none)
{
    cr_expect_eq(reply_header_size(NBD_REQUEST_MAGIC), 0);
    cr_expect_eq(reply_header_size(0), 0);
    cr_expect_eq(reply_header_size(NBD_SIMPLE_REPLY_MAGIC ^ 1), 0);
}
