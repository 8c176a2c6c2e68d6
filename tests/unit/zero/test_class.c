// SPDX-License-Identifier: BSD-3-Clause
// The life of a verdict: believing, doubling, ending, and what follows for a request.
#include <criterion/criterion.h>
#include <string.h>
#include <zero/class.h>

#define MIB  (UINT64_C(1) << 20)
#define HOUR (60 * NS_PER_MIN)

static const struct zero_rules rules = {.policy = ZERO_MEASURE,
                                        .ratio = 0.30,
                                        .probe = true,
                                        .probe_time = NS_PER_SEC,
                                        .probe_bytes = 32 * MIB,
                                        .max_zero = 32 * MIB};
// Scenario 4: a zero costs 20 ms, writing 4 ns a byte: fast from 5.3 MiB on.
static const struct zero_finding fast = {
    .verdict = ZERO_FAST,
    .has_model = true,
    .model = {.write = {.a = 1e5, .b = 4}, .zero = {.a = 20e6, .b = 0}, .ratio = 0},
    .samples = 9};
static const struct zero_finding slow = {
    .verdict = ZERO_SLOW,
    .has_model = true,
    .model = {.write = {.a = 1e5, .b = 4}, .zero = {.a = 1e5, .b = 3.9}, .ratio = 0.97},
    .samples = 6};
static const struct zero_finding undecided = {.verdict = ZERO_UNKNOWN, .samples = 3};
static const struct zero_finding errored = {.verdict = ZERO_UNKNOWN, .error = true};

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

static void
probe_finds(const struct zero_finding *f)
{
    zero_class_probe_begins(&c, now);
    zero_class_learn(&c, &rules, f, now);
}

TestSuite(class, .init = setup);

Test(class, unknown)
{
    cr_expect_eq(judge(512), ZERO_SAMPLE);
    cr_expect_eq(judge(MIB), ZERO_SAMPLE);
    cr_expect_eq(judge(MIB + 1), ZERO_REFUSE);
    cr_expect_eq(judge(16 * MIB - 1), ZERO_REFUSE);
    cr_expect_eq(judge(16 * MIB), ZERO_PROBE);
    cr_expect_eq(judge(UINT32_MAX), ZERO_PROBE);
}

Test(class, probe_off)
{
    struct zero_rules off = rules;
    off.probe = false;
    cr_expect_eq(zero_class_judge(&c, &off, 16 * MIB, now), ZERO_REFUSE);
    cr_expect_eq(zero_class_judge(&c, &off, 64 << 10, now), ZERO_REFUSE);
    cr_expect(!zero_class_wants_teaching(&c, &off, 16 * MIB, now));
}

Test(class, one_fast_is_no_verdict)
{
    probe_finds(&fast);
    cr_expect_eq(judge(16 * MIB), ZERO_PROBE);
    cr_expect(zero_class_wants_teaching(&c, &rules, 16 * MIB, now));
    cr_expect_eq(c.verdict, ZERO_UNKNOWN);
    probe_finds(&fast);
    cr_expect_eq(judge(16 * MIB), ZERO_FORWARD);
    cr_expect_eq(c.source, ZERO_FROM_PROBE);
    cr_expect(!zero_class_wants_teaching(&c, &rules, 16 * MIB, now));
}

Test(class, slow_between_breaks_agreement)
{
    probe_finds(&fast);
    probe_finds(&slow);
    cr_expect_eq(c.agreeing, 0);
    now += NS_PER_MIN;
    probe_finds(&fast);
    cr_expect_eq(judge(16 * MIB), ZERO_PROBE);
}

// One that was under way when SLOW was found does not override it.
Test(class, fast_does_not_override_slow)
{
    probe_finds(&fast);
    probe_finds(&slow);
    probe_finds(&fast);
    probe_finds(&fast);
    cr_expect_eq(judge(16 * MIB), ZERO_REFUSE);
}

