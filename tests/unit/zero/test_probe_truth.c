// SPDX-License-Identifier: BSD-3-Clause
// Does a probe find the truth, in time, within its bytes, whatever the noise?
#include "sim.h"
#include "truths.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

// Noisy runs take their seeds from here on; NBDZERO_SEED in the environment sets another start.
static uint64_t
first_seed(void)
{
    const char *text = getenv("NBDZERO_SEED");
    uint64_t seed = text ? strtoull(text, NULL, 0) : 1;
    printf("seed %llu (set NBDZERO_SEED for another)\n", (unsigned long long)seed);
    return seed;
}

static void
expect_truth(struct sim *s, enum probe_mode mode)
{
    struct probe p;
    nstime began = s->now;
    sim_run(s, &p, mode, SIM_WHOLE, s->t->name);
    struct zero_finding f = probe_finding(&p);
    cr_expect_eq(f.verdict, s->t->truth, "%s: %s", s->t->name, zero_verdict_name(f.verdict));
    cr_expect_eq(p.ending, s->t->truth == ZERO_FAST ? PROBE_PROCEED : PROBE_REFUSED, "%s",
                 s->t->name);
    cr_expect(f.has_model && !f.error && f.samples >= 6, "%s", s->t->name);
    cr_expect_leq(s->now - began, s->rules.probe_time, "%s: took too long", s->t->name);
    if (f.verdict == ZERO_FAST) {
        cr_expect_eq(zero_model_fast(&f.model, &s->rules, 64 << 10), s->t->fast_64k, "%s",
                     s->t->name);
        cr_expect(zero_model_fast(&f.model, &s->rules, 16 * MIB), "%s", s->t->name);
        cr_expect(zero_model_fast(&f.model, &s->rules, 1 << 30), "%s", s->t->name);
    }
    if (mode == PROBE_RESTORE)
        cr_expect_eq(s->checks, 1, "%s: %u read-backs", s->t->name, s->checks);
}

Test(probe_truth, every_upstream_without_noise)
{
    for (unsigned i = 0; i < TRUTHS; i++) {
        static struct sim s;
        sim_begin(&s, &truths[i], 1);
        expect_truth(&s, PROBE_RESTORE);
        sim_begin(&s, &truths[i], 1);
        s.has_status = false;
        expect_truth(&s, PROBE_RESTORE);
    }
}

Test(probe_truth, plain_zeroes_teach_the_same)
{
    for (unsigned i = 0; i < TRUTHS; i++) {
        static struct sim s;
        sim_begin(&s, &truths[i], 1);
        expect_truth(&s, PROBE_TEACH);
        // Ends unallocated or allocated as WRITE_ZEROES leaves it: each chunk was zeroed twice.
        cr_expect_eq(s.zeroes, 2 * s.writes, "%s: %u zeroes, %u writes", s.t->name, s.zeroes,
                     s.writes);
        cr_expect_eq(s.flushes, 1 + 2 * s.writes);
    }
}

// Noise may make a fast one look slow now and then; never a slow one fast.
Test(probe_truth, noise_never_makes_fast)
{
    uint64_t seed = first_seed();
    for (unsigned i = 0; i < TRUTHS; i++) {
        unsigned wrong = 0, runs = 150;
        for (unsigned k = 0; k < runs; k++) {
            static struct sim s;
            struct probe p;
            char what[128];
            snprintf(what, sizeof what, "%s, seed %llu", truths[i].name,
                     (unsigned long long)(seed + k));
            sim_begin(&s, &truths[i], seed + k);
            s.noise = 0.3;
            sim_run(&s, &p, PROBE_RESTORE, SIM_WHOLE, what);
            enum zero_verdict v = probe_finding(&p).verdict;
            if (truths[i].truth == ZERO_SLOW)
                cr_assert_neq(v, ZERO_FAST, "%s: fast", what);
            wrong += v != truths[i].truth;
        }
        cr_expect_leq(wrong, runs / 10, "%s: wrong in %u of %u", truths[i].name, wrong, runs);
    }
}

