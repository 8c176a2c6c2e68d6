// SPDX-License-Identifier: BSD-3-Clause
// Upstreams whose own FAST_ZERO is not what it says.
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <zero/native.h>

#define NOW NS_PER_SEC

Test(native, an_honest_one_is_always_asked)
{
    struct zero_native n;
    zero_native_begin(&n);
    for (unsigned i = 0; i < 1000; i++)
        cr_assert_not(zero_native_succeeded(&n, 1e6, 16e6, NOW));
    cr_assert_not(zero_native_refuses(&n, NOW));
}

Test(native, three_costly_successes_in_a_row_are_a_lie)
{
    struct zero_native n;
    zero_native_begin(&n);
    cr_assert_not(zero_native_succeeded(&n, 10e6, 16e6, NOW));
    cr_assert_not(zero_native_succeeded(&n, 10e6, 16e6, NOW));
    cr_assert_not(zero_native_refuses(&n, NOW));
    cr_assert(zero_native_succeeded(&n, 10e6, 16e6, NOW));
    cr_assert(zero_native_refuses(&n, NOW));
    cr_assert(zero_native_refuses(&n, NOW + 59 * NS_PER_SEC));
    cr_assert_not(zero_native_refuses(&n, NOW + 60 * NS_PER_SEC));
}

Test(native, one_good_zero_between_them_clears_it)
{
    struct zero_native n;
    zero_native_begin(&n);
    for (unsigned i = 0; i < 20; i++)
        cr_assert_not(zero_native_succeeded(&n, i % 3 == 2 ? 1e6 : 10e6, 16e6, NOW));
}

// A machine that is busy for a while: an honest upstream has a past.
Test(native, a_good_name_needs_more_than_three)
{
    struct zero_native n;
    zero_native_begin(&n);
    for (unsigned i = 0; i < 100; i++)
        cr_assert_not(zero_native_succeeded(&n, i % 20 >= 12 ? 10e6 : 1e6, 16e6, NOW), "%u", i);
}

// And one that turns slow is found out all the same; after a minute three are enough again.
Test(native, who_turns_slow_is_found_out)
{
    struct zero_native n;
    unsigned costly = 0;
    zero_native_begin(&n);
    for (unsigned i = 0; i < 100; i++)
        zero_native_succeeded(&n, 1e6, 16e6, NOW);
    while (!zero_native_succeeded(&n, 10e6, 16e6, NOW))
        costly++;
    cr_assert_eq(costly, 8);
    nstime later = NOW + 61 * NS_PER_SEC;
    cr_assert_not(zero_native_refuses(&n, later));
    cr_assert_not(zero_native_succeeded(&n, 10e6, 16e6, later));
    cr_assert_not(zero_native_succeeded(&n, 10e6, 16e6, later));
    cr_assert(zero_native_succeeded(&n, 10e6, 16e6, later));
}

Test(native, each_lie_is_remembered_longer_up_to_half_an_hour)
{
    struct zero_native n;
    nstime now = NOW, last = 0;
    zero_native_begin(&n);
    for (unsigned i = 0; i < 10; i++) {
        for (unsigned j = 0; j < 3; j++)
            zero_native_succeeded(&n, 10e6, 16e6, now);
        nstime until = now;
        while (zero_native_refuses(&n, until))
            until += NS_PER_SEC;
        cr_assert(until - now >= last && until - now <= 30 * NS_PER_MIN);
        last = until - now;
        now = until;
    }
    cr_assert(last == 30 * NS_PER_MIN);
}
