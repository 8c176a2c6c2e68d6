// SPDX-License-Identifier: BSD-3-Clause
// Probes of a range that may be overwritten, and thorough ones: the same verdicts by other means.
#include "sim.h"
#include "truths.h"
#include <criterion/criterion.h>
#include <string.h>

// As nbdzero-probe sets it: no client waits.
static void
begin(struct sim *s, const struct sim_truth *t)
{
    sim_begin(s, t, 1);
    s->rules.probe_time = 30 * NS_PER_SEC;
    s->rules.probe_bytes = UINT64_C(1) << 30;
}

Test(probe_scratch, truth)
{
    for (unsigned i = 0; i < TRUTHS; i++) {
        static struct sim s;
        struct probe p;
        begin(&s, &truths[i]);
        sim_run(&s, &p, PROBE_SCRATCH, SIM_WHOLE, truths[i].name);
        struct zero_finding f = probe_finding(&p);
        cr_expect_eq(f.verdict, truths[i].truth, "%s: %s", s.t->name, zero_verdict_name(f.verdict));
        cr_expect(f.has_model && !f.error && f.samples >= 6, "%s", s.t->name);
        cr_expect_eq(s.checks, 1, "%s: %u read-backs", s.t->name, s.checks);
        cr_expect_eq(s.writes, 2 * s.zeroes, "each chunk is filled, zeroed and written");
        cr_expect_eq(p.written, s.bytes_written);
        cr_expect_neq(p.why, PROBE_WHY_NOTHING, "%s", s.t->name);
        cr_expect(p.decided > p.began && p.decided <= s.now, "%s", s.t->name);
    }
}

// Holes and first touches are the fill's business: what stands where the probe comes to does not
// matter.
Test(probe_scratch, what_is_there_does_not_matter)
{
    for (unsigned i = 0; i < TRUTHS; i++) {
        static struct sim s;
        struct probe p, on_holes;
        begin(&s, &truths[i]);
        sim_run(&s, &p, PROBE_SCRATCH, SIM_WHOLE, truths[i].name);
        begin(&s, &truths[i]);
        sim_hole(&s, 0, SIM_UNITS);
        sim_run(&s, &on_holes, PROBE_SCRATCH, SIM_WHOLE, truths[i].name);
        cr_expect_eq(p.verdict, on_holes.verdict, "%s", truths[i].name);
        cr_expect_eq(memcmp(&p.model, &on_holes.model, sizeof p.model), 0, "%s", truths[i].name);
    }
}

static void
expect_all_levels(const struct probe *p, const char *what)
{
    cr_expect_eq(p->stop, PROBE_ALL_LEVELS, "%s: stopped by %d", what, (int)p->stop);
    struct probe_contrast k;
    for (unsigned level = 1; level < probe_levels(p); level++)
        cr_expect(probe_compare(p, level, &k), "%s: level %u", what, level);
    cr_expect(!probe_compare(p, 0, &k), "64 KiB has nothing to be compared with");
}

// Going on changes neither verdict nor model.
Test(probe_scratch, thorough)
{
    static const enum probe_mode modes[] = {PROBE_RESTORE, PROBE_SCRATCH};
    for (unsigned i = 0; i < 2 * TRUTHS; i++) {
        static struct sim s;
        struct probe quick, whole;
        const struct sim_truth *t = &truths[i / 2];
        begin(&s, t);
        sim_run(&s, &quick, modes[i % 2], SIM_WHOLE, t->name);
        begin(&s, t);
        s.thorough = true;
        sim_run(&s, &whole, modes[i % 2], SIM_WHOLE, t->name);
        expect_all_levels(&whole, t->name);
        cr_expect_eq(whole.verdict, quick.verdict, "%s", t->name);
        cr_expect_eq(whole.why, quick.why, "%s", t->name);
        cr_expect_eq(whole.decided_level, quick.decided_level, "%s", t->name);
        cr_expect_eq(memcmp(&whole.model, &quick.model, sizeof quick.model), 0, "%s", t->name);
    }
    cr_expect_eq(probe_level_size(PROBE_LEVELS - 1), PROBE_LARGEST_SCRATCH);
}

// What each level would have said.
Test(probe_scratch, level_by_level)
{
    static struct sim s;
    struct probe p;
    begin(&s, &truths[2]);
    s.thorough = true;
    sim_run(&s, &p, PROBE_RESTORE, SIM_WHOLE, "quiet");
    cr_expect(!probe_level_fast(&p, 1), "never on less than 4 MiB");
    cr_expect(probe_level_fast(&p, 2) && probe_level_fast(&p, 3));
    cr_expect(!probe_level_fast(&p, 4), "not measured");
    begin(&s, &truths[0]);
    s.thorough = true;
    sim_run(&s, &p, PROBE_SCRATCH, SIM_WHOLE, "slow");
    for (unsigned level = 0; level < PROBE_LEVELS; level++)
        cr_expect(!probe_level_fast(&p, level));
}