Test(class, fast_at_the_sizes_of_the_model)
{
    probe_finds(&fast);
    probe_finds(&fast);
    cr_expect_eq(judge(64 << 10), ZERO_REFUSE);
    cr_expect_eq(judge(MIB), ZERO_REFUSE);
    cr_expect_eq(judge(4 * MIB), ZERO_REFUSE, "20 ms against 16.9");
    cr_expect_eq(judge(6 * MIB), ZERO_FORWARD);
    cr_expect_eq(judge(1024 * MIB), ZERO_FORWARD);
}

Test(class, fast_ends_after_ten_minutes)
{
    probe_finds(&fast);
    probe_finds(&fast);
    now += 10 * NS_PER_MIN - 1;
    cr_expect_eq(judge(16 * MIB), ZERO_FORWARD);
    now += 1;
    cr_expect_eq(judge(16 * MIB), ZERO_PROBE);
    cr_expect_eq(c.verdict, ZERO_UNKNOWN);
    probe_finds(&fast);
    cr_expect_eq(judge(16 * MIB), ZERO_PROBE, "agreement begins anew");
}

Test(class, agreeing_zeroes_prolong)
{
    probe_finds(&fast);
    probe_finds(&fast);
    for (unsigned i = 0; i < 10; i++) {
        now += 9 * NS_PER_MIN;
        cr_assert_eq(judge(16 * MIB), ZERO_FORWARD);
        zero_class_zeroed(&c, &rules, 16 * MIB, 20 * NS_PER_MS, now);
    }
}

Test(class, slow_doubles_to_half_an_hour)
{
    static const unsigned minutes[] = {1, 2, 4, 8, 16, 30, 30};
    for (unsigned i = 0; i < sizeof minutes / sizeof minutes[0]; i++) {
        zero_class_learn(&c, &rules, &slow, now);
        cr_assert_eq(judge(16 * MIB), ZERO_REFUSE);
        cr_assert_eq(judge(64 << 10), ZERO_REFUSE);
        now += minutes[i] * NS_PER_MIN - 1;
        cr_assert_eq(judge(16 * MIB), ZERO_REFUSE, "round %u", i);
        now += 1;
        cr_assert_eq(judge(16 * MIB), ZERO_PROBE, "round %u", i);
    }
    zero_class_learn(&c, &rules, &fast, now);
    zero_class_learn(&c, &rules, &fast, now);
    now += 10 * NS_PER_MIN;
    zero_class_learn(&c, &rules, &slow, now);
    cr_expect_eq(c.until, now + NS_PER_MIN, "fast in between: from the beginning");
}

Test(class, five_probes_an_hour)
{
    nstime first = now;
    for (unsigned i = 0; i < 5; i++) {
        cr_assert_eq(judge(16 * MIB), ZERO_PROBE, "probe %u", i);
        probe_finds(&undecided);
        now += NS_PER_MIN;
    }
    cr_expect_eq(judge(16 * MIB), ZERO_REFUSE);
    cr_expect(!zero_class_wants_teaching(&c, &rules, 16 * MIB, now));
    now = first + HOUR - 1;
    cr_expect_eq(judge(16 * MIB), ZERO_REFUSE);
    now = first + HOUR;
    cr_expect_eq(judge(16 * MIB), ZERO_PROBE);
    probe_finds(&undecided);
    cr_expect_eq(judge(16 * MIB), ZERO_REFUSE, "the second of them is a minute younger");
    now += NS_PER_MIN;
    cr_expect_eq(judge(16 * MIB), ZERO_PROBE);
}

Test(class, an_error_stops_probing_for_half_an_hour)
{
    probe_finds(&fast);
    probe_finds(&errored);
    cr_expect_eq(c.agreeing, 1, "it teaches nothing");
    now += 30 * NS_PER_MIN - 1;
    cr_expect_eq(judge(16 * MIB), ZERO_REFUSE);
    cr_expect(!zero_class_wants_teaching(&c, &rules, 16 * MIB, now));
    now += 1;
    cr_expect_eq(judge(16 * MIB), ZERO_PROBE);
    cr_expect(zero_class_wants_teaching(&c, &rules, 16 * MIB, now));
}

