// SPDX-License-Identifier: BSD-3-Clause
// An upstream that turns slow in mid-life is found out while its zeroes are forwarded.
#include "sim.h"
#include "truths.h"
#include <criterion/criterion.h>

static struct sim s;
static struct zero_class c;

// The class as two probes of this upstream leave it.
static void
learn(const struct sim_truth *t)
{
    zero_class_begin(&c);
    for (unsigned i = 0; i < 2; i++) {
        struct probe p;
        sim_begin(&s, t, 1);
        sim_run(&s, &p, PROBE_RESTORE, SIM_WHOLE, t->name);
        struct zero_finding f = probe_finding(&p);
        zero_class_learn(&c, &s.rules, &f, s.now);
    }
    cr_assert_eq(c.verdict, ZERO_FAST, "%s", t->name);
}

// One large request in pieces; stops when the verdict falls. How many pieces were sent?
static unsigned
forward(const struct sim_truth *t, uint64_t length, uint64_t piece, double factor)
{
    s.t = t;
    unsigned n = 0;
    for (uint64_t at = 0; at < length; at += piece, n++) {
        nstime took = (nstime)((double)sim_zero_time(&s, piece) * factor);
        s.now += took;
        zero_class_zeroed(&c, &s.rules, piece, took, s.now);
        if (c.verdict != ZERO_FAST)
            return n + 1;
    }
    return n;
}

Test(watch, turns_slow_within_one_request)
{
    learn(&truths[2]);
    cr_expect_eq(forward(&truths[2], 1 << 30, 32 * MIB, 1.0), 32);
    cr_expect_eq(c.verdict, ZERO_FAST);
    cr_expect_eq(forward(&truths[0], 1 << 30, 32 * MIB, 1.0), 1, "scenario 14");
    cr_expect_eq(zero_class_judge(&c, &s.rules, 16 * MIB, s.now), ZERO_PROBE);
    cr_expect_eq(c.agreeing, 0);
    cr_expect_eq(c.source, ZERO_FROM_NOTHING);
}

// Pieces too short to be judged alone: the second they fill together does it.
Test(watch, turns_slow_in_small_pieces)
{
    learn(&truths[2]);
    unsigned n = forward(&truths[0], 1 << 30, 2 * MIB, 1.0);
    cr_expect_eq(c.verdict, ZERO_UNKNOWN);
    cr_expect_lt(n * sim_zero_time(&s, 2 * MIB), NS_PER_SEC + 20 * NS_PER_MS, "%u pieces", n);
}

Test(watch, every_fast_one_agrees_with_itself)
{
    for (unsigned i = 0; i < TRUTHS; i++) {
        if (truths[i].truth != ZERO_FAST)
            continue;
        learn(&truths[i]);
        for (uint64_t piece = 6 * MIB; piece <= 32 * MIB; piece += 2 * MIB) {
            forward(&truths[i], UINT64_C(100) << 30, piece, 1.1);
            cr_expect_eq(c.verdict, ZERO_FAST, "%s at %llu", truths[i].name,
                         (unsigned long long)piece);
        }
    }
}

// A model of 0.3 ms must not fall to a hiccup of 9 ms, nor to many of them far apart.
Test(watch, hiccups)
{
    learn(&truths[11]);
    for (unsigned i = 0; i < 1000; i++) {
        s.now += 2 * NS_PER_SEC;
        zero_class_zeroed(&c, &s.rules, 64 << 10, 9 * NS_PER_MS, s.now);
    }
    // None of them agreed, either: the verdict has run out.
    cr_expect_eq(zero_class_judge(&c, &s.rules, 16 * MIB, s.now), ZERO_PROBE);
    learn(&truths[11]);
    for (unsigned i = 0; i < 1000; i++) {
        s.now += 2 * NS_PER_SEC;
        zero_class_zeroed(&c, &s.rules, 64 << 10, 9 * NS_PER_MS, s.now);
        zero_class_zeroed(&c, &s.rules, 64 << 10, 90 * NS_PER_US, s.now);
    }
    cr_expect_eq(zero_class_judge(&c, &s.rules, 16 * MIB, s.now), ZERO_FORWARD);
}

// Sixteen zeroes in flight at once each wait for the others: that is the client's queue.
Test(watch, side_by_side)
{
    learn(&truths[2]);
    nstime one = sim_zero_time(&s, 32 * MIB);
    for (unsigned i = 0; i < 5000; i++) {
        s.now += one;
        zero_class_zeroed(&c, &s.rules, 32 * MIB, 16 * one, s.now);
    }
    cr_expect_eq(c.verdict, ZERO_FAST);
    // Each of these is over its own limit (4.2 ms), together they are not.
    for (unsigned i = 0; i < 5000; i++) {
        s.now += one;
        zero_class_zeroed(&c, &s.rules, 2 * MIB, 8 * one, s.now);
    }
    cr_expect_eq(c.verdict, ZERO_FAST);
}

Test(watch, once_a_minute_the_flush_tells)
{
    learn(&truths[2]);
    forward(&truths[2], 1 << 30, 32 * MIB, 1.0);
    s.now += NS_PER_MIN;
    cr_assert(zero_class_wants_flush(&c, s.now));
    nstime deferred = 100 * NS_PER_MS; // a write of 32 MiB takes 128
    zero_class_zeroed(&c, &s.rules, 32 * MIB, sim_zero_time(&s, 32 * MIB) + deferred, s.now);
    cr_expect_eq(c.verdict, ZERO_UNKNOWN);
}

// The request that one FAST finding serves is watched, too: a slow piece takes the finding back.
Test(watch, behind_the_first_finding)
{
    struct probe p;
    zero_class_begin(&c);
    sim_begin(&s, &truths[2], 1);
    sim_run(&s, &p, PROBE_RESTORE, SIM_WHOLE, "first");
    struct zero_finding f = probe_finding(&p);
    zero_class_learn(&c, &s.rules, &f, s.now);
    cr_assert_eq(c.agreeing, 1);
    zero_class_zeroed(&c, &s.rules, 32 * MIB, sim_zero_time(&s, 32 * MIB), s.now);
    cr_expect_eq(c.agreeing, 1);
    zero_class_zeroed(&c, &s.rules, 32 * MIB, 130 * NS_PER_MS, s.now + 130 * NS_PER_MS);
    cr_expect_eq(c.agreeing, 0);
}

// Four times the model, where that is not what was promised any more.
Test(watch, four_times)
{
    learn(&truths[3]); // 20 ms a zero; 16 MiB are written in 67
    forward(&truths[3], 32 * MIB, 32 * MIB, 3.9);
    cr_expect_eq(c.verdict, ZERO_FAST, "78 ms against 128");
    forward(&truths[3], 32 * MIB, 32 * MIB, 4.2);
    cr_expect_eq(c.verdict, ZERO_UNKNOWN);
    learn(&truths[3]);
    forward(&truths[3], 16 * MIB, 16 * MIB, 3.2);
    cr_expect_eq(c.verdict, ZERO_UNKNOWN, "64 ms against 67: no gain");
    learn(&truths[2]); // 1 ms a zero; R of a write of 32 MiB is 38 ms
    forward(&truths[2], 32 * MIB, 32 * MIB, 20);
    cr_expect_eq(c.verdict, ZERO_FAST, "21 ms are still cheap");
}
