// SPDX-License-Identifier: BSD-3-Clause
#include <base/limits.h>
#include <criterion/criterion.h>
#include <relay/admit.h>

#define MIB (UINT64_C(1) << 20)

static struct export_facts
facts(void)
{
    return (struct export_facts){
        .size = 64 * MIB,
        .flags = NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA | NBD_FLAG_SEND_TRIM |
                 NBD_FLAG_SEND_WRITE_ZEROES | NBD_FLAG_SEND_CACHE | NBD_FLAG_SEND_FAST_ZERO |
                 NBD_FLAG_SEND_DF,
        .minimum = 1,
        .max_payload = MAX_PAYLOAD,
        .upstream_minimum = 1,
        .client_format = FORMAT_EXTENDED,
        .upstream_format = FORMAT_EXTENDED,
        .contexts = true,
    };
}

#define END 10000

static uint32_t
answer_to(const struct export_facts *f, const struct request *r)
{
    uint32_t error = 9999;
    enum admission a = admit_request(f, r, &error);
    return a == ADMIT_PASS ? 0 : a == ADMIT_END ? END : error;
}

// As codec.h decodes it: a WRITE has a payload.
static uint32_t
error_of(const struct export_facts *f, uint16_t type, uint16_t flags, uint64_t offset,
         uint64_t length)
{
    return answer_to(f, &(struct request){.type = type,
                                          .flags = flags,
                                          .offset = offset,
                                          .length = length,
                                          .payload = type == NBD_CMD_WRITE ? length : 0});
}

Test(admit, passes_what_is_right)
{
    struct export_facts f = facts();
    cr_assert_eq(error_of(&f, NBD_CMD_READ, 0, 0, 4096), 0);
    cr_assert_eq(error_of(&f, NBD_CMD_READ, NBD_CMD_FLAG_DF, 0, 4096), 0);
    cr_assert_eq(error_of(&f, NBD_CMD_WRITE, NBD_CMD_FLAG_FUA, 64 * MIB - 1, 1), 0);
    cr_assert_eq(error_of(&f, NBD_CMD_FLUSH, 0, 0, 0), 0);
    cr_assert_eq(error_of(&f, NBD_CMD_BLOCK_STATUS, NBD_CMD_FLAG_REQ_ONE, 0, 64 * MIB), 0);
    cr_assert_eq(error_of(&f, NBD_CMD_WRITE_ZEROES,
                          NBD_CMD_FLAG_FAST_ZERO | NBD_CMD_FLAG_NO_HOLE | NBD_CMD_FLAG_FUA, 0,
                          64 * MIB),
                 0);
}

// Checklist 78: every flag bit on every command.
Test(admit, refuses_each_flag_that_does_not_belong)
{
    struct export_facts f = facts();
    static const uint16_t allowed[NBD_COMMANDS] = {
        [NBD_CMD_READ] = NBD_CMD_FLAG_DF,
        [NBD_CMD_BLOCK_STATUS] = NBD_CMD_FLAG_REQ_ONE,
        [NBD_CMD_WRITE_ZEROES] = NBD_CMD_FLAG_NO_HOLE | NBD_CMD_FLAG_FAST_ZERO,
    };
    for (uint16_t type = 0; type < NBD_COMMANDS; type++) {
        if (type == NBD_CMD_DISC)
            continue;
        uint32_t length = type == NBD_CMD_FLUSH ? 0 : 4096;
        for (unsigned bit = 0; bit < 16; bit++) {
            uint16_t flag = (uint16_t)(1u << bit);
            bool good = flag & (allowed[type] | NBD_CMD_FLAG_FUA);
            cr_assert_eq(error_of(&f, type, flag, 0, length), good ? 0 : NBD_EINVAL,
                         "command %u flag %u", type, bit);
        }
    }
}