Test(class, teaching)
{
    struct zero_rules trust = rules;
    trust.policy = ZERO_TRUST;
    cr_expect(zero_class_wants_teaching(&c, &rules, 16 * MIB, now));
    cr_expect(!zero_class_wants_teaching(&c, &rules, 16 * MIB - 1, now));
    cr_expect(!zero_class_wants_teaching(&c, &trust, 16 * MIB, now));
    probe_finds(&slow);
    cr_expect(!zero_class_wants_teaching(&c, &rules, 16 * MIB, now));
}

Test(class, forget_keeps_the_limits)
{
    for (unsigned i = 0; i < 5; i++)
        probe_finds(i < 3 ? &fast : &undecided);
    cr_assert_eq(judge(16 * MIB), ZERO_FORWARD);
    zero_class_forget(&c);
    cr_expect_eq(c.verdict, ZERO_UNKNOWN);
    cr_expect(!c.has_model);
    cr_expect_eq(judge(16 * MIB), ZERO_REFUSE, "five probes were begun");
    cr_expect_eq(judge(64 << 10), ZERO_SAMPLE);
    now += HOUR;
    cr_expect_eq(judge(16 * MIB), ZERO_PROBE);
    cr_expect_eq(c.agreeing, 0);
}

Test(class, a_flush_a_minute)
{
    cr_expect(!zero_class_wants_flush(&c, now), "nothing is forwarded");
    probe_finds(&fast);
    probe_finds(&fast);
    cr_expect(!zero_class_wants_flush(&c, now));
    now += NS_PER_MIN;
    cr_expect(zero_class_wants_flush(&c, now));
    cr_expect(!zero_class_wants_flush(&c, now), "once");
    now += NS_PER_MIN;
    cr_expect(zero_class_wants_flush(&c, now));
}

Test(class, rows)
{
    struct zero_row rows[ZERO_ROWS];
    cr_expect_eq(zero_class_rows(&c, &rules, now, rows, ZERO_ROWS), 0);
    probe_finds(&slow);
    cr_assert_eq(zero_class_rows(&c, &rules, now, rows, ZERO_ROWS), 1);
    cr_expect(rows[0].bytes_from == 1 && rows[0].bytes_to == UINT64_MAX);
    cr_expect(rows[0].verdict == ZERO_SLOW && rows[0].source == ZERO_FROM_PROBE);
    cr_expect_eq(rows[0].samples, 6);
    cr_expect_float_eq(rows[0].ratio, 0.97, 1e-9);
    now += NS_PER_MIN;
    probe_finds(&fast);
    cr_assert_eq(zero_class_rows(&c, &rules, now, rows, ZERO_ROWS), 1);
    cr_expect(rows[0].verdict == ZERO_UNKNOWN && rows[0].source == ZERO_FROM_NOTHING);
    probe_finds(&fast);
    cr_assert_eq(zero_class_rows(&c, &rules, now, rows, ZERO_ROWS), 2);
    cr_expect(rows[0].verdict == ZERO_SLOW && rows[1].verdict == ZERO_FAST);
    cr_expect_eq(rows[0].bytes_to + 1, rows[1].bytes_from);
    cr_expect_eq(judge(rows[1].bytes_from), ZERO_FORWARD);
    cr_expect_eq(judge(rows[0].bytes_to), ZERO_REFUSE);
    cr_expect_eq(zero_class_rows(&c, &rules, now, rows, 1), 1, "no more than there is room for");
}

Test(class, rows_of_cells)
{
    struct zero_row rows[ZERO_ROWS];
    for (unsigned k = ZERO_CELL_SMALLEST; k <= ZERO_CELL_LARGEST; k++)
        for (unsigned i = 0; i < 2 * ZERO_CELL_SAMPLES; i++) {
            uint64_t length = UINT64_C(1) << k;
            enum zero_arm arm = zero_class_next_arm(&c, length);
            zero_class_sampled(&c, &rules, length, arm, arm == ZERO_ARM_ZERO ? 100 : 400, true,
                               now);
        }
    probe_finds(&fast);
    probe_finds(&fast);
    cr_assert_eq(zero_class_rows(&c, &rules, now, rows, ZERO_ROWS), ZERO_ROWS);
    cr_expect_eq(rows[0].bytes_from, 1);
    for (unsigned i = 0; i < ZERO_CELLS; i++) {
        cr_expect_eq(rows[i].bytes_to, UINT64_C(512) << i);
        cr_expect(i == 0 || rows[i].bytes_from == rows[i - 1].bytes_to + 1);
        cr_expect(rows[i].verdict == ZERO_FAST && rows[i].source == ZERO_FROM_TRAFFIC);
        cr_expect_float_eq(rows[i].ratio, 0.25, 1e-9);
        cr_expect_eq(rows[i].samples, 16);
    }
}

