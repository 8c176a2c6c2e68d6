// SPDX-License-Identifier: BSD-3-Clause
// What is different about chunks in the extended format: 64 bits, the request's offset in every
// header, block status of its own kind.
#include <criterion/criterion.h>
#include <wire/chunks.h>

#define AT   UINT64_C(0x10000abcdef)
#define DONE NBD_REPLY_FLAG_DONE

static struct chunk_track track;
static struct chunk_facts facts;
static const uint32_t ids[] = {7, 9};

static void
begin(enum wire_format f, uint16_t command, uint16_t flags, uint64_t length)
{
    struct request r = {.type = command, .flags = flags, .offset = AT, .length = length};
    chunk_track_begin(&track, f, &r);
}

static const char *
judge_at(uint64_t offset, uint16_t type, uint64_t length, const uint8_t *head)
{
    struct reply h = {
        .chunk = true, .flags = DONE, .type = type, .offset = offset, .length = length};
    const char *why;
    int n = chunk_head_size(&track, &h, &why);
    cr_assert_eq(n < 0, why != NULL);
    return n < 0 ? why : chunk_judge(&track, &h, head, ids, 2, &facts);
}

static const char *
judge(uint16_t type, uint64_t length, const uint8_t *head)
{
    return judge_at(AT, type, length, head);
}

// A block status chunk that says so many extents, in a payload of this length.
static const char *
status(uint32_t id, uint32_t count, uint64_t length)
{
    uint8_t head[8];
    put_be32(head, id);
    put_be32(head + 4, count);
    struct reply h = {
        .chunk = true, .type = NBD_REPLY_TYPE_BLOCK_STATUS_EXT, .offset = AT, .length = length};
    const char *why;
    int n = chunk_head_size(&track, &h, &why);
    if (n < 0)
        return why;
    cr_assert_eq(n, 8);
    return chunk_judge(&track, &h, head, ids, 2, &facts);
}

static const char *
extents(unsigned n, const uint64_t *lengths, uint64_t *total)
{
    uint8_t wire[16 * 8];
    for (unsigned i = 0; i < n; i++)
        extent_encode(FORMAT_EXTENDED, wire + 16 * i, &(struct extent){lengths[i], UINT64_MAX});
    return chunk_extents(&track, wire, n, total);
}

Test(chunks_extended, the_offset_is_the_requests)
{
    static const uint16_t types[] = {NBD_REPLY_TYPE_NONE, NBD_REPLY_TYPE_ERROR,
                                     NBD_REPLY_TYPE_ERROR_OFFSET};
    static const uint64_t lengths[] = {0, 6, 14};
    static const uint64_t wrong[] = {0, AT - 1, AT + 1, AT + 512, UINT64_MAX};
    uint8_t head[14] = {0, 0, 0, NBD_EIO};
    put_be64(head + 6, AT + 100);
    for (unsigned i = 0; i < 3; i++) {
        begin(FORMAT_EXTENDED, NBD_CMD_WRITE, 0, 4096);
        cr_expect_null(judge_at(AT, types[i], lengths[i], head));
        for (unsigned w = 0; w < 5; w++)
            cr_expect_not_null(judge_at(wrong[w], types[i], lengths[i], head), "%#x", types[i]);
    }
    begin(FORMAT_EXTENDED, NBD_CMD_READ, 0, 4096);
    put_be64(head, AT + 1024);
    cr_expect_not_null(judge_at(AT + 1024, NBD_REPLY_TYPE_OFFSET_DATA, 8 + 1024, head),
                       "not that of the data");
    begin(FORMAT_STRUCTURED, NBD_CMD_WRITE, 0, 4096);
    cr_expect_null(judge_at(0, NBD_REPLY_TYPE_NONE, 0, NULL), "compact chunks have none");
}