// Checklist 80, 87, 89, 95: what was not advertised.
Test(admit, refuses_what_was_not_advertised)
{
    struct export_facts f = facts();
    f.flags = NBD_FLAG_HAS_FLAGS;
    f.contexts = false;
    cr_assert_eq(error_of(&f, NBD_CMD_FLUSH, 0, 0, 0), NBD_EINVAL);
    cr_assert_eq(error_of(&f, NBD_CMD_TRIM, 0, 0, 512), NBD_EINVAL);
    cr_assert_eq(error_of(&f, NBD_CMD_CACHE, 0, 0, 512), NBD_EINVAL);
    cr_assert_eq(error_of(&f, NBD_CMD_WRITE_ZEROES, 0, 0, 512), NBD_EINVAL);
    cr_assert_eq(error_of(&f, NBD_CMD_WRITE, NBD_CMD_FLAG_FUA, 0, 512), NBD_EINVAL);
    cr_assert_eq(error_of(&f, NBD_CMD_READ, NBD_CMD_FLAG_DF, 0, 512), NBD_EINVAL);
    cr_assert_eq(error_of(&f, NBD_CMD_BLOCK_STATUS, 0, 0, 512), NBD_EINVAL);
}

// Checklist 81.
Test(admit, knows_the_end_of_the_export)
{
    struct export_facts f = facts();
    static const struct {
        uint64_t offset, length;
    } beyond[] = {{UINT64_MAX, 1},
                  {64 * MIB - 1, 2},
                  {64 * MIB, 1},
                  {0, UINT32_MAX},
                  {0, UINT64_MAX},
                  {UINT64_MAX, UINT64_MAX},
                  {512, UINT64_MAX - 511},              // ends at 0 again
                  {64 * MIB + 4096, UINT64_MAX - 4095}, // at the end of the export
                  {1, (uint64_t)INT64_MAX}};
    for (unsigned i = 0; i < sizeof beyond / sizeof beyond[0]; i++) {
        uint64_t o = beyond[i].offset, n = beyond[i].length;
        cr_assert_eq(error_of(&f, NBD_CMD_READ, 0, o, n), NBD_EINVAL);
        cr_assert_eq(error_of(&f, NBD_CMD_TRIM, 0, o, n), NBD_EINVAL);
        cr_assert_eq(error_of(&f, NBD_CMD_CACHE, 0, o, n), NBD_EINVAL);
        cr_assert_eq(error_of(&f, NBD_CMD_BLOCK_STATUS, 0, o, n), NBD_EINVAL);
        cr_assert_eq(error_of(&f, NBD_CMD_WRITE_ZEROES, 0, o, n), NBD_ENOSPC);
        if (n <= 2)
            cr_assert_eq(error_of(&f, NBD_CMD_WRITE, 0, o, n), NBD_ENOSPC);
    }
}

// Checklist 84, 85.
Test(admit, bounds_payloads)
{
    struct export_facts f = facts();
    cr_assert_eq(error_of(&f, NBD_CMD_READ, 0, 0, MAX_PAYLOAD), 0);
    cr_assert_eq(error_of(&f, NBD_CMD_READ, 0, 0, MAX_PAYLOAD + 1), NBD_EINVAL);
    cr_assert_eq(error_of(&f, NBD_CMD_WRITE, 0, 0, MAX_PAYLOAD), 0);
    cr_assert_eq(error_of(&f, NBD_CMD_WRITE, 0, 0, MAX_PAYLOAD + 1), NBD_EINVAL);
    cr_assert_eq(error_of(&f, NBD_CMD_WRITE, 0, 0, UINT32_MAX), END, "drop the connection");
}

// Checklist 82.
Test(admit, minds_alignment_where_it_was_agreed)
{
    struct export_facts f = facts();
    f.minimum = 4096;
    cr_assert_eq(error_of(&f, NBD_CMD_READ, 0, 512, 4096), NBD_EINVAL);
    cr_assert_eq(error_of(&f, NBD_CMD_READ, 0, 4096, 512), NBD_EINVAL);
    cr_assert_eq(error_of(&f, NBD_CMD_READ, 0, 4096, 4096), 0);
    f.size = 8192 + 512; // the odd end of an export can be reached
    cr_assert_eq(error_of(&f, NBD_CMD_READ, 0, 8192, 512), 0);
    cr_assert_eq(error_of(&f, NBD_CMD_READ, 0, 8192, 256), NBD_EINVAL);
    // Aligned only in sums that overflow.
    cr_assert_eq(error_of(&f, NBD_CMD_TRIM, 0, 12288, UINT64_MAX - 4096 + 513), NBD_EINVAL);
    cr_assert_eq(error_of(&f, NBD_CMD_WRITE_ZEROES, 0, 4096, UINT64_MAX - 4095), NBD_ENOSPC);
}

