// SPDX-License-Identifier: BSD-3-Clause
// The codec against bytes written out by hand from the spec.
#include <criterion/criterion.h>
#include <wire/codec.h>

static const enum wire_format compact[] = {FORMAT_SIMPLE, FORMAT_STRUCTURED};

Test(codec, compact_request)
{
    static const uint8_t wire[COMPACT_REQUEST_SIZE] = {
        0x25, 0x60, 0x95, 0x13,                         // magic
        0x00, 0x11,                                     // FUA, FAST_ZERO
        0x00, 0x06,                                     // WRITE_ZEROES
        0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, // cookie
        0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, // offset
        0x91, 0x22, 0x23, 0x24,                         // length
    };
    for (int i = 0; i < 2; i++) {
        struct request r;
        cr_assert_eq(request_size(compact[i]), sizeof wire);
        cr_assert(request_decode(compact[i], wire, &r));
        cr_expect_eq(r.flags, NBD_CMD_FLAG_FUA | NBD_CMD_FLAG_FAST_ZERO);
        cr_expect_eq(r.type, NBD_CMD_WRITE_ZEROES);
        cr_expect_eq(r.cookie, UINT64_C(0x0102030405060708));
        cr_expect_eq(r.offset, UINT64_C(0x1112131415161718));
        cr_expect_eq(r.length, UINT64_C(0x91222324));
        cr_expect_eq(r.payload, 0);
        uint8_t again[REQUEST_SIZE_MAX];
        request_encode(compact[i], again, &r);
        cr_expect_arr_eq(again, wire, sizeof wire);
        again[3] ^= 1;
        cr_expect_not(request_decode(compact[i], again, &r));
    }
}

Test(codec, extended_request)
{
    static const uint8_t wire[EXTENDED_REQUEST_SIZE] = {
        0x21, 0xe4, 0x1c, 0x71,                         // magic
        0x00, 0x11,                                     // FUA, FAST_ZERO
        0x00, 0x06,                                     // WRITE_ZEROES
        0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, // cookie
        0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, // offset
        0x91, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28, // length
    };
    struct request r;
    cr_assert_eq(request_size(FORMAT_EXTENDED), sizeof wire);
    cr_assert(request_decode(FORMAT_EXTENDED, wire, &r));
    cr_expect_eq(r.flags, NBD_CMD_FLAG_FUA | NBD_CMD_FLAG_FAST_ZERO);
    cr_expect_eq(r.type, NBD_CMD_WRITE_ZEROES);
    cr_expect_eq(r.cookie, UINT64_C(0x0102030405060708));
    cr_expect_eq(r.offset, UINT64_C(0x1112131415161718));
    cr_expect_eq(r.length, UINT64_C(0x9122232425262728));
    cr_expect_eq(r.payload, 0);
    uint8_t again[EXTENDED_REQUEST_SIZE];
    request_encode(FORMAT_EXTENDED, again, &r);
    cr_expect_arr_eq(again, wire, sizeof wire);
    again[3] ^= 1;
    cr_expect_not(request_decode(FORMAT_EXTENDED, again, &r));
}

Test(codec, each_format_has_one_request_magic)
{
    uint8_t wire[REQUEST_SIZE_MAX] = {0};
    struct request r;
    put_be32(wire, NBD_EXTENDED_REQUEST_MAGIC);
    cr_expect_not(request_decode(FORMAT_SIMPLE, wire, &r));
    cr_expect_not(request_decode(FORMAT_STRUCTURED, wire, &r));
    put_be32(wire, NBD_REQUEST_MAGIC);
    cr_expect_not(request_decode(FORMAT_EXTENDED, wire, &r));
}

// What flags and payload a request with these flags on the wire has.
static struct request
decoded(enum wire_format f, uint16_t type, uint16_t flags)
{
    uint8_t wire[REQUEST_SIZE_MAX] = {0};
    put_be32(wire, f == FORMAT_EXTENDED ? NBD_EXTENDED_REQUEST_MAGIC : NBD_REQUEST_MAGIC);
    put_be16(wire + 4, flags);
    put_be16(wire + 6, type);
    put_be32(wire + (f == FORMAT_EXTENDED ? 28 : 24), 4096);
    struct request r;
    cr_assert(request_decode(f, wire, &r));
    cr_expect_eq(r.length, 4096);
    return r;
}