Test(class, names)
{
    cr_expect_str_eq(zero_verdict_name(ZERO_FAST), "fast");
    cr_expect_str_eq(zero_verdict_name(ZERO_SLOW), "slow");
    cr_expect_str_eq(zero_verdict_name(ZERO_UNKNOWN), "unknown");
    static const char *const sources[] = {"", "probe", "traffic", "saved", "pinned", "upstream"};
    for (int i = 0; i <= ZERO_FROM_UPSTREAM; i++)
        cr_expect_str_eq(zero_source_name((enum zero_source)i), sources[i]);
}

Test(class, writing_is_cheaper_only_where_both_are_known)
{
    static const struct zero_rules r = {.policy = ZERO_MEASURE,
                                        .ratio = 0.30,
                                        .probe = true,
                                        .cheapest = true,
                                        .max_zero = 32u << 20};
    struct zero_finding f = {
        .verdict = ZERO_SLOW, .has_model = true, .model = {{1e5, 1}, {1e5, 9}, 9}, .samples = 9};
    zero_class_begin(&c);
    cr_assert_not(zero_class_write_is_cheaper(&c, &r, 16u << 20, 1));
    zero_class_learn(&c, &r, &f, 1);
    cr_assert_not(zero_class_write_is_cheaper(&c, &r, 16u << 20, 1), "once may be an accident");
    cr_assert(zero_class_wants_teaching(&c, &r, 16u << 20, 1));
    cr_assert_not(zero_class_wants_teaching(&c, &rules, 16u << 20, 1),
                  "who passes them needs no more");
    zero_class_learn(&c, &r, &f, 1);
    cr_assert(zero_class_write_is_cheaper(&c, &r, 16u << 20, 1));
    cr_assert(zero_class_write_is_cheaper(&c, &r, 64u << 10, 1));
    cr_assert_not(zero_class_wants_teaching(&c, &r, 16u << 20, 1));
    f.model.zero.b = 1.1; // hardly: not worth it
    zero_class_learn(&c, &r, &f, 1);
    cr_assert_not(zero_class_write_is_cheaper(&c, &r, 16u << 20, 1));
    f.model.zero.b = 0.1;
    zero_class_learn(&c, &r, &f, 1);
    cr_assert_not(zero_class_write_is_cheaper(&c, &r, 16u << 20, 1));
}

// Two in a row are, whatever they say; one that has seen small chunks only says nothing of it.
Test(class, one_finding_that_writes_cost_as_much_is_not_believed_either)
{
    static const struct zero_rules r = {.policy = ZERO_MEASURE,
                                        .ratio = 0.30,
                                        .probe = true,
                                        .cheapest = true,
                                        .max_zero = 32u << 20};
    struct zero_finding even = {.verdict = ZERO_SLOW,
                                .has_model = true,
                                .model = {{1e5, 1}, {1e5, 0.85}, 0.85},
                                .samples = 9};
    struct zero_finding dear = even;
    dear.model.zero.b = 4;
    struct zero_finding small = dear;
    small.samples = 6;
    zero_class_begin(&c);
    for (unsigned i = 0; i < 3; i++)
        zero_class_learn(&c, &r, &small, 1);
    cr_assert_not(zero_class_write_is_cheaper(&c, &r, 16u << 20, 1));
    zero_class_learn(&c, &r, &even, 1);
    cr_assert(zero_class_wants_teaching(&c, &r, 16u << 20, 1));
    zero_class_learn(&c, &r, &dear, 1);
    cr_assert(zero_class_wants_teaching(&c, &r, 16u << 20, 1));
    zero_class_learn(&c, &r, &dear, 1);
    cr_assert(zero_class_write_is_cheaper(&c, &r, 16u << 20, 1));
    zero_class_begin(&c);
    zero_class_learn(&c, &r, &even, 1);
    zero_class_learn(&c, &r, &even, 1);
    cr_assert_not(zero_class_wants_teaching(&c, &r, 16u << 20, 1), "two agree");
    cr_assert_not(zero_class_write_is_cheaper(&c, &r, 16u << 20, 1));
}