Test(chunks_extended, lengths_that_need_64_bits)
{
    static const uint64_t wide = UINT64_C(1) << 32;
    uint8_t head[16];
    put_be64(head, AT);
    put_be32(head + 8, 4096);
    begin(FORMAT_EXTENDED, NBD_CMD_READ, 0, 4096);
    cr_expect_not_null(judge(NBD_REPLY_TYPE_NONE, wide, head));
    cr_expect_not_null(judge(NBD_REPLY_TYPE_OFFSET_DATA, wide + 8 + 4096, head));
    cr_expect_not_null(judge(NBD_REPLY_TYPE_OFFSET_DATA, UINT64_MAX, head));
    cr_expect_not_null(judge(NBD_REPLY_TYPE_OFFSET_HOLE, wide + 12, head));
    cr_expect_not_null(judge(NBD_REPLY_TYPE_ERROR, wide + 6, head));
    cr_expect_not_null(judge(NBD_REPLY_TYPE_ERROR_OFFSET, wide + 14, head));
    cr_expect_not_null(judge(0x8765, UINT64_MAX, head));
    cr_expect_not(track.failed || track.content, "nothing of that has been noted");
    begin(FORMAT_EXTENDED, NBD_CMD_BLOCK_STATUS, 0, 4096);
    cr_expect_not_null(status(7, 1, wide + 24));
    cr_expect_not_null(status(7, 1u << 28, 8 + (UINT64_C(16) << 28)));
    cr_expect_not_null(status(7, 0, 8 + (UINT64_C(16) << 32)));
    cr_expect_not_null(status(7, 0xffffffff, UINT64_MAX - 7));
    // The longest READ there can be: its data still fit 32 bits, with the 8 before them no more.
    begin(FORMAT_EXTENDED, NBD_CMD_READ, 0, UINT32_MAX);
    cr_expect_not_null(judge(NBD_REPLY_TYPE_OFFSET_DATA, UINT64_C(8) + UINT32_MAX, head));
    const char *why;
    struct reply h = {
        .chunk = true, .type = NBD_REPLY_TYPE_OFFSET_DATA, .offset = AT, .length = UINT32_MAX};
    cr_assert_eq(chunk_head_size(&track, &h, &why), 8);
    cr_expect_null(chunk_judge(&track, &h, head, ids, 2, &facts));
    cr_expect_eq(facts.length, UINT32_MAX - 8);
}

Test(chunks_extended, status_of_the_connections_own_kind)
{
    uint8_t head[8] = {0, 0, 0, 7, 0, 0, 0, 1};
    begin(FORMAT_EXTENDED, NBD_CMD_BLOCK_STATUS, 0, 4096);
    cr_expect_not_null(judge(NBD_REPLY_TYPE_BLOCK_STATUS, 12, head));
    cr_expect_not_null(judge(NBD_REPLY_TYPE_BLOCK_STATUS, 24, head));
    cr_expect_null(status(7, 1, 24));
    begin(FORMAT_STRUCTURED, NBD_CMD_BLOCK_STATUS, 0, 4096);
    cr_expect_not_null(judge(NBD_REPLY_TYPE_BLOCK_STATUS_EXT, 24, head));
    cr_expect_not_null(judge(NBD_REPLY_TYPE_BLOCK_STATUS_EXT, 12, head));
}

Test(chunks_extended, the_count_is_right)
{
    begin(FORMAT_EXTENDED, NBD_CMD_BLOCK_STATUS, 0, 4096);
    cr_expect_not_null(status(7, 0, 8), "none");
    cr_expect_not_null(status(7, 0, 24), "says none");
    cr_expect_not_null(status(7, 2, 24), "too many");
    cr_expect_not_null(status(7, 1, 40), "too few");
    cr_expect_not_null(status(7, 0x10000001, 24), "right in its low 28 bits: 16 times it wraps");
    cr_expect_not_null(status(7, 1, 20), "a compact one's size");
    cr_expect_not_null(status(7, MAX_STATUS_EXTENTS + 1, 8 + 16 * (MAX_STATUS_EXTENTS + 1)));
    cr_expect_eq(track.contexts, 0, "none of them has answered a context");
    cr_assert_null(status(7, 3, 56));
    cr_expect_eq(facts.context, 0);
    cr_expect_eq(facts.extents, 3);
    cr_assert_null(status(9, MAX_STATUS_EXTENTS, 8 + 16 * MAX_STATUS_EXTENTS));
    cr_expect_eq(facts.context, 1);
    cr_expect_eq(facts.extents, MAX_STATUS_EXTENTS);
    cr_expect_null(judge(NBD_REPLY_TYPE_NONE, 0, NULL));
    begin(FORMAT_EXTENDED, NBD_CMD_BLOCK_STATUS, NBD_CMD_FLAG_REQ_ONE, 4096);
    cr_expect_not_null(status(7, 2, 40));
    cr_expect_null(status(7, 1, 24));
}