static struct sim_truth
random_upstream(struct sim *dice)
{
    double rate[] = {0.2, 0.5, 1, 3, 10, 40, 200};
    double share[] = {0, 0.02, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 3.0};
    double b = rate[sim_random(dice) % 7];
    double fix = 20 * US + (double)(sim_random(dice) % 3000) * US;
    return (struct sim_truth){
        .name = "random",
        .read = {.fix = fix, .per_byte = rate[sim_random(dice) % 7]},
        .write = {.fix = fix, .per_byte = b},
        .zero = {.fix = fix + (double)(sim_random(dice) % 30) * MS,
                 .per_byte = b * share[sim_random(dice) % 9]},
        .flush_fix = (double)(sim_random(dice) % 5000) * US,
    };
}

// Linear costs, no noise: whatever the numbers, FAST is true at 4 MiB and more, and the budget of
// time holds, the write-back included.
Test(probe_truth, random_upstreams)
{
    uint64_t seed = first_seed();
    static struct sim dice, s;
    sim_begin(&dice, &truths[0], seed);
    unsigned fast = 0, slow = 0;
    for (unsigned k = 0; k < 3000; k++) {
        struct sim_truth t = random_upstream(&dice);
        char what[128];
        snprintf(what, sizeof what, "seed %llu, run %u: w %.0f + %.2f/B, z %.0f + %.2f/B",
                 (unsigned long long)seed, k, t.write.fix, t.write.per_byte, t.zero.fix,
                 t.zero.per_byte);
        sim_begin(&s, &t, seed + k);
        struct probe p;
        nstime began = s.now;
        sim_run(&s, &p, PROBE_RESTORE, SIM_WHOLE, what);
        cr_assert_leq(s.now - began, s.rules.probe_time, "%s: took too long", what);
        enum zero_verdict v = probe_finding(&p).verdict;
        double n = 16 * MIB;
        if (v == ZERO_FAST) {
            fast++;
            cr_assert_lt(t.zero.per_byte, 0.30 * t.write.per_byte, "%s", what);
            cr_assert_lt(t.zero.fix + t.zero.per_byte * n + t.flush_fix,
                         0.9 * (t.write.fix + t.write.per_byte * n + t.flush_fix), "%s", what);
        } else {
            slow += v == ZERO_SLOW;
        }
    }
    cr_expect(fast > 300 && slow > 300, "%u fast, %u slow: the dice are loaded", fast, slow);
}

// Storage at 2 MB/s has no verdict to be had in a second, and is not kept waiting longer.
Test(probe_truth, too_slow_to_measure)
{
    static const struct sim_truth t = {.name = "2 MB/s",
                                       .read = {.per_byte = 500},
                                       .write = {.per_byte = 500},
                                       .zero = {.fix = 1 * MS}};
    static struct sim s;
    struct probe p;
    sim_begin(&s, &t, 1);
    nstime began = s.now;
    sim_run(&s, &p, PROBE_RESTORE, SIM_WHOLE, t.name);
    cr_expect_eq(p.stop, PROBE_NO_BUDGET);
    cr_expect_eq(probe_finding(&p).verdict, ZERO_SLOW, "never fast on less than 4 MiB");
    cr_expect_leq(s.now - began, NS_PER_SEC);
    cr_expect_geq(s.writes, 4);
}

// 21 ms for each 256 KiB: one sample of 4 MiB fits into the second, not three.
static const struct sim_truth one_sample = {.name = "21 ms for 256 KiB",
                                            .write = {.step = 21 * MS, .step_bytes = 256u << 10},
                                            .zero = {.fix = 2 * MS}};

static struct zero_finding
probe_once(const struct sim_truth *t, unsigned slow_at, nstime slow_by)
{
    static struct sim s;
    struct probe p;
    sim_begin(&s, t, 1);
    s.slow_at = slow_at;
    s.slow_by = slow_by;
    nstime began = s.now;
    sim_run(&s, &p, PROBE_RESTORE, SIM_WHOLE, t->name);
    cr_expect_leq(s.now - began, s.rules.probe_time, "%s", t->name);
    return probe_finding(&p);
}