// 4 MiB are enough for three levels, since they are used again.
Test(probe_scratch, a_small_range_is_used_again)
{
    struct range range = {.offset = 8 * MIB, .length = 4 * MIB};
    for (unsigned i = 0; i < TRUTHS; i++) {
        static struct sim s;
        struct probe p;
        begin(&s, &truths[i]);
        sim_run(&s, &p, PROBE_SCRATCH, range, truths[i].name);
        bool open = p.verdict == ZERO_UNKNOWN && p.stop == PROBE_NO_RANGE;
        cr_expect(p.verdict == truths[i].truth || open, "%s: %s", truths[i].name,
                  zero_verdict_name(p.verdict));
    }
    static struct sim s;
    struct probe p;
    begin(&s, &truths[2]);
    range.length -= SIM_UNIT;
    sim_run(&s, &p, PROBE_SCRATCH, range, "no room for 4 MiB");
    cr_expect_eq(p.stop, PROBE_NO_RANGE);
    cr_expect_eq(probe_finding(&p).verdict, ZERO_UNKNOWN);
}

// An error ends it at once: there is nothing to write back, and the guard is given back.
Test(probe_scratch, an_error_at_every_operation)
{
    static struct sim s;
    struct probe p;
    begin(&s, &truths[2]);
    sim_run(&s, &p, PROBE_SCRATCH, SIM_WHOLE, "without");
    unsigned all = s.ops - s.guards; // UNGUARD never fails
    for (unsigned at = 1; at <= all; at++) {
        begin(&s, &truths[2]);
        s.fail_at = at;
        s.fail_count = 1;
        s.effect = SIM_HALF;
        sim_run(&s, &p, PROBE_SCRATCH, SIM_WHOLE, "an error");
        cr_expect_eq(s.matching, at, "it went on after operation %u", at);
        cr_expect(probe_finding(&p).error || p.stop == PROBE_NO_GUARD, "at %u", at);
    }
}

Test(probe_scratch, aborted_or_lost_at_every_operation)
{
    static struct sim s;
    struct probe p;
    begin(&s, &truths[2]);
    sim_run(&s, &p, PROBE_SCRATCH, SIM_WHOLE, "without");
    for (unsigned at = 1, all = s.ops; at < 2 * all; at++) {
        begin(&s, &truths[2]);
        if (at < all)
            s.abort_at = at;
        else
            s.lost_at = at - all + 1;
        sim_run(&s, &p, PROBE_SCRATCH, SIM_WHOLE, "aborted");
        cr_expect_eq(p.ending, PROBE_REFUSED);
        cr_expect_eq(probe_finding(&p).verdict, ZERO_UNKNOWN);
        cr_expect_leq(s.ops, (s.abort_at ? s.abort_at : s.lost_at) + 4);
    }
}

Test(probe_scratch, a_liar_is_not_measured)
{
    static struct sim s;
    struct probe p;
    begin(&s, &truths[2]);
    s.zero_lies = true;
    sim_run(&s, &p, PROBE_SCRATCH, SIM_WHOLE, "liar");
    cr_expect(probe_finding(&p).error);
    cr_expect_eq(s.zeroes, 1);
}

// The fill counts: twice the level for each chunk.
Test(probe_scratch, bytes_are_a_budget)
{
    static struct sim s;
    struct probe p;
    begin(&s, &truths[2]);
    s.rules.probe_bytes = 8 * MIB;
    sim_run(&s, &p, PROBE_SCRATCH, SIM_WHOLE, "8 MiB");
    cr_expect_eq(p.stop, PROBE_NO_BUDGET);
    cr_expect_eq(p.why, PROBE_WHY_NO_TIME);
    cr_expect_eq(s.bytes_written, 8 * SIM_UNIT + 6 * MIB);
}

// Each rule says that it was the one.
Test(probe_scratch, why)
{
    static const struct {
        double fix, write, zero; // ms, ns a byte
        enum probe_why why;
    } cases[] = {
        {1, 5, 4.5, PROBE_WHY_SLOPE_ANY},    // s > 0.80
        {1, 5, 3.0, PROBE_WHY_SLOPE},        // s > R + 0.25
        {1, 5, 2.5, PROBE_WHY_SLOPE_AT_END}, // not below R, and nothing larger to come
        {1, 5, 1.4, PROBE_WHY_CHEAP_AT_END}, // between 0.83 R and R
        {1, 5, 1.2, PROBE_WHY_CHEAP},        {50, 0.1, 0.01, PROBE_WHY_FLAT},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sim_truth t = {.name = "why",
                              .read = READ_MEMORY,
                              .write = {.fix = cases[i].fix * MS, .per_byte = cases[i].write},
                              .zero = {.fix = cases[i].fix * MS, .per_byte = cases[i].zero},
                              .flush_fix = 10 * US};
        static struct sim s;
        struct probe p;
        begin(&s, &t);
        sim_run(&s, &p, PROBE_SCRATCH, SIM_WHOLE, t.name);
        cr_expect_eq(p.why, cases[i].why, "case %u: %d", i, (int)p.why);
    }
    static struct sim s;
    struct probe p;
    begin(&s, &truths[9]);
    sim_run(&s, &p, PROBE_SCRATCH, SIM_WHOLE, truths[9].name);
    cr_expect_eq(p.why, PROBE_WHY_FLUSH);
    begin(&s, &truths[5]);
    sim_run(&s, &p, PROBE_RESTORE, SIM_WHOLE, truths[5].name);
    cr_expect_eq(p.why, PROBE_WHY_NO_GAIN);
}
