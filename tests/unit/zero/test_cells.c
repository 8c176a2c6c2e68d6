// SPDX-License-Identifier: BSD-3-Clause
// Small requests: A/B sampling, sixteen answers without knowing, refusals that double.
#include <criterion/criterion.h>
#include <zero/class.h>

#define KIB UINT64_C(1024)

static const struct zero_rules rules = {
    .policy = ZERO_MEASURE, .ratio = 0.30, .probe = true, .max_zero = 32u << 20};
static struct zero_class c;
static nstime now;

static void
setup(void)
{
    zero_class_begin(&c);
    now = NS_PER_SEC;
}

static enum zero_advice
judge(uint64_t length)
{
    return zero_class_judge(&c, &rules, length, now);
}

// One request served without knowing.
static enum zero_arm
serve(uint64_t length, nstime zero, nstime write, bool clean)
{
    cr_assert_eq(judge(length), ZERO_SAMPLE);
    enum zero_arm arm = zero_class_next_arm(&c, length);
    zero_class_sampled(&c, &rules, length, arm, arm == ZERO_ARM_ZERO ? zero : write, clean, now);
    return arm;
}

static void
serve_all(uint64_t length, nstime zero, nstime write)
{
    for (unsigned i = 0; i < 16; i++)
        serve(length, zero, write, true);
}

TestSuite(cells, .init = setup);

Test(cells, in_turn_and_zero_first)
{
    for (unsigned i = 0; i < 16; i++)
        cr_expect_eq(serve(64 * KIB, 100, 100, true), i % 2 ? ZERO_ARM_WRITE : ZERO_ARM_ZERO);
    cr_expect_eq(judge(64 * KIB), ZERO_REFUSE);
}

Test(cells, nine_tenths)
{
    serve_all(64 * KIB, 899, 1000);
    cr_expect_eq(judge(64 * KIB), ZERO_FORWARD);
    serve_all(128 * KIB, 900, 1000);
    cr_expect_eq(judge(128 * KIB), ZERO_REFUSE);
    serve_all(4 * KIB, 1, 0);
    cr_expect_eq(judge(4 * KIB), ZERO_REFUSE, "no division by nothing");
}

// The two sets must hardly overlap: of 64 pairs of a zero and a write, four may have the write
// ahead.
Test(cells, medians_alone_are_an_accident)
{
    for (unsigned behind = 4; behind <= 5; behind++) {
        setup();
        for (unsigned i = 0; i < 8; i++) { // one zero is slower than `behind` writes
            serve(64 * KIB, i == 0 ? 500 : 100, 1000, true);
            serve(64 * KIB, 0, i < behind ? 400 : 1000, true);
        }
        cr_expect_eq(judge(64 * KIB), behind == 4 ? ZERO_FORWARD : ZERO_REFUSE);
    }
}

Test(cells, equals_are_hardly_ever_fast)
{
    unsigned fast = 0;
    uint64_t x = 88172645463325252; // xorshift
    for (unsigned run = 0; run < 2000; run++) {
        setup();
        for (unsigned i = 0; i < 16; i++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            nstime t = 1000 + x % 1000;
            serve(64 * KIB, t, t, true);
        }
        fast += judge(64 * KIB) == ZERO_FORWARD;
    }
    cr_expect_leq(fast, 8, "%u of 2000", fast);
}

Test(cells, a_cell_a_power_of_two)
{
    serve_all(64 * KIB, 100, 1000);
    cr_expect_eq(judge(64 * KIB), ZERO_FORWARD);
    cr_expect_eq(judge(32 * KIB + 1), ZERO_FORWARD);
    cr_expect_eq(judge(32 * KIB), ZERO_SAMPLE);
    cr_expect_eq(judge(64 * KIB + 1), ZERO_SAMPLE);
    serve_all(1, 100, 1000);
    cr_expect_eq(judge(512), ZERO_FORWARD);
    cr_expect_eq(judge(513), ZERO_SAMPLE);
    serve_all(1024 * KIB, 100, 1000);
    cr_expect_eq(judge(1024 * KIB), ZERO_FORWARD);
    cr_expect_eq(judge(1024 * KIB + 1), ZERO_REFUSE, "too long for a cell");
}