Test(probe_truth, one_sample_tells_where_nothing_can_be_mistaken)
{
    struct zero_finding f = probe_once(&one_sample, 0, 0);
    cr_expect_eq(f.verdict, ZERO_FAST);
    cr_expect_eq(f.samples, 3 + 3 + 1);
    cr_expect_float_eq(f.model.write.b, 80, 4, "ns a byte: %g", f.model.write.b);
    struct sim_truth t = one_sample;
    t.zero.per_byte = 0.5 * 0.30 * 80; // fast, were there three samples
    cr_expect_eq(probe_once(&t, 0, 0).verdict, ZERO_SLOW, "half of the limit is not clear");
    t.zero.per_byte = 80;
    cr_expect_eq(probe_once(&t, 0, 0).verdict, ZERO_SLOW);
}

// Zeroes that cost as much as writes, in the lone 4 MiB sample hidden by a write that was held up.
Test(probe_truth, one_sample_that_is_an_outlier)
{
    static const struct sim_truth t = {
        .name = "held up", .write = {.per_byte = 40}, .zero = {.fix = 2 * MS, .per_byte = 10}};
    for (unsigned at = 20; at < 70; at++)
        cr_expect_neq(probe_once(&t, at, 600 * MS).verdict, ZERO_FAST, "operation %u", at);
}

// Found by the dice above: costs on a line are predicted by that line. A flush of 4.7 ms, taken for
// the round trip, made 4 MiB look cheaper than they were, and the probe ran over its time.
Test(probe_truth, costs_on_a_line)
{
    static const struct sim_truth t = {.name = "line",
                                       .read = {.fix = 1154000, .per_byte = 40},
                                       .write = {.fix = 1154000, .per_byte = 40},
                                       .zero = {.fix = 28154000, .per_byte = 8},
                                       .flush_fix = 4748000};
    static struct sim s;
    struct probe p;
    sim_begin(&s, &t, 1);
    nstime began = s.now;
    sim_run(&s, &p, PROBE_RESTORE, SIM_WHOLE, t.name);
    cr_expect_leq(s.now - began, NS_PER_SEC);
}

// A zero that takes far longer than predicted: the flush after it is left out, the write-back is
// not.
Test(probe_truth, write_back_comes_before_the_budget)
{
    static struct sim s;
    struct probe p;
    sim_begin(&s, &truths[2], 1);
    s.slow_at = 5; // FLUSH, GUARD, STATUS, READ, ZERO
    s.slow_by = 5 * NS_PER_SEC;
    sim_run(&s, &p, PROBE_RESTORE, SIM_WHOLE, "slow zero");
    cr_expect_eq(s.writes, 1);
    cr_expect_eq(s.flushes, 2);
    cr_expect_eq(s.checks, 0);
    cr_expect_eq(p.ending, PROBE_REFUSED);
    cr_expect_eq(probe_finding(&p).verdict, ZERO_UNKNOWN, "one dropped sample is nothing");
}

Test(probe_truth, bytes_are_a_budget)
{
    static struct sim s;
    struct probe p;
    sim_begin(&s, &truths[2], 1);
    s.rules.probe_bytes = 8 * MIB;
    sim_run(&s, &p, PROBE_RESTORE, SIM_WHOLE, "8 MiB");
    cr_expect_eq(probe_finding(&p).verdict, ZERO_SLOW);
    cr_expect_eq(p.stop, PROBE_NO_BUDGET);
    cr_expect_eq(s.bytes_written, 4 * SIM_UNIT + 3 * MIB + 4 * MIB);
}

