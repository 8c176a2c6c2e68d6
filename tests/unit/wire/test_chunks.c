// SPDX-License-Identifier: BSD-3-Clause
// What holds in both formats that have chunks: every chunk is judged in both, and the verdicts must
// be the same. test_chunks_extended.c has the rest.
#include <criterion/criterion.h>
#include <wire/chunks.h>

#define AT   UINT64_C(0x10000abcdef)
#define DONE NBD_REPLY_FLAG_DONE

static struct chunk_track track, extended;
static struct chunk_facts facts;
static const uint32_t ids[] = {7, 9};
static const unsigned n_ids = 2;

static void
begin(uint16_t command, uint16_t flags, uint32_t length)
{
    struct request r = {.type = command, .flags = flags, .offset = AT, .length = length};
    chunk_track_begin(&track, FORMAT_STRUCTURED, &r);
    chunk_track_begin(&extended, FORMAT_EXTENDED, &r);
}

// Header and head of the payload, as a caller passes them on. NULL if sound.
static const char *
judge_in(struct chunk_track *t, const struct reply *h, const uint8_t *head, int size)
{
    const char *why;
    int n = chunk_head_size(t, h, &why);
    cr_assert_eq(n < 0, why != NULL);
    if (n < 0)
        return why;
    cr_assert_eq(n, size);
    return chunk_judge(t, h, head, ids, n_ids, &facts);
}

// The same chunk, as the extended format has it.
static const char *
judge_extended(struct reply h, const uint8_t *head, int size)
{
    uint8_t status[8] = {0};
    h.offset = AT;
    if (h.type == NBD_REPLY_TYPE_BLOCK_STATUS) {
        h.type = NBD_REPLY_TYPE_BLOCK_STATUS_EXT;
        uint32_t n = h.length < 4 ? 0 : (uint32_t)(h.length - 4) / 8;
        h.length = h.length < 4 ? h.length : 8 + 16 * (uint64_t)n + (h.length - 4) % 8;
        if (head)
            put_be32(status, get_be32(head));
        put_be32(status + 4, n);
        head = status;
        size = 8;
    }
    return judge_in(&extended, &h, head, size);
}

static const char *
judge(uint16_t type, uint16_t flags, uint32_t length, const uint8_t *head, int size)
{
    struct reply h = {.chunk = true, .type = type, .flags = flags, .length = length};
    const char *other = judge_extended(h, head, size);
    struct chunk_facts others = facts;
    const char *why = judge_in(&track, &h, head, size);
    cr_assert_str_eq(why ? why : "sound", other ? other : "sound");
    if (!why) {
        cr_assert_eq(facts.offset, others.offset);
        cr_assert_eq(facts.length, others.length);
        cr_assert_eq(facts.error, others.error);
        cr_assert(bytes_equal(facts.text, others.text));
        cr_assert_eq(facts.context, others.context);
        cr_assert_eq(facts.extents, others.extents);
        cr_assert_eq(facts.done, others.done);
    }
    return why;
}

static const char *
data(uint64_t offset, uint32_t length, uint16_t flags)
{
    uint8_t head[8];
    put_be64(head, offset);
    return judge(NBD_REPLY_TYPE_OFFSET_DATA, flags, 8 + length, head, 8);
}

static const char *
hole(uint64_t offset, uint32_t length, uint16_t flags)
{
    uint8_t head[12];
    put_be64(head, offset);
    put_be32(head + 8, length);
    return judge(NBD_REPLY_TYPE_OFFSET_HOLE, flags, 12, head, 12);
}

static const char *
none(uint16_t flags, uint32_t length)
{
    return judge(NBD_REPLY_TYPE_NONE, flags, length, NULL, 0);
}

static const char *
status(uint32_t id, uint32_t length, uint16_t flags)
{
    uint8_t head[4];
    put_be32(head, id);
    return judge(NBD_REPLY_TYPE_BLOCK_STATUS, flags, length, head, 4);
}

static uint8_t error_head[MAX_ERROR_CHUNK + 1];

static const char *
error(uint16_t type, uint32_t code, uint16_t text, uint32_t length, uint16_t flags)
{
    put_be32(error_head, code);
    put_be16(error_head + 4, text);
    return judge(type, flags, length, error_head, (int)length);
}