// Checklist 86; interface.md: FAST_ZERO on a read-only export is EPERM.
Test(admit, protects_a_read_only_export)
{
    struct export_facts f = facts();
    f.flags = advertised_flags(f.flags, FORMAT_STRUCTURED, true, FAST_ZERO_OFFER);
    cr_assert_eq(f.flags & NBD_FLAG_SEND_FAST_ZERO, 0);
    cr_assert_eq(error_of(&f, NBD_CMD_WRITE, 0, 0, 512), NBD_EPERM);
    cr_assert_eq(error_of(&f, NBD_CMD_TRIM, 0, 0, 512), NBD_EPERM);
    cr_assert_eq(error_of(&f, NBD_CMD_WRITE_ZEROES, 0, 0, 512), NBD_EPERM);
    cr_assert_eq(error_of(&f, NBD_CMD_WRITE_ZEROES, NBD_CMD_FLAG_FAST_ZERO, 0, 512), NBD_EPERM);
    cr_assert_eq(error_of(&f, NBD_CMD_READ, 0, 0, 512), 0);
}

// Checklist 83: nothing of length 0 goes upstream.
Test(admit, answers_empty_requests_itself)
{
    struct export_facts f = facts();
    uint32_t error = 1;
    struct request r = {.type = NBD_CMD_READ};
    cr_assert_eq(admit_request(&f, &r, &error), ADMIT_ANSWER);
    cr_assert_eq(error, 0);
    r.type = NBD_CMD_BLOCK_STATUS;
    cr_assert_eq(admit_request(&f, &r, &error), ADMIT_ANSWER);
    cr_assert_eq(error, NBD_EINVAL);
}

Test(admit, refuses_unknown_commands)
{
    struct export_facts f = facts();
    cr_assert_eq(error_of(&f, 8, 0, 0, 512), NBD_EINVAL);
    cr_assert_eq(error_of(&f, 0xffff, 0, 0, 512), NBD_EINVAL);
}

// Extended headers: what moves no data has 64 bits of length.
Test(admit, takes_64_bits_of_length)
{
    struct export_facts f = facts();
    f.size = (uint64_t)INT64_MAX;
    static const uint16_t long_ones[] = {NBD_CMD_TRIM, NBD_CMD_CACHE, NBD_CMD_WRITE_ZEROES,
                                         NBD_CMD_BLOCK_STATUS};
    for (unsigned i = 0; i < 4; i++) {
        cr_assert_eq(error_of(&f, long_ones[i], 0, 0, f.size), 0);
        cr_assert_eq(error_of(&f, long_ones[i], 0, f.size - 1, 1), 0);
        cr_assert_neq(error_of(&f, long_ones[i], 0, 1, f.size), 0);
    }
    cr_assert_eq(error_of(&f, NBD_CMD_READ, 0, 0, UINT64_C(1) << 32), NBD_EINVAL);
    cr_assert_eq(error_of(&f, NBD_CMD_READ, 0, 0, (UINT64_C(1) << 32) + 512), NBD_EINVAL);
}

// ext: "With extended headers, the flag MUST be set for NBD_CMD_WRITE"; elsewhere "the flag will
// trigger an NBD_EINVAL error", its payload consumed.
Test(admit, payload_length_belongs_to_write_only)
{
    struct export_facts f = facts();
    struct request r = {.type = NBD_CMD_WRITE, .length = 4096};
    cr_assert_eq(answer_to(&f, &r), NBD_EINVAL, "without the flag");
    r.length = 0;
    cr_assert_eq(answer_to(&f, &r), 0);
    for (uint16_t type = 0; type < 10; type++) {
        if (type == NBD_CMD_WRITE || type == NBD_CMD_DISC)
            continue;
        r = (struct request){.type = type, .flags = NBD_CMD_FLAG_PAYLOAD_LEN};
        r.length = r.payload = 512;
        cr_assert_eq(answer_to(&f, &r), NBD_EINVAL, "command %u", type);
        r.length = r.payload = MAX_WRITE_DRAINED;
        cr_assert_eq(answer_to(&f, &r), NBD_EINVAL, "command %u", type);
        r.length = r.payload = MAX_WRITE_DRAINED + 1;
        cr_assert_eq(answer_to(&f, &r), END, "command %u", type);
        r.length = r.payload = UINT64_MAX;
        cr_assert_eq(answer_to(&f, &r), END, "command %u", type);
    }
    // In a compact header the bit says nothing of the payload.
    cr_assert_eq(error_of(&f, NBD_CMD_WRITE, NBD_CMD_FLAG_PAYLOAD_LEN, 0, 512), NBD_EINVAL);
}

