// SPDX-License-Identifier: BSD-3-Clause
#include <base/range.h>
#include <criterion/criterion.h>

static struct range
range(uint64_t offset, uint64_t length)
{
    return (struct range){.offset = offset, .length = length};
}

Test(range, overlaps_like_sets_of_bytes)
{
    // Every pair of ranges of a tiny export, against the definition.
    for (uint64_t a = 0; a < 6; a++) {
        for (uint64_t al = 0; al < 6; al++) {
            for (uint64_t b = 0; b < 6; b++) {
                for (uint64_t bl = 0; bl < 6; bl++) {
                    bool common = false;
                    for (uint64_t i = a; i < a + al; i++)
                        common |= i >= b && i < b + bl;
                    cr_expect_eq(range_overlaps(range(a, al), range(b, bl)), common);
                }
            }
        }
    }
}

Test(range, contains)
{
    cr_expect(range_contains(range(10, 10), range(10, 10)));
    cr_expect(range_contains(range(10, 10), range(19, 1)));
    cr_expect_not(range_contains(range(10, 10), range(9, 2)));
    cr_expect_not(range_contains(range(10, 10), range(19, 2)));
    cr_expect_not(range_contains(range(10, 10), range(0, 100)));
}

Test(range, at_the_far_end)
{
    uint64_t end = INT64_MAX;
    cr_expect_eq(range_end(range(end - 5, 5)), end);
    cr_expect(range_overlaps(range(0, end), range(end - 1, 1)));
    cr_expect(range_contains(range(0, end), range(end - 1, 1)));
    cr_expect_not(range_overlaps(range(0, end - 1), range(end - 1, 1)));
}

Test(range, powers_of_two)
{
    cr_expect_not(is_power_of_two(0));
    for (int bit = 0; bit < 64; bit++) {
        uint64_t v = UINT64_C(1) << bit;
        cr_expect(is_power_of_two(v));
        if (bit > 1)
            cr_expect(!is_power_of_two(v - 1) && !is_power_of_two(v + 1));
    }
}

Test(range, alignment)
{
    cr_expect_eq(align_down(4097, 4096), 4096);
    cr_expect_eq(align_down(4096, 4096), 4096);
    cr_expect_eq(align_down(4095, 4096), 0);
    cr_expect_eq(align_up(4097, 4096), 8192);
    cr_expect_eq(align_up(4096, 4096), 4096);
    cr_expect_eq(align_up(0, 4096), 0);
    cr_expect_eq(align_up(12345, 1), 12345);
}