static const char *
error_at(uint64_t offset)
{
    put_be64(error_head + 6, offset);
    return error(NBD_REPLY_TYPE_ERROR_OFFSET, NBD_EIO, 0, 14, 0);
}

Test(read, one_chunk)
{
    begin(NBD_CMD_READ, 0, 4096);
    cr_assert_null(data(AT, 4096, DONE));
    cr_expect_eq(facts.offset, AT);
    cr_expect_eq(facts.length, 4096);
    cr_expect(facts.done);
}

Test(read, in_any_order_and_mixed)
{
    begin(NBD_CMD_READ, 0, 4096);
    cr_assert_null(data(AT + 3072, 1024, 0));
    cr_expect_not(facts.done);
    cr_assert_null(hole(AT, 1024, 0));
    cr_expect_eq(facts.length, 1024);
    cr_assert_null(data(AT + 1024, 1024, 0));
    cr_assert_null(data(AT + 2048, 1024, 0));
    cr_expect_eq(track.n_spans, 1);
    cr_assert_null(none(DONE, 0));
    cr_expect(facts.done);
}

Test(read, with_more_gaps_than_remembered)
{
    begin(NBD_CMD_READ, 0, 4096);
    for (uint32_t i = 0; i < 4096; i += 2)
        cr_assert_null(data(AT + i, 1, 0));
    for (uint32_t i = 1; i < 4096; i += 2)
        cr_assert_null(data(AT + i, 1, 0));
    cr_expect_eq(track.covered, 4096);
    cr_assert_null(none(DONE, 0));
}

static void
expect_span(unsigned i, uint32_t from, uint32_t to)
{
    cr_assert_lt(i, track.n_spans);
    cr_expect_eq(track.spans[i].from, from);
    cr_expect_eq(track.spans[i].to, to);
}

Test(read, gaps_close_where_they_are)
{
    begin(NBD_CMD_READ, 0, 4096);
    for (uint32_t i = 0; i < CHUNK_GAPS; i++)
        cr_assert_null(data(AT + 6 - 2 * i, 1, 0)); // 6, 4, 2, 0
    cr_assert_null(hole(AT + 1, 1, 0));
    cr_assert_eq(track.n_spans, 3);
    expect_span(0, 0, 3);
    expect_span(1, 4, 5);
    expect_span(2, 6, 7);
    cr_expect_not_null(data(AT + 4, 1, 0));
    cr_assert_null(data(AT + 7, 1, 0));
    cr_assert_null(data(AT + 3, 1, 0));
    cr_assert_eq(track.n_spans, 2);
    expect_span(0, 0, 5);
    expect_span(1, 6, 8);
    cr_assert_null(data(AT + 100, 10, 0));
    cr_assert_null(data(AT + 99, 1, 0));
    expect_span(2, 99, 110);
}

Test(read, with_all_gaps_taken_a_span_is_forgotten_whole)
{
    begin(NBD_CMD_READ, 0, 4096);
    for (uint32_t i = 0; i <= CHUNK_GAPS; i++)
        cr_assert_null(data(AT + 2 * i, 1, 0));
    cr_expect_eq(track.n_spans, CHUNK_GAPS);
    cr_expect_eq(track.covered, CHUNK_GAPS + 1);
    expect_span(CHUNK_GAPS - 1, 2 * CHUNK_GAPS - 2, 2 * CHUNK_GAPS - 1);
}

Test(read, more_than_was_asked_is_noticed_past_the_gaps)
{
    begin(NBD_CMD_READ, 0, 64);
    for (uint32_t i = 0; i < 64; i += 2)
        cr_assert_null(data(AT + i, 1, 0));
    cr_assert_not_null(hole(AT + 10, 33, 0));
}

Test(read, overlaps)
{
    static const struct {
        uint32_t from, length;
    } bad[] = {{0, 1}, {1023, 1}, {512, 10}, {0, 4096}, {1000, 100}, {2047, 2}, {3071, 1025}};
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        begin(NBD_CMD_READ, 0, 4096);
        cr_assert_null(data(AT, 1024, 0));
        cr_assert_null(data(AT + 2048, 1024, 0));
        cr_expect_not_null(data(AT + bad[i].from, bad[i].length, 0), "row %u", i);
    }
}

