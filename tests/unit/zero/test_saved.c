// SPDX-License-Identifier: BSD-3-Clause
// What is known of a class, across restarts.
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <math.h>
#include <zero/class.h>

#define NOW (1000 * NS_PER_SEC)

static const struct zero_rules rules = {
    .policy = ZERO_MEASURE, .ratio = 0.30, .probe = true, .max_zero = 32 << 20};
static const struct zero_finding slow = {
    .verdict = ZERO_SLOW, .has_model = true, .model = {{1e5, 1}, {2e5, 0.9}, 0.9}, .samples = 9};
static const struct zero_finding fast = {
    .verdict = ZERO_FAST, .has_model = true, .model = {{1e5, 1}, {2e5, 0.01}, 0.01}, .samples = 9};

static struct zero_class
known(const struct zero_finding *f, unsigned times)
{
    struct zero_class c;
    zero_class_begin(&c);
    while (times--)
        zero_class_learn(&c, &rules, f, NOW);
    return c;
}

Test(saved, slow_comes_back_for_what_was_left_of_it)
{
    struct zero_class c = known(&slow, 1), d;
    struct zero_saved s;
    cr_assert(zero_class_save(&c, NOW + 20 * NS_PER_SEC, &s));
    cr_assert(s.slow && s.slow_age == 20 * NS_PER_SEC && s.slow_left == 40 * NS_PER_SEC);
    zero_class_begin(&d);
    cr_assert(zero_class_restore(&d, &s, 10 * NS_PER_SEC, 5 * NOW));
    cr_assert(d.verdict == ZERO_SLOW && d.source == ZERO_FROM_SAVED);
    cr_assert(d.since == 5 * NOW - 30 * NS_PER_SEC);
    cr_assert(zero_class_judge(&d, &rules, 16 << 20, 5 * NOW + 29 * NS_PER_SEC) == ZERO_REFUSE);
    cr_assert(zero_class_judge(&d, &rules, 16 << 20, 5 * NOW + 31 * NS_PER_SEC) == ZERO_PROBE);
    // The next one is believed for longer, as if nothing had happened.
    zero_class_learn(&d, &rules, &slow, 6 * NOW);
    cr_assert(d.until == 6 * NOW + 2 * NS_PER_MIN);
}

Test(saved, fast_never_comes_back)
{
    struct zero_class c = known(&fast, 2), d;
    struct zero_saved s;
    cr_assert(c.verdict == ZERO_FAST);
    cr_assert(zero_class_save(&c, NOW, &s));
    cr_assert_not(s.slow);
    cr_assert(s.has_model);
    zero_class_begin(&d);
    cr_assert(zero_class_restore(&d, &s, 0, NOW));
    cr_assert(d.verdict == ZERO_UNKNOWN && d.has_model && d.model.ratio == 0.01);
    cr_assert(zero_class_judge(&d, &rules, 16 << 20, NOW) == ZERO_PROBE);
}

Test(saved, what_is_too_old_brings_its_model_only)
{
    struct zero_class c = known(&slow, 1), d;
    struct zero_saved s;
    cr_assert(zero_class_save(&c, NOW, &s));
    zero_class_begin(&d);
    cr_assert(zero_class_restore(&d, &s, 24 * 60 * NS_PER_MIN, NOW));
    cr_assert(d.verdict == ZERO_UNKNOWN && d.has_model);
}

Test(saved, a_class_of_which_nothing_is_known_is_not_worth_it)
{
    struct zero_class c;
    struct zero_saved s;
    zero_class_begin(&c);
    cr_assert_not(zero_class_save(&c, NOW, &s));
}

Test(saved, older_than_the_clock_is_no_underflow)
{
    struct zero_class c = known(&slow, 1), d;
    struct zero_saved s;
    cr_assert(zero_class_save(&c, NOW + 30 * NS_PER_SEC, &s));
    zero_class_begin(&d);
    cr_assert(zero_class_restore(&d, &s, NS_PER_SEC, NS_PER_SEC)); // booted a second ago
    cr_assert(d.verdict == ZERO_SLOW && d.since == 0);
}

Test(saved, nonsense_is_refused)
{
    struct zero_class c = known(&slow, 1), d;
    struct zero_saved s, bad;
    cr_assert(zero_class_save(&c, NOW, &s));
    zero_class_begin(&d);
    bad = s, bad.model.ratio = NAN;
    cr_assert_not(zero_class_restore(&d, &bad, 0, NOW));
    bad = s, bad.model.write.b = -1;
    cr_assert_not(zero_class_restore(&d, &bad, 0, NOW));
    bad = s, bad.model.zero.a = INFINITY;
    cr_assert_not(zero_class_restore(&d, &bad, 0, NOW));
    bad = s, bad.slow_left = 31 * NS_PER_MIN;
    cr_assert_not(zero_class_restore(&d, &bad, 0, NOW));
    bad = s, bad.refuse_for = 0;
    cr_assert_not(zero_class_restore(&d, &bad, 0, NOW));
    bad = s, bad.refuse_for = UINT64_MAX;
    cr_assert_not(zero_class_restore(&d, &bad, 0, NOW));
    cr_assert(d.verdict == ZERO_UNKNOWN && d.has_model == false);
}