Test(codec, payload_of_compact_requests)
{
    static const uint16_t both = NBD_CMD_FLAG_FUA | NBD_CMD_FLAG_PAYLOAD_LEN;
    for (int i = 0; i < 2; i++) {
        for (uint16_t type = 0; type < NBD_COMMANDS; type++) {
            struct request r = decoded(compact[i], type, NBD_CMD_FLAG_FUA);
            cr_expect_eq(r.payload, type == NBD_CMD_WRITE ? 4096 : 0);
            cr_expect_eq(r.flags, NBD_CMD_FLAG_FUA);
            r = decoded(compact[i], type, both);
            cr_expect_eq(r.payload, type == NBD_CMD_WRITE ? 4096 : 0, "the flag says nothing here");
            cr_expect_eq(r.flags, both, "but it is an error");
        }
    }
}

Test(codec, payload_of_extended_requests)
{
    static const uint16_t both = NBD_CMD_FLAG_FUA | NBD_CMD_FLAG_PAYLOAD_LEN;
    for (uint16_t type = 0; type < NBD_COMMANDS; type++) {
        struct request r = decoded(FORMAT_EXTENDED, type, NBD_CMD_FLAG_FUA);
        cr_expect_eq(r.payload, type == NBD_CMD_WRITE ? 4096 : 0, "qemu sends WRITE without it");
        cr_expect_eq(r.flags, NBD_CMD_FLAG_FUA);
        r = decoded(FORMAT_EXTENDED, type, both);
        cr_expect_eq(r.payload, 4096);
        cr_expect_eq(r.flags, type == NBD_CMD_WRITE ? NBD_CMD_FLAG_FUA : both);
    }
    cr_expect_eq(decoded(FORMAT_EXTENDED, 0x7777, both).payload, 4096, "of unknown ones, too");
}

Test(codec, a_write_carries_the_flag_in_the_extended_format_only)
{
    uint8_t wire[REQUEST_SIZE_MAX];
    struct request r = {.type = NBD_CMD_WRITE, .flags = NBD_CMD_FLAG_FUA, .length = 512};
    request_encode(FORMAT_EXTENDED, wire, &r);
    cr_expect_eq(get_be16(wire + 4), NBD_CMD_FLAG_FUA | NBD_CMD_FLAG_PAYLOAD_LEN);
    for (int i = 0; i < 2; i++) {
        request_encode(compact[i], wire, &r);
        cr_expect_eq(get_be16(wire + 4), NBD_CMD_FLAG_FUA);
    }
    for (uint16_t type = 0; type < NBD_COMMANDS; type++) {
        r.type = type;
        request_encode(FORMAT_EXTENDED, wire, &r);
        cr_expect_eq(!!(get_be16(wire + 4) & NBD_CMD_FLAG_PAYLOAD_LEN), type == NBD_CMD_WRITE);
    }
}

Test(codec, simple_reply)
{
    static const uint8_t wire[SIMPLE_REPLY_SIZE] = {
        0x67, 0x44, 0x66, 0x98, 0, 0, 0, 95, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0xfa, 0xf9, 0xf8,
    };
    struct reply r = reply_decode(wire);
    cr_expect_not(r.chunk);
    cr_expect_eq(r.error, NBD_ENOTSUP);
    cr_expect_eq(r.cookie, UINT64_C(0xfffefdfcfbfaf9f8));
    cr_expect_eq(get_be64(wire + REPLY_COOKIE), r.cookie);
    cr_expect(r.offset == 0 && r.length == 0 && r.flags == 0 && r.type == 0);
    uint8_t again[SIMPLE_REPLY_SIZE];
    simple_reply_encode(again, r.cookie, r.error);
    cr_expect_arr_eq(again, wire, sizeof wire);
}