// Checklist 95, 133.
Test(advertised, says_only_what_the_proxy_can_keep)
{
    uint16_t all = advertised_flags(0xffff, FORMAT_EXTENDED, false, FAST_ZERO_OFFER);
    cr_assert_eq(all & NBD_FLAG_SEND_RESIZE, 0);
    cr_assert_eq(all >> 12, 0);
    cr_assert(advertised_flags(0, FORMAT_SIMPLE, false, FAST_ZERO_HIDE) & NBD_FLAG_HAS_FLAGS);
    uint16_t writable = 0xffff & ~NBD_FLAG_READ_ONLY;
    cr_assert_eq(advertised_flags(writable, FORMAT_SIMPLE, false, FAST_ZERO_HIDE) &
                     (NBD_FLAG_SEND_DF | NBD_FLAG_SEND_FAST_ZERO),
                 0);
}

// Checklist 80: assembled here, so what upstream says of it does not matter.
Test(advertised, df_for_whoever_has_chunks)
{
    for (unsigned upstream = 0; upstream <= NBD_FLAG_SEND_DF; upstream += NBD_FLAG_SEND_DF) {
        uint16_t up = (uint16_t)(upstream | NBD_FLAG_HAS_FLAGS);
        cr_assert(!(advertised_flags(up, FORMAT_SIMPLE, false, FAST_ZERO_HIDE) & NBD_FLAG_SEND_DF));
        cr_assert(advertised_flags(up, FORMAT_STRUCTURED, false, FAST_ZERO_HIDE) &
                  NBD_FLAG_SEND_DF);
        cr_assert(advertised_flags(up, FORMAT_EXTENDED, true, FAST_ZERO_HIDE) & NBD_FLAG_SEND_DF);
    }
}

// By a FLUSH behind the write, where upstream has one; where it has neither, nothing can be
// promised.
Test(advertised, fua_where_it_can_be_kept)
{
    static const struct {
        uint16_t upstream;
        bool fua;
    } cases[] = {{0, false},
                 {NBD_FLAG_SEND_FUA, true},
                 {NBD_FLAG_SEND_FLUSH, true},
                 {NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA, true}};
    for (unsigned i = 0; i < 4; i++) {
        uint16_t f = advertised_flags(cases[i].upstream, FORMAT_SIMPLE, false, FAST_ZERO_HIDE);
        cr_assert_eq((bool)(f & NBD_FLAG_SEND_FUA), cases[i].fua, "case %u", i);
        cr_assert_eq(f & NBD_FLAG_SEND_FLUSH, cases[i].upstream & NBD_FLAG_SEND_FLUSH);
    }
}

Test(advertised, fast_zero_follows_the_policy)
{
    uint16_t legacy = NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH;
    uint16_t offered = advertised_flags(legacy, FORMAT_SIMPLE, false, FAST_ZERO_OFFER);
    cr_assert(offered & NBD_FLAG_SEND_FAST_ZERO);
    cr_assert(offered & NBD_FLAG_SEND_WRITE_ZEROES, "served by WRITE");
    // Bit 11 of an upstream without bit 6 means nothing (spec: NBD_FLAG_SEND_FAST_ZERO).
    uint16_t odd = legacy | NBD_FLAG_SEND_FAST_ZERO;
    cr_assert_eq(advertised_flags(odd, FORMAT_SIMPLE, false, FAST_ZERO_AS_UPSTREAM) &
                     NBD_FLAG_SEND_FAST_ZERO,
                 0);
    uint16_t native = odd | NBD_FLAG_SEND_WRITE_ZEROES;
    cr_assert(advertised_flags(native, FORMAT_SIMPLE, false, FAST_ZERO_AS_UPSTREAM) &
              NBD_FLAG_SEND_FAST_ZERO);
    cr_assert_eq(advertised_flags(native, FORMAT_SIMPLE, false, FAST_ZERO_HIDE) &
                     NBD_FLAG_SEND_FAST_ZERO,
                 0);
}