Test(cells, sixteen_answers_whatever_happens)
{
    for (unsigned i = 0; i < 16; i++)
        serve(64 * KIB, 100, 1000, false);
    cr_expect_eq(judge(64 * KIB), ZERO_REFUSE, "none counted");
    now += NS_PER_MIN - 1;
    cr_expect_eq(judge(64 * KIB), ZERO_REFUSE);
    now += 1;
    cr_expect_eq(judge(64 * KIB), ZERO_SAMPLE);

    setup();
    for (unsigned i = 0; i < 16; i++) {
        cr_assert_eq(judge(64 * KIB), ZERO_SAMPLE);
        zero_class_next_arm(&c, 64 * KIB); // never comes back
    }
    cr_expect_eq(judge(64 * KIB), ZERO_REFUSE);
}

Test(cells, a_few_may_be_disturbed)
{
    for (unsigned i = 0; i < 16; i++)
        serve(64 * KIB, 100, 1000, i >= 6);
    cr_expect_eq(judge(64 * KIB), ZERO_FORWARD, "five of each counted");
    setup();
    for (unsigned i = 0; i < 16; i++)
        serve(64 * KIB, 100, 1000, i >= 7);
    cr_expect_eq(judge(64 * KIB), ZERO_REFUSE, "four zeroes are too few");
}

Test(cells, refusals_double_to_an_hour)
{
    static const unsigned minutes[] = {1, 2, 4, 8, 16, 32, 60, 60};
    for (unsigned i = 0; i < sizeof minutes / sizeof minutes[0]; i++) {
        serve_all(64 * KIB, 1000, 1000);
        now += minutes[i] * NS_PER_MIN - 1;
        cr_assert_eq(judge(64 * KIB), ZERO_REFUSE, "round %u", i);
        now += 1;
        cr_assert_eq(judge(64 * KIB), ZERO_SAMPLE, "round %u", i);
    }
    serve_all(64 * KIB, 100, 1000);
    now += 10 * NS_PER_MIN;
    serve_all(64 * KIB, 1000, 1000);
    now += NS_PER_MIN;
    cr_expect_eq(judge(64 * KIB), ZERO_SAMPLE, "fast in between: from the beginning");
}

Test(cells, own_verdict_before_the_class)
{
    struct zero_finding slow = {.verdict = ZERO_SLOW};
    zero_class_learn(&c, &rules, &slow, now);
    cr_expect_eq(judge(64 * KIB), ZERO_REFUSE, "the class");
    now += NS_PER_MIN;
    serve_all(64 * KIB, 100, 1000);
    zero_class_learn(&c, &rules, &slow, now);
    cr_expect_eq(judge(64 * KIB), ZERO_FORWARD, "its own");
    cr_expect_eq(judge(128 * KIB), ZERO_REFUSE, "the class");

    setup();
    struct zero_finding fast = {
        .verdict = ZERO_FAST, .has_model = true, .model = {{.a = 1000, .b = 1}, {.a = 10}, 0}};
    serve_all(64 * KIB, 1000, 1000);
    zero_class_learn(&c, &rules, &fast, now);
    zero_class_learn(&c, &rules, &fast, now);
    cr_expect_eq(judge(64 * KIB), ZERO_REFUSE, "its own");
    cr_expect_eq(judge(128 * KIB), ZERO_FORWARD, "the class");
}

Test(cells, fast_is_rechecked)
{
    serve_all(64 * KIB, 100, 1000);
    for (unsigned i = 0; i < 9; i++) {
        now += NS_PER_MIN;
        cr_assert_eq(judge(64 * KIB), ZERO_FORWARD);
        zero_class_zeroed(&c, &rules, 64 * KIB, 150, now);
        for (unsigned k = 0; k < 3; k++) // accidents
            zero_class_zeroed(&c, &rules, 64 * KIB, 5000, now);
    }
    zero_class_zeroed(&c, &rules, 64 * KIB, 5000, now);
    cr_expect_eq(judge(64 * KIB), ZERO_SAMPLE, "the fourth in a row is none");
    serve_all(64 * KIB, 100, 1000);
    now += 10 * NS_PER_MIN;
    cr_expect_eq(judge(64 * KIB), ZERO_SAMPLE, "after ten minutes");
}