Test(codec, compact_chunk)
{
    static const uint8_t wire[COMPACT_CHUNK_SIZE] = {
        0x66, 0x8e, 0x33, 0xef,             // magic
        0,    1,    0x80, 0x01,             // DONE, ERROR
        1,    2,    3,    4,    5, 6, 7, 8, // cookie
        0x90, 0,    1,    2,                // length
    };
    struct reply r = reply_decode(wire);
    cr_expect(r.chunk);
    cr_expect_eq(r.flags, NBD_REPLY_FLAG_DONE);
    cr_expect_eq(r.type, NBD_REPLY_TYPE_ERROR);
    cr_expect_eq(r.cookie, UINT64_C(0x0102030405060708));
    cr_expect_eq(get_be64(wire + REPLY_COOKIE), r.cookie);
    cr_expect_eq(r.offset, 0);
    cr_expect_eq(r.length, UINT64_C(0x90000102));
    uint8_t again[COMPACT_CHUNK_SIZE];
    cr_assert_eq(chunk_size(FORMAT_STRUCTURED), sizeof wire);
    cr_assert_eq(
        chunk_encode(FORMAT_STRUCTURED, again, r.flags, r.type, r.cookie, 4096, (uint32_t)r.length),
        sizeof wire);
    cr_expect_arr_eq(again, wire, sizeof wire);
}

Test(codec, extended_chunk)
{
    static const uint8_t wire[EXTENDED_CHUNK_SIZE] = {
        0x6e, 0x8a, 0x27, 0x8c,                         // magic
        0,    1,    0x80, 0x01,                         // DONE, ERROR
        0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, // cookie
        0xf1, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, // offset
        0,    0,    0,    0,    0x90, 0,    1,    2,    // length
    };
    struct reply r = reply_decode(wire);
    cr_expect(r.chunk);
    cr_expect_eq(r.flags, NBD_REPLY_FLAG_DONE);
    cr_expect_eq(r.type, NBD_REPLY_TYPE_ERROR);
    cr_expect_eq(r.cookie, UINT64_C(0x0102030405060708));
    cr_expect_eq(get_be64(wire + REPLY_COOKIE), r.cookie);
    cr_expect_eq(r.offset, UINT64_C(0xf112131415161718));
    cr_expect_eq(r.length, UINT64_C(0x90000102));
    uint8_t again[EXTENDED_CHUNK_SIZE];
    cr_assert_eq(chunk_size(FORMAT_EXTENDED), sizeof wire);
    cr_assert_eq(chunk_encode(FORMAT_EXTENDED, again, r.flags, r.type, r.cookie, r.offset,
                              (uint32_t)r.length),
                 sizeof wire);
    cr_expect_arr_eq(again, wire, sizeof wire);
    put_be32(again + 24, 0x80000001);
    cr_expect_eq(reply_decode(again).length, UINT64_C(0x8000000190000102), "64 bits are read");
}

Test(codec, error_chunk)
{
    static const enum wire_format formats[] = {FORMAT_STRUCTURED, FORMAT_EXTENDED};
    for (int i = 0; i < 2; i++) {
        uint8_t wire[ERROR_CHUNK_MAX + 1];
        memset(wire, 0xee, sizeof wire);
        uint32_t head = chunk_size(formats[i]);
        cr_assert_eq(error_chunk_encode(formats[i], wire, NBD_REPLY_FLAG_DONE, 7, 99, NBD_EIO),
                     head + 6);
        struct reply r = reply_decode(wire);
        cr_expect_eq(r.type, NBD_REPLY_TYPE_ERROR);
        cr_expect_eq(r.flags, NBD_REPLY_FLAG_DONE);
        cr_expect_eq(r.cookie, 7);
        cr_expect_eq(r.offset, formats[i] == FORMAT_EXTENDED ? 99 : 0);
        cr_expect_eq(r.length, 6);
        cr_expect_eq(get_be32(wire + head), NBD_EIO);
        cr_expect_eq(get_be16(wire + head + 4), 0);
        cr_expect_eq(wire[head + 6], 0xee);
        error_chunk_encode(formats[i], wire, 0, 7, 99, NBD_EIO);
        cr_expect_eq(reply_decode(wire).flags, 0);
    }
}