// 16 MiB have room for three levels, at any offset; the fixed cost of scenario 4 cannot be judged.
Test(probe_truth, sixteen_mib_are_enough)
{
    for (unsigned offset = 0; offset < 2 * SIM_UNIT; offset += SIM_UNIT / 4) {
        static struct sim s;
        struct probe p;
        struct range range = {.offset = 7 * MIB + offset, .length = 16 * MIB};
        sim_begin(&s, &truths[2], 1);
        sim_run(&s, &p, PROBE_RESTORE, range, "16 MiB");
        cr_expect_eq(probe_finding(&p).verdict, ZERO_FAST, "offset %u", offset);
        sim_begin(&s, &truths[3], 1);
        sim_run(&s, &p, PROBE_RESTORE, range, "16 MiB of scenario 4");
        cr_expect_eq(probe_finding(&p).verdict, ZERO_UNKNOWN, "too short to tell");
        cr_expect_eq(p.ending, PROBE_REFUSED);
        cr_expect_eq(p.stop, PROBE_NO_RANGE);
    }
}

Test(probe_truth, preferred_block_is_kept)
{
    static struct sim s;
    struct probe p;
    sim_begin(&s, &truths[2], 1);
    s.preferred = 1 << 20;
    struct range range = {.offset = SIM_UNIT, .length = 60 * MIB};
    sim_run(&s, &p, PROBE_RESTORE, range, "preferred");
    cr_expect_eq(probe_finding(&p).verdict, ZERO_FAST);
    sim_begin(&s, &truths[2], 1);
    s.preferred = 4 << 20;
    sim_run(&s, &p, PROBE_RESTORE, (struct range){.length = 24 * MIB}, "preferred 4M");
    cr_expect_eq(p.stop, PROBE_NO_RANGE, "six chunks of 4 MiB are too few");
    cr_expect_eq(probe_finding(&p).verdict, ZERO_UNKNOWN);
}

Test(probe_truth, holes_are_skipped)
{
    for (int status = 0; status < 2; status++) {
        static struct sim s;
        struct probe p;
        sim_begin(&s, &truths[2], 1);
        s.has_status = status;
        sim_hole(&s, 0, 16 * 16);
        sim_run(&s, &p, PROBE_RESTORE, SIM_WHOLE, "holes");
        cr_expect_eq(probe_finding(&p).verdict, ZERO_FAST);
        cr_expect_eq(s.holes_zeroed, 0);

        sim_begin(&s, &truths[2], 1);
        s.has_status = status;
        sim_hole(&s, 0, SIM_UNITS);
        sim_run(&s, &p, PROBE_RESTORE, SIM_WHOLE, "nothing but holes");
        cr_expect_eq(probe_finding(&p).verdict, ZERO_UNKNOWN);
        cr_expect_eq(p.ending, PROBE_REFUSED);
        cr_expect_eq(s.writes, 0);
        cr_expect_lt(s.guards, 15, "not step by step: %u", s.guards);
    }
}

// With status, a chunk that is half hole is no sample either; one that holds zeroes is.
Test(probe_truth, every_other_mib_a_hole)
{
    static struct sim s;
    struct probe p;
    sim_begin(&s, &truths[2], 1);
    for (unsigned u = 0; u < SIM_UNITS; u += 32)
        sim_hole(&s, u, u + 16);
    sim_run(&s, &p, PROBE_RESTORE, SIM_WHOLE, "comb");
    cr_expect_eq(probe_finding(&p).verdict, ZERO_UNKNOWN, "no 4 MiB without a hole");
    cr_expect_eq(s.holes_zeroed, 0);
}

// TEACH asks nothing about holes: an upstream that zeroes holes in no time and data by writing it
// must not look fast on a sparse range.
Test(probe_truth, teaching_on_holes)
{
    static const struct sim_truth t = {.name = "quick on holes only",
                                       .read = READ_MEMORY,
                                       .write = {.fix = 70 * US, .per_byte = 0.5},
                                       .zero = {.fix = 80 * US},
                                       .zero_data = 0.5,
                                       .flush_fix = 50 * US};
    static struct sim s;
    struct probe p;
    sim_begin(&s, &t, 1);
    sim_hole(&s, 0, SIM_UNITS);
    sim_run(&s, &p, PROBE_TEACH, SIM_WHOLE, t.name);
    cr_expect_eq(probe_finding(&p).verdict, ZERO_SLOW);
}