Test(chunks_extended, extents_of_terabytes)
{
    uint64_t total = 0;
    begin(FORMAT_EXTENDED, NBD_CMD_BLOCK_STATUS, 0, UINT64_C(3) << 40);
    cr_assert_null(extents(2, (uint64_t[]){UINT64_C(1) << 40, UINT64_C(1) << 41}, &total));
    cr_expect_eq(total, UINT64_C(3) << 40);
    cr_expect_not_null(extents(1, (uint64_t[]){1}, &total), "these end with the request");
    total = 0;
    cr_expect_not_null(extents(1, (uint64_t[]){0}, &total));
    begin(FORMAT_EXTENDED, NBD_CMD_BLOCK_STATUS, NBD_CMD_FLAG_REQ_ONE, UINT64_C(1) << 40);
    cr_expect_null(extents(1, (uint64_t[]){UINT64_C(1) << 40}, &total));
    total = 0;
    cr_expect_not_null(extents(1, (uint64_t[]){(UINT64_C(1) << 40) + 1}, &total));
}

Test(chunks_extended, extents_end_within_63_bits)
{
    static const uint64_t room = MAX_EXPORT_SIZE - AT;
    static const uint64_t bad[] = {room + 1, MAX_EXPORT_SIZE, UINT64_C(1) << 63, UINT64_MAX - AT,
                                   UINT64_MAX};
    for (unsigned i = 0; i < 5; i++) {
        uint64_t total = 0;
        begin(FORMAT_EXTENDED, NBD_CMD_BLOCK_STATUS, 0, room);
        cr_expect_not_null(extents(1, &bad[i], &total), "row %u", i);
        total = 0;
        cr_assert_null(extents(1, (uint64_t[]){4096}, &total));
        cr_expect_not_null(extents(1, &bad[i], &total), "row %u, behind another", i);
        cr_expect_not_null(extents(1, (uint64_t[]){room - 4095}, &total), "by one");
    }
    uint64_t total = 0;
    begin(FORMAT_EXTENDED, NBD_CMD_BLOCK_STATUS, 0, room);
    cr_expect_null(extents(2, (uint64_t[]){4096, room - 4096}, &total));
    cr_expect_eq(total, room);
    struct request nowhere = {
        .type = NBD_CMD_BLOCK_STATUS, .offset = MAX_EXPORT_SIZE + 1, .length = 4096};
    chunk_track_begin(&track, FORMAT_EXTENDED, &nowhere);
    total = 0;
    cr_expect_not_null(extents(1, (uint64_t[]){1}, &total));
}

Test(chunks_extended, requests_of_terabytes_fail_anywhere)
{
    static const uint64_t length = UINT64_C(1) << 42;
    uint8_t head[14] = {0, 0, 0, NBD_EIO};
    begin(FORMAT_EXTENDED, NBD_CMD_WRITE_ZEROES, 0, length);
    put_be64(head + 6, AT + length - 1);
    cr_assert_null(judge(NBD_REPLY_TYPE_ERROR_OFFSET, 14, head));
    cr_expect_eq(facts.offset, AT + length - 1);
    put_be64(head + 6, AT + length);
    cr_expect_not_null(judge(NBD_REPLY_TYPE_ERROR_OFFSET, 14, head));
    cr_expect_eq(track.n_spans, 0, "spans are for content");
}

Test(chunks_extended, none_where_replies_are_simple)
{
    begin(FORMAT_SIMPLE, NBD_CMD_WRITE, 0, 4096);
    cr_expect_not_null(judge(NBD_REPLY_TYPE_NONE, 0, NULL));
    uint8_t head[6] = {0, 0, 0, NBD_EIO};
    cr_expect_not_null(judge(NBD_REPLY_TYPE_ERROR, 6, head));
}