Test(read, outside_the_request)
{
    static const struct {
        uint64_t offset;
        uint32_t length;
    } bad[] = {{AT - 1, 1},    {AT - 1, 2}, {AT + 4095, 2},  {AT + 4096, 1},
               {AT + 1, 4096}, {0, 1},      {UINT64_MAX, 1}, {UINT64_MAX, 4096}};
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        begin(NBD_CMD_READ, 0, 4096);
        cr_expect_not_null(data(bad[i].offset, bad[i].length, 0), "data, row %u", i);
        begin(NBD_CMD_READ, 0, 4096);
        cr_expect_not_null(hole(bad[i].offset, bad[i].length, 0), "hole, row %u", i);
    }
    begin(NBD_CMD_READ, 0, 4096);
    cr_expect_not_null(hole(AT, UINT32_MAX, 0));
}

Test(read, impossible_lengths)
{
    begin(NBD_CMD_READ, 0, 4096);
    cr_expect_not_null(judge(NBD_REPLY_TYPE_OFFSET_DATA, 0, 7, NULL, 0));
    cr_expect_not_null(judge(NBD_REPLY_TYPE_OFFSET_DATA, 0, 8, NULL, 0));
    cr_expect_not_null(judge(NBD_REPLY_TYPE_OFFSET_DATA, 0, 4096 + 9, NULL, 0));
    cr_expect_not_null(judge(NBD_REPLY_TYPE_OFFSET_DATA, 0, UINT32_MAX, NULL, 0));
    cr_expect_not_null(judge(NBD_REPLY_TYPE_OFFSET_HOLE, 0, 11, NULL, 0));
    cr_expect_not_null(judge(NBD_REPLY_TYPE_OFFSET_HOLE, 0, 13, NULL, 0));
    cr_expect_not_null(hole(AT, 0, 0));
}

Test(read, must_be_answered_in_full)
{
    begin(NBD_CMD_READ, 0, 4096);
    cr_expect_not_null(data(AT, 4095, DONE));
    begin(NBD_CMD_READ, 0, 4096);
    cr_expect_not_null(none(DONE, 0));
}

Test(read, of_nothing)
{
    begin(NBD_CMD_READ, 0, 0);
    cr_expect_null(data(AT, 0, DONE));
    begin(NBD_CMD_READ, 0, 0);
    cr_expect_null(none(DONE, 0));
}

Test(read, df_allows_one_content_chunk)
{
    begin(NBD_CMD_READ, NBD_CMD_FLAG_DF, 4096);
    cr_assert_null(data(AT, 2048, 0));
    cr_expect_not_null(data(AT + 2048, 2048, DONE));
}

Test(errors, end_a_read_without_all_of_it)
{
    begin(NBD_CMD_READ, 0, 4096);
    cr_assert_null(data(AT, 1024, 0));
    memcpy(error_head + 6, "on fire", 7);
    cr_assert_null(error(NBD_REPLY_TYPE_ERROR, NBD_EIO, 7, 13, 0));
    cr_expect_eq(facts.error, NBD_EIO);
    cr_expect(bytes_equal(facts.text, bytes_str("on fire")));
    cr_assert_null(data(AT + 1024, 1024, 0));
    cr_assert_null(none(DONE, 0));
}

Test(errors, zero_is_eio_and_others_stay_raw)
{
    begin(NBD_CMD_WRITE, 0, 4096);
    cr_assert_null(error(NBD_REPLY_TYPE_ERROR, 0, 0, 6, DONE));
    cr_expect_eq(facts.error, NBD_EIO);
    cr_expect(facts.done);
    cr_assert_null(error(NBD_REPLY_TYPE_ERROR, 121, 0, 6, DONE));
    cr_expect_eq(facts.error, 121);
}

