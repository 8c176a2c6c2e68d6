// SPDX-License-Identifier: BSD-3-Clause
// Against exact quantiles of the same values, over many shapes of them.
#include <base/histogram.h>
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VALUES 5000u
#define LEAST  1024u // ns: all below is one bucket

static uint64_t state;
static struct histogram h, other;
static nstime values[VALUES];

static double
dice(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 11) / 9007199254740992.0;
}

static int
compare(const void *a, const void *b)
{
    nstime x = *(const nstime *)a, y = *(const nstime *)b;
    return (x > y) - (x < y);
}

// Log-uniform between two powers of ten, narrow or wide.
static unsigned
fill(uint64_t seed)
{
    state = seed;
    double low = 3.1 + dice() * 6, high = low + dice() * (11 - low);
    unsigned n = 1 + (unsigned)(dice() * (VALUES - 1));
    for (unsigned i = 0; i < n; i++)
        values[i] = (nstime)pow(10, low + dice() * (high - low));
    return n;
}

static void
near(nstime got, nstime want, uint64_t seed, const char *what)
{
    double off = fabs((double)got - (double)want);
    cr_assert(off <= 0.01 * (double)want, "seed %lu, %s: %lu for %lu", seed, what, got, want);
}

Test(histogram, quantiles_are_within_one_percent)
{
    static const double shares[] = {0, 0.001, 0.1, 0.5, 0.9, 0.99, 0.999};
    for (uint64_t seed = 1; seed <= 300; seed++) {
        memset(&h, 0, sizeof h);
        unsigned n = fill(seed);
        nstime sum = 0;
        for (unsigned i = 0; i < n; i++) {
            histogram_add(&h, values[i]);
            sum += values[i];
        }
        qsort(values, n, sizeof values[0], compare);
        for (unsigned i = 0; i < sizeof shares / sizeof shares[0]; i++) {
            char what[32];
            snprintf(what, sizeof what, "share %g", shares[i]);
            near(histogram_quantile(&h, shares[i]), values[(unsigned)(shares[i] * n)], seed, what);
        }
        cr_assert_eq(histogram_quantile(&h, 1), values[n - 1], "the most is exact");
        cr_assert_eq(h.sum, sum);
    }
}

Test(histogram, counts_up_to_a_value)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        memset(&h, 0, sizeof h);
        unsigned n = fill(seed), least = 0, most = 0;
        nstime limit = values[0];
        for (unsigned i = 0; i < n; i++) {
            histogram_add(&h, values[i]);
            least += (double)values[i] < 0.992 * (double)limit;
            most += (double)values[i] < 1.008 * (double)limit;
        }
        uint64_t got = histogram_count_to(&h, limit);
        cr_assert(least <= got && got <= most, "seed %lu: %lu, not %u to %u", seed, got, least,
                  most);
        cr_assert_eq(histogram_count_to(&h, UINT64_MAX), n);
    }
}

Test(histogram, merging_is_adding_both)
{
    static struct histogram both;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        memset(&h, 0, sizeof h);
        memset(&other, 0, sizeof other);
        memset(&both, 0, sizeof both);
        unsigned n = fill(seed);
        for (unsigned i = 0; i < n; i++) {
            histogram_add(dice() < 0.3 ? &h : &other, values[i]);
            histogram_add(&both, values[i]);
        }
        histogram_merge(&h, &other);
        cr_assert_eq(memcmp(&h, &both, sizeof h), 0, "seed %lu", seed);
    }
}

Test(histogram, what_is_out_of_its_range)
{
    memset(&h, 0, sizeof h);
    cr_expect_eq(histogram_quantile(&h, 0.5), 0, "of nothing");
    histogram_add(&h, 0);
    histogram_add(&h, LEAST - 1);
    cr_expect_leq(histogram_quantile(&h, 0.5), LEAST);
    histogram_add(&h, UINT64_C(1) << 60);
    cr_expect_eq(histogram_quantile(&h, 1), UINT64_C(1) << 60);
    cr_expect_eq(histogram_count_to(&h, 2 * LEAST), 2, "all below the first step are one");
}

Test(histogram, packing_is_copying)
{
    static struct histogram both;
    static uint64_t words[HISTOGRAM_BUCKETS + 16];
    for (uint64_t seed = 1; seed <= 50; seed++) {
        memset(&h, 0, sizeof h);
        memset(&other, 0, sizeof other);
        memset(&both, 0, sizeof both);
        unsigned n = fill(seed);
        for (unsigned i = 0; i < n; i++) {
            histogram_add(dice() < 0.3 ? &h : &other, values[i]);
            histogram_add(&both, values[i]);
        }
        size_t size = histogram_packed_words(&other);
        cr_assert_leq(size, HISTOGRAM_BUCKETS + 5);
        if (size) {
            histogram_pack(&other, words);
            histogram_merge_packed(&h, words);
        }
        cr_assert_eq(memcmp(&h, &both, sizeof h), 0, "seed %lu", seed);
        histogram_clear(&h);
        memset(&both, 0, sizeof both);
        cr_assert_eq(memcmp(&h, &both, sizeof h), 0, "seed %lu: cleared", seed);
        cr_assert_eq(histogram_packed_words(&h), 0);
    }
}

// A bucket counts on where 32 bits end.
Test(histogram, more_than_32_bits)
{
    memset(&h, 0, sizeof h);
    histogram_add(&h, 5000);
    for (unsigned i = 0; i < 33; i++)
        histogram_merge(&h, &h);
    cr_expect_eq(h.count, UINT64_C(1) << 33);
    cr_expect_eq(histogram_count_to(&h, 10000), UINT64_C(1) << 33);
    near(histogram_quantile(&h, 0.5), 5000, 0, "the only value");
}