// nbd-server on ext4: where plain zeroes are to be served the cheaper way it is not enough to know
// that they are slow, which shows at 1 MiB; what is slow for a client's FAST_ZERO may end there.
Test(probe_truth, teaching_what_is_cheaper_looks_at_all_sizes)
{
    static const struct sim_truth t = {.name = "slow",
                                       .read = READ_MEMORY,
                                       .write = {.fix = 70 * US, .per_byte = 0.5},
                                       .zero = {.fix = 80 * US, .per_byte = 0.6},
                                       .flush_fix = 50 * US};
    static struct sim s;
    struct probe p;
    for (int cheapest = 0; cheapest < 2; cheapest++) {
        sim_begin(&s, &t, 1);
        s.rules.cheapest = cheapest;
        sim_run(&s, &p, PROBE_TEACH, SIM_WHOLE, t.name);
        cr_expect_eq(probe_finding(&p).verdict, ZERO_SLOW);
        cr_expect_eq(probe_finding(&p).samples, cheapest ? 10 : 6, "%u", probe_finding(&p).samples);
        sim_begin(&s, &t, 1);
        s.rules.cheapest = cheapest;
        sim_run(&s, &p, PROBE_RESTORE, SIM_WHOLE, t.name);
        cr_expect_eq(probe_finding(&p).samples, 6);
    }
}

// Nor one whose first zero is dear, because the second is cheap.
Test(probe_truth, teaching_on_a_clone)
{
    static const struct sim_truth t = {.name = "the first zero unshares",
                                       .read = READ_MEMORY,
                                       .write = {.fix = 70 * US, .per_byte = 0.5},
                                       .zero = {.fix = 80 * US},
                                       .first_touch = 3.0,
                                       .flush_fix = 50 * US};
    static struct sim s;
    struct probe p;
    sim_begin(&s, &t, 1);
    sim_run(&s, &p, PROBE_TEACH, SIM_WHOLE, t.name);
    cr_expect_eq(probe_finding(&p).verdict, ZERO_SLOW);
}

// Disturbed samples are taken again; where most are disturbed nothing is learnt.
Test(probe_truth, disturbance)
{
    static struct sim s;
    struct probe p;
    sim_begin(&s, &truths[2], 1);
    s.unclean_every = 29;
    sim_run(&s, &p, PROBE_RESTORE, SIM_WHOLE, "a little");
    cr_expect_eq(probe_finding(&p).verdict, ZERO_FAST);
    sim_begin(&s, &truths[2], 1);
    s.unclean_every = 3;
    sim_run(&s, &p, PROBE_RESTORE, SIM_WHOLE, "all the time");
    cr_expect_eq(probe_finding(&p).verdict, ZERO_UNKNOWN);
    cr_expect_eq(p.stop, PROBE_DISTURBED);
    cr_expect(!probe_finding(&p).error);
}

// R is the administrator's: s = 0.40 is slow at 0.30 and fast at 0.60; s = 0.10 is slow at 0.05.
Test(probe_truth, ratio_is_obeyed)
{
    struct sim_truth t = truths[11];
    static const struct {
        double share, ratio;
        enum zero_verdict verdict;
    } cases[] = {{0.40, 0.30, ZERO_SLOW}, {0.40, 0.60, ZERO_FAST}, {0.10, 0.05, ZERO_SLOW},
                 {0.10, 0.30, ZERO_FAST}, {0.28, 0.30, ZERO_FAST}, {0.32, 0.30, ZERO_SLOW},
                 {0.65, 0.70, ZERO_FAST}, {0.75, 0.70, ZERO_SLOW}};
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        static struct sim s;
        struct probe p;
        t.zero.per_byte = cases[i].share * t.write.per_byte;
        sim_begin(&s, &t, 1);
        s.rules.ratio = cases[i].ratio;
        sim_run(&s, &p, PROBE_RESTORE, SIM_WHOLE, "ratio");
        cr_expect_eq(probe_finding(&p).verdict, cases[i].verdict, "s %.2f R %.2f", cases[i].share,
                     cases[i].ratio);
    }
}