Test(class, a_size_that_was_sampled_knows_best_what_is_cheaper)
{
    static const struct zero_rules r = {
        .policy = ZERO_MEASURE, .ratio = 0.30, .max_zero = 32u << 20};
    static const struct zero_finding f = {
        .verdict = ZERO_SLOW, .has_model = true, .model = {{1e5, 1}, {1e5, 9}, 9}, .samples = 9};
    zero_class_begin(&c);
    c.cells[16 - ZERO_CELL_SMALLEST].zero = 1e6; // 64 KiB
    c.cells[16 - ZERO_CELL_SMALLEST].write = 2e6;
    c.cells[16 - ZERO_CELL_SMALLEST].verdict = ZERO_SLOW;
    c.cells[16 - ZERO_CELL_SMALLEST].until = NS_PER_MIN;
    zero_class_learn(&c, &r, &f, 1);
    zero_class_learn(&c, &r, &f, 1);
    cr_assert_not(zero_class_write_is_cheaper(&c, &r, 64u << 10, 1));
    cr_assert(zero_class_write_is_cheaper(&c, &r, 128u << 10, 1));
}

Test(class, when_whoever_likes_should_measure)
{
    cr_expect_eq(zero_class_due(&c, now), now, "unknown: at once");
    zero_class_learn(&c, &rules, &slow, now);
    cr_expect_eq(zero_class_due(&c, now), now + NS_PER_MIN, "slow: when that ends");
    now += NS_PER_MIN;
    cr_expect_eq(zero_class_due(&c, now), now);
    zero_class_learn(&c, &rules, &errored, now);
    cr_expect_eq(zero_class_due(&c, now), now + 30 * NS_PER_MIN, "not after an error");
    now += 30 * NS_PER_MIN;
    zero_class_learn(&c, &rules, &fast, now);
    cr_expect_eq(zero_class_due(&c, now), now, "one finding makes no verdict");
    zero_class_learn(&c, &rules, &fast, now);
    cr_expect_eq(zero_class_due(&c, now), now + 9 * NS_PER_MIN, "fast: before that ends");
    cr_expect_eq(zero_class_due(&c, now + 9 * NS_PER_MIN + 1), now + 9 * NS_PER_MIN + 1);
}

Test(class, what_it_borrows)
{
    struct zero_class lender;
    zero_class_begin(&lender);
    zero_class_learn(&c, &rules, &slow, now);
    struct zero_class before = c;
    zero_class_borrow(&c, &lender);
    cr_expect_eq(memcmp(&c, &before, sizeof c), 0, "of nothing comes nothing");
    zero_class_learn(&lender, &rules, &fast, now + 1);
    zero_class_borrow(&c, &lender);
    cr_expect_eq(c.verdict, ZERO_SLOW, "nor of half a verdict");
    zero_class_learn(&lender, &rules, &fast, now + 2);
    zero_class_borrow(&c, &lender);
    cr_expect_eq(c.verdict, ZERO_FAST);
    cr_expect_eq(c.until, lender.until, "it is no younger than it was there");
    cr_expect_eq(zero_class_judge(&c, &rules, 16 * MIB, now + 3), ZERO_FORWARD);
    cr_expect_eq(zero_class_judge(&c, &rules, 16 * MIB, c.until + 1), ZERO_PROBE);
    zero_class_learn(&c, &rules, &slow, now + 10);
    zero_class_borrow(&c, &lender);
    cr_expect_eq(c.verdict, ZERO_SLOW, "what is newer stays");
}
