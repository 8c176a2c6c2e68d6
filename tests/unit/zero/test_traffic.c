// SPDX-License-Identifier: BSD-3-Clause
// What ordinary traffic tells.
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <math.h>
#include <zero/traffic.h>

#define MIB (1u << 20)

static const struct zero_rules rules = {
    .policy = ZERO_MEASURE, .ratio = 0.30, .max_zero = 32 * MIB};

// A storage: ns a byte for the operation and for the FLUSH, and fixed costs.
struct storage {
    double write, write_flush, zero, zero_flush, fixed;
};

static void
use(struct traffic *t, const struct storage *s, bool vary, nstime now)
{
    for (unsigned i = 0; i < 12; i++) {
        uint64_t n = vary ? MIB * (UINT64_C(1) << i % 5) : 4 * MIB;
        double d = (double)n;
        traffic_saw(t, TRAFFIC_WRITE, n, (nstime)(s->fixed + s->write * d), now);
        traffic_saw(t, TRAFFIC_ZERO, n, (nstime)(s->fixed + s->zero * d), now);
        traffic_saw_flush(t, TRAFFIC_WRITE, n, (nstime)(s->fixed + s->write_flush * d), now);
        traffic_saw_flush(t, TRAFFIC_ZERO, n, (nstime)(s->fixed + s->zero_flush * d), now);
    }
}

static enum traffic_says
judge(const struct traffic *t, nstime now)
{
    struct zero_model m;
    unsigned n;
    return traffic_judge(t, false, &rules, now, &m, &n);
}

Test(traffic, zeroing_by_writing_is_slow)
{
    for (int vary = 0; vary < 2; vary++) {
        struct traffic t = {0};
        struct zero_model m;
        unsigned n = 0;
        use(&t, &(struct storage){1.0, 0.5, 0.9, 0.5, 1e5}, vary, NS_PER_SEC);
        cr_assert(traffic_judge(&t, false, &rules, NS_PER_SEC, &m, &n) == TRAFFIC_SLOW);
        cr_assert(m.ratio > 0.85 && m.ratio < 1.05, "%g", m.ratio);
        cr_assert(n == 24);
    }
}

// nbd-server on xfs: the zero returns early, and the FLUSH pays.
Test(traffic, the_flush_is_part_of_the_price)
{
    struct traffic t = {0};
    use(&t, &(struct storage){1.0, 2.0, 0.3, 2.0, 1e5}, true, NS_PER_SEC);
    cr_assert(judge(&t, NS_PER_SEC) == TRAFFIC_SLOW);
}

Test(traffic, quick_zeroes_prove_nothing)
{
    struct traffic t = {0};
    use(&t, &(struct storage){1.0, 0.5, 0.01, 0.0, 1e5}, true, NS_PER_SEC);
    cr_assert(judge(&t, NS_PER_SEC) == TRAFFIC_NOTHING);
}

Test(traffic, in_between_is_not_fast)
{
    struct traffic t = {0};
    use(&t, &(struct storage){1.0, 0, 0.4, 0, 1e5}, true, NS_PER_SEC);
    cr_assert(judge(&t, NS_PER_SEC) == TRAFFIC_NOT_FAST);
}

Test(traffic, a_fixed_cost_is_no_slope)
{
    struct traffic t = {0};
    use(&t, &(struct storage){1.0, 0, 0.0, 0, 20e6}, true, NS_PER_SEC);
    cr_assert(judge(&t, NS_PER_SEC) == TRAFFIC_NOTHING);
}

Test(traffic, without_the_flush_of_writes_nothing_is_said)
{
    struct traffic t = {0};
    for (unsigned i = 0; i < 12; i++) {
        traffic_saw(&t, TRAFFIC_WRITE, 4 * MIB, NS_PER_MS, 1);
        traffic_saw(&t, TRAFFIC_ZERO, 4 * MIB, 20 * NS_PER_MS, 1);
    }
    cr_assert(judge(&t, 1) == TRAFFIC_NOTHING);
    double ns;
    cr_assert_not(traffic_write_time(&t, MIB, 1, &ns));
}

Test(traffic, the_classes_do_not_mix)
{
    struct traffic t = {0};
    struct zero_model m;
    unsigned n;
    use(&t, &(struct storage){1.0, 0.5, 0.9, 0.5, 1e5}, true, NS_PER_SEC);
    cr_assert(traffic_judge(&t, true, &rules, NS_PER_SEC, &m, &n) == TRAFFIC_NOTHING);
}