Test(errors, lengths)
{
    begin(NBD_CMD_WRITE, 0, 4096);
    cr_expect_not_null(judge(NBD_REPLY_TYPE_ERROR, 0, 5, NULL, 0));
    cr_expect_not_null(judge(NBD_REPLY_TYPE_ERROR_OFFSET, 0, 13, NULL, 0));
    cr_expect_not_null(judge(NBD_REPLY_TYPE_ERROR, 0, MAX_ERROR_CHUNK + 1, NULL, 0));
    cr_expect_not_null(judge(NBD_REPLY_TYPE_ERROR, 0, UINT32_MAX, NULL, 0));
    cr_expect_not_null(error(NBD_REPLY_TYPE_ERROR, NBD_EIO, 5, 10, 0));
    put_be64(error_head + 7, AT); // sound, were it not for the length
    cr_expect_not_null(error(NBD_REPLY_TYPE_ERROR_OFFSET, NBD_EIO, 1, 14, 0));
    cr_expect_null(error(NBD_REPLY_TYPE_ERROR_OFFSET, NBD_EIO, 1, 15, 0));
    cr_expect_not_null(error(NBD_REPLY_TYPE_ERROR, NBD_EIO, 4097, 6 + 4097, 0));
    cr_expect_null(error(NBD_REPLY_TYPE_ERROR, NBD_EIO, 4096, 6 + 4096, 0));
    put_be64(error_head + 6 + 4096, AT);
    cr_expect_null(error(NBD_REPLY_TYPE_ERROR_OFFSET, NBD_EIO, 4096, MAX_ERROR_CHUNK, 0));
    cr_expect_null(error(NBD_REPLY_TYPE_ERROR, NBD_EIO, 4, 20, 0)); // fields of tomorrow
}

Test(errors, at_an_offset)
{
    begin(NBD_CMD_READ, 0, 4096);
    cr_assert_null(error_at(AT + 100));
    cr_expect_eq(facts.offset, AT + 100);
    cr_assert_null(error_at(AT + 4095));
    cr_assert_null(error_at(AT));
    cr_expect_not_null(error_at(AT - 1));
    cr_expect_not_null(error_at(AT + 4096));
    cr_expect_not_null(data(AT + 50, 100, 0), "content where an error has been");
    cr_expect_null(data(AT + 101, 100, 0));
    cr_expect_null(error_at(AT + 150), "an error where content has been");
}

Test(errors, of_unknown_type_are_errors)
{
    begin(NBD_CMD_FLUSH, 0, 0);
    cr_assert_null(error(0xffff, NBD_EINVAL, 0, 10, DONE));
    cr_expect_eq(facts.error, NBD_EINVAL);
    begin(NBD_CMD_FLUSH, 0, 0);
    cr_assert_null(error_at(12345), "FLUSH has no offsets to be outside of");
}

Test(others, plain_success)
{
    static const uint16_t commands[] = {NBD_CMD_WRITE, NBD_CMD_FLUSH, NBD_CMD_TRIM, NBD_CMD_CACHE,
                                        NBD_CMD_WRITE_ZEROES};
    for (unsigned i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        begin(commands[i], 0, 4096);
        cr_expect_null(none(DONE, 0));
        cr_expect_not_null(data(AT, 512, 0));
        cr_expect_not_null(hole(AT, 512, 0));
        cr_expect_not_null(status(7, 12, 0));
        cr_expect_not_null(none(0, 0), "NONE without DONE");
        cr_expect_not_null(none(DONE, 1), "NONE with a payload");
        cr_expect_not_null(judge(3, DONE, 0, NULL, 0));
        cr_expect_not_null(judge(6, DONE, 12, NULL, 0));
        cr_expect_not_null(judge(0x7ffe, DONE, 0, NULL, 0));
    }
}

Test(status, each_context_once)
{
    begin(NBD_CMD_BLOCK_STATUS, 0, 1 << 20);
    cr_assert_null(status(9, 12, 0));
    cr_expect_eq(facts.context, 1);
    cr_expect_not_null(status(9, 12, 0));
    cr_expect_not_null(status(8, 12, 0));
    cr_expect_not_null(none(DONE, 0), "7 is missing");
    cr_assert_null(status(7, 20, 0));
    cr_expect_eq(facts.context, 0);
    cr_assert_null(none(DONE, 0));
}