Test(codec, reply_magics_of_each_format)
{
    static const uint32_t magics[] = {NBD_SIMPLE_REPLY_MAGIC, NBD_STRUCTURED_REPLY_MAGIC,
                                      NBD_EXTENDED_REPLY_MAGIC};
    static const uint32_t sizes[3][3] = {{16, 0, 0}, {16, 20, 0}, {0, 0, 32}};
    static const uint32_t never[] = {0, NBD_REQUEST_MAGIC, NBD_EXTENDED_REQUEST_MAGIC,
                                     NBD_SIMPLE_REPLY_MAGIC ^ 1, UINT32_MAX};
    for (unsigned f = 0; f < 3; f++) {
        for (unsigned m = 0; m < 3; m++)
            cr_expect_eq(reply_header_size(f, magics[m]), sizes[f][m], "%u %u", f, m);
        for (unsigned m = 0; m < 5; m++)
            cr_expect_eq(reply_header_size(f, never[m]), 0);
    }
}

Test(codec, status_of_each_format)
{
    cr_expect_eq(status_chunk_type(FORMAT_STRUCTURED), 5);
    cr_expect_eq(status_head_size(FORMAT_STRUCTURED), 4);
    cr_expect_eq(extent_size(FORMAT_STRUCTURED), 8);
    cr_expect_eq(status_chunk_type(FORMAT_EXTENDED), 6);
    cr_expect_eq(status_head_size(FORMAT_EXTENDED), 8);
    cr_expect_eq(extent_size(FORMAT_EXTENDED), 16);
}

Test(codec, extents)
{
    static const uint8_t narrow[8] = {0x91, 0x12, 0x13, 0x14, 0xa1, 0x22, 0x23, 0x24};
    static const uint8_t wide[16] = {0x91, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18,
                                     0xa1, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28};
    uint8_t again[16];
    struct extent e = extent_decode(FORMAT_STRUCTURED, narrow);
    cr_expect_eq(e.length, UINT64_C(0x91121314));
    cr_expect_eq(e.status, UINT64_C(0xa1222324));
    extent_encode(FORMAT_STRUCTURED, again, &e);
    cr_expect_arr_eq(again, narrow, 8);
    cr_expect(extent_fits(FORMAT_STRUCTURED, &e));
    e = extent_decode(FORMAT_EXTENDED, wide);
    cr_expect_eq(e.length, UINT64_C(0x9112131415161718));
    cr_expect_eq(e.status, UINT64_C(0xa122232425262728));
    extent_encode(FORMAT_EXTENDED, again, &e);
    cr_expect_arr_eq(again, wide, 16);
    cr_expect(extent_fits(FORMAT_EXTENDED, &e));
    cr_expect_not(extent_fits(FORMAT_STRUCTURED, &e));
    cr_expect_not(extent_fits(FORMAT_STRUCTURED, &(struct extent){1, UINT64_C(1) << 32}));
    cr_expect(extent_fits(FORMAT_STRUCTURED, &(struct extent){UINT64_C(1) << 40, UINT32_MAX}));
}

Test(codec, long_extents_are_cut_in_the_compact_format)
{
    static const uint64_t lengths[] = {UINT32_MAX, UINT64_C(1) << 32, UINT64_MAX};
    static const uint32_t told[] = {UINT32_MAX, 0xffff0000, 0xffff0000};
    for (int i = 0; i < 3; i++) {
        uint8_t wire[8];
        extent_encode(FORMAT_STRUCTURED, wire, &(struct extent){lengths[i], 3});
        cr_expect_eq(get_be32(wire), told[i], "a multiple of any minimum block size");
        cr_expect_eq(get_be32(wire + 4), 3);
    }
}