Test(traffic, what_is_old_says_nothing)
{
    struct traffic t = {0};
    use(&t, &(struct storage){1.0, 0.5, 0.9, 0.5, 1e5}, true, NS_PER_SEC);
    cr_assert(judge(&t, 12 * NS_PER_MIN) == TRAFFIC_NOTHING);
    traffic_forget(&t);
    cr_assert(judge(&t, NS_PER_SEC) == TRAFFIC_NOTHING);
}

Test(traffic, short_ones_are_not_kept)
{
    struct traffic t = {0};
    traffic_saw(&t, TRAFFIC_WRITE, MIB - 1, 1, 1);
    traffic_saw_flush(&t, TRAFFIC_WRITE, MIB - 1, 1, 1);
    cr_assert(t.ops[TRAFFIC_WRITE].count == 0 && t.flushes[TRAFFIC_WRITE].count == 0);
}

// A third of all samples is late by any factor: what is fast is never blamed, what is slow hardly
// ever gets away.
Test(traffic, a_busy_machine)
{
    unsigned found = 0;
    for (unsigned seed = 1; seed <= 100; seed++) {
        struct traffic slow = {0}, fast = {0};
        unsigned x = seed;
        for (unsigned i = 0; i < 30; i++) {
            x = x * 1103515245u + 12345u;
            double late = (x >> 16) % 3 ? 1 : 1 + (double)(x >> 20 & 63);
            double n = (double)MIB * (double)(1u << i % 5);
            traffic_saw(&slow, TRAFFIC_WRITE, (uint64_t)n, (nstime)(n * late), 1);
            traffic_saw(&fast, TRAFFIC_WRITE, (uint64_t)n, (nstime)(n * late), 1);
            x = x * 1103515245u + 12345u;
            late = (x >> 16) % 3 ? 1 : 1 + (double)(x >> 20 & 63);
            traffic_saw(&slow, TRAFFIC_ZERO, (uint64_t)n, (nstime)(n * late), 1);
            traffic_saw(&fast, TRAFFIC_ZERO, (uint64_t)n, (nstime)(0.01 * n * late), 1);
            traffic_saw_flush(&slow, TRAFFIC_WRITE, (uint64_t)n, (nstime)(0.1 * n), 1);
            traffic_saw_flush(&fast, TRAFFIC_WRITE, (uint64_t)n, (nstime)(0.1 * n), 1);
        }
        found += judge(&slow, 1) != TRAFFIC_NOTHING;
        cr_assert(judge(&fast, 1) == TRAFFIC_NOTHING, "seed %u", seed);
    }
    cr_assert(found >= 80, "%u", found);
}

Test(traffic, the_price_of_a_write)
{
    struct traffic t = {0};
    double ns;
    use(&t, &(struct storage){1.0, 0.5, 0.01, 0.0, 1e5}, true, NS_PER_SEC);
    cr_assert(traffic_write_time(&t, 64 * MIB, NS_PER_SEC, &ns));
    cr_assert(fabs(ns - (2e5 + 1.5 * 64 * MIB)) < 1e5, "%g", ns);
}

Test(traffic, it_makes_unknown_slow_and_takes_fast_away_and_makes_nothing_fast)
{
    static const struct zero_model m = {{0, 1}, {0, 0.9}, 0.9};
    static const struct zero_finding fast = {
        .verdict = ZERO_FAST, .has_model = true, .model = {{0, 1}, {0, 0.01}, 0.01}};
    struct zero_class c;
    zero_class_begin(&c);
    zero_class_traffic(&c, TRAFFIC_NOT_FAST, &m, 24, 1);
    cr_assert(c.verdict == ZERO_UNKNOWN);
    zero_class_learn(&c, &rules, &fast, 1);
    zero_class_learn(&c, &rules, &fast, 2);
    zero_class_traffic(&c, TRAFFIC_NOTHING, &m, 24, 3);
    cr_assert(c.verdict == ZERO_FAST);
    zero_class_traffic(&c, TRAFFIC_NOT_FAST, &m, 24, 3);
    cr_assert(c.verdict == ZERO_UNKNOWN);
    zero_class_traffic(&c, TRAFFIC_SLOW, &m, 24, 4);
    cr_assert(c.verdict == ZERO_SLOW && c.source == ZERO_FROM_TRAFFIC && c.samples == 24);
    cr_assert(zero_class_judge(&c, &rules, 16 * MIB, 5) == ZERO_REFUSE);
    cr_assert(c.until == 4 + NS_PER_MIN);
    zero_class_traffic(&c, TRAFFIC_SLOW, &m, 24, 5);
    cr_assert(c.until == 4 + NS_PER_MIN); // the same evidence does not count twice
}