Test(status, as_many_contexts_as_there_can_be)
{
    uint32_t many[MAX_CONTEXTS];
    for (uint32_t i = 0; i < MAX_CONTEXTS; i++)
        many[i] = 1000 + i;
    for (unsigned n = 1; n <= MAX_CONTEXTS; n++) {
        begin(NBD_CMD_BLOCK_STATUS, 0, 4096);
        struct reply h = {.chunk = true, .type = NBD_REPLY_TYPE_BLOCK_STATUS, .length = 12};
        for (uint32_t i = 0; i < n; i++) {
            uint8_t head[4];
            put_be32(head, 1000 + i);
            h.flags = i == n - 1 ? DONE : 0;
            cr_assert_null(chunk_judge(&track, &h, head, many, n, &facts));
            cr_expect_eq(facts.context, i);
        }
    }
}

Test(status, fails_without_any)
{
    begin(NBD_CMD_BLOCK_STATUS, 0, 1 << 20);
    cr_assert_null(error(NBD_REPLY_TYPE_ERROR, NBD_EINVAL, 0, 6, DONE));
}

Test(status, lengths)
{
    static const uint32_t longest = 4 + 8 * MAX_STATUS_EXTENTS;
    static const uint32_t bad[] = {0, 4, 11, 13, longest + 8, UINT32_MAX - 3};
    begin(NBD_CMD_BLOCK_STATUS, 0, 1 << 20);
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_not_null(judge(NBD_REPLY_TYPE_BLOCK_STATUS, 0, bad[i], NULL, 0), "%u", bad[i]);
    cr_expect_null(status(7, longest, 0));
    cr_expect_eq(facts.extents, MAX_STATUS_EXTENTS);
    begin(NBD_CMD_BLOCK_STATUS, NBD_CMD_FLAG_REQ_ONE, 1 << 20);
    cr_expect_not_null(status(7, 20, 0));
    cr_expect_null(status(7, 12, 0));
    cr_expect_eq(facts.extents, 1);
    begin(NBD_CMD_READ, 0, 4096);
    cr_expect_not_null(status(7, 12, 0));
}

static const char *
extents(unsigned n, const uint32_t *lengths, uint64_t *total)
{
    uint8_t wire[8 * 8], wide[16 * 8];
    uint64_t other = *total;
    for (unsigned i = 0; i < n; i++) {
        struct extent e = {lengths[i], i & 3};
        extent_encode(FORMAT_STRUCTURED, wire + 8 * i, &e);
        extent_encode(FORMAT_EXTENDED, wide + 16 * i, &e);
    }
    const char *why = chunk_extents(&track, wire, n, total);
    const char *also = chunk_extents(&extended, wide, n, &other);
    cr_assert_str_eq(why ? why : "sound", also ? also : "sound");
    cr_assert_eq(*total, other);
    return why;
}

Test(extents, sums)
{
    uint64_t total = 0;
    begin(NBD_CMD_BLOCK_STATUS, 0, 4096);
    cr_assert_null(extents(3, (uint32_t[]){1024, 1024, 2047}, &total));
    cr_expect_eq(total, 4095);
    cr_assert_null(extents(1, (uint32_t[]){UINT32_MAX}, &total), "the last may go on");
    cr_expect_eq(total, UINT64_C(4095) + UINT32_MAX);
    cr_expect_not_null(extents(1, (uint32_t[]){1}, &total), "but then it is the last");
}

Test(extents, that_end_with_the_request_are_the_last)
{
    uint64_t total = 0;
    begin(NBD_CMD_BLOCK_STATUS, 0, 4096);
    cr_assert_null(extents(2, (uint32_t[]){4095, 1}, &total));
    cr_expect_not_null(extents(1, (uint32_t[]){1}, &total));
}

Test(extents, none_of_no_length)
{
    uint64_t total = 0;
    begin(NBD_CMD_BLOCK_STATUS, 0, 4096);
    cr_expect_not_null(extents(2, (uint32_t[]){1024, 0}, &total));
}

Test(extents, one_must_fit)
{
    uint64_t total = 0;
    begin(NBD_CMD_BLOCK_STATUS, NBD_CMD_FLAG_REQ_ONE, 4096);
    cr_expect_not_null(extents(1, (uint32_t[]){4097}, &total));
    total = 0;
    cr_expect_null(extents(1, (uint32_t[]){4096}, &total));
}