// At which level each rule decides: 1 MiB, 4 MiB, 16 MiB.
Test(probe_truth, levels_that_decide)
{
    static const struct {
        double fix, write, zero; // ms, ns a byte
        unsigned level;
        enum zero_verdict verdict;
    } cases[] = {
        {10, 5, 5, 1, ZERO_SLOW},     // dW is 0.49 of the fixed cost
        {10, 2.5, 2.5, 2, ZERO_SLOW}, // 0.25: not steep enough at 1 MiB
        {1, 5, 4.5, 1, ZERO_SLOW},    // s > 0.80
        {1, 5, 3.0, 2, ZERO_SLOW},    // s > R + 0.25
        {1, 5, 2.5, 3, ZERO_SLOW},    // below that: only at the end
        {1, 5, 1.4, 3, ZERO_FAST},    // 0.83 R < s < R: only at the end
        {1, 5, 1.2, 2, ZERO_FAST},    // s < 0.83 R
    };
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sim_truth t = {.name = "levels",
                              .read = READ_MEMORY,
                              .write = {.fix = cases[i].fix * MS, .per_byte = cases[i].write},
                              .zero = {.fix = cases[i].fix * MS, .per_byte = cases[i].zero},
                              .flush_fix = 10 * US};
        static struct sim s;
        struct probe p;
        sim_begin(&s, &t, 1);
        sim_run(&s, &p, PROBE_RESTORE, SIM_WHOLE, t.name);
        cr_expect_eq(p.level, cases[i].level, "case %u decided at level %u", i, p.level);
        cr_expect_eq(probe_finding(&p).verdict, cases[i].verdict, "case %u", i);
    }
}

// The way there and back is not taken for a cost that grows sixteenfold.
Test(probe_truth, a_long_way)
{
    struct sim_truth t = {.name = "9.6 ms away",
                          .read = {.fix = 9.6 * MS, .per_byte = 10},
                          .write = {.fix = 9.6 * MS, .per_byte = 10},
                          .zero = {.fix = 9.6 * MS},
                          .flush_fix = 9.6 * MS};
    static struct sim s;
    struct probe p;
    sim_begin(&s, &t, 1);
    sim_run(&s, &p, PROBE_RESTORE, SIM_WHOLE, t.name);
    cr_expect_eq(probe_finding(&p).verdict, ZERO_FAST);
    cr_expect_leq(s.now - p.began, NS_PER_SEC);
}

// Fast as one message of 16 MiB, but this upstream is sent pieces of 1 MiB, 20 ms each.
Test(probe_truth, fast_but_not_in_pieces)
{
    static struct sim s;
    struct probe p;
    sim_begin(&s, &truths[3], 1);
    s.rules.max_zero = 1 << 20;
    sim_run(&s, &p, PROBE_RESTORE, SIM_WHOLE, "pieces");
    cr_expect_eq(probe_finding(&p).verdict, ZERO_FAST);
    cr_expect_eq(p.ending, PROBE_REFUSED);
}

// One of three zeroes of 4 MiB takes as long as a write: sHi holds the verdict back, the last level
// decides.
Test(probe_truth, one_slow_zero_of_three)
{
    static struct sim s, quiet;
    struct probe p;
    sim_begin(&quiet, &truths[2], 1);
    sim_run(&quiet, &p, PROBE_RESTORE, SIM_WHOLE, "quiet");
    cr_expect_eq(p.level, 2, "decided at 4 MiB");
    sim_begin(&s, &truths[2], 1);
    s.slow_at = quiet.ops - 3; // UNGUARD, FLUSH, WRITE, FLUSH, ZERO: the last chunk's zero's flush
    s.slow_by = 9 * NS_PER_MS;
    sim_run(&s, &p, PROBE_RESTORE, SIM_WHOLE, "spread");
    cr_expect_eq(p.level, 3, "not decided at 4 MiB");
    cr_expect_eq(probe_finding(&p).verdict, ZERO_FAST);
}
