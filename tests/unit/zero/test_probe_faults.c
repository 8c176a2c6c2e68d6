// SPDX-License-Identifier: BSD-3-Clause
// A probe in which something goes wrong at every step in turn. sim_run() checks contents and
// durability against the ending, and that an errored probe teaches nothing.
#include "sim.h"
#include "truths.h"
#include <criterion/criterion.h>
#include <stdio.h>

#define FAST_ONE &truths[2]
static struct sim s;
static struct probe p;

static void
begin(void)
{
    sim_begin(&s, FAST_ONE, 1);
}

static unsigned
all_ops(enum probe_mode mode)
{
    begin();
    sim_run(&s, &p, mode, SIM_WHOLE, "undisturbed");
    cr_assert_eq(p.ending, PROBE_PROCEED);
    return s.ops;
}

static void
fail_each(enum probe_mode mode, unsigned count, uint32_t error, enum sim_effect effect)
{
    unsigned all = all_ops(mode);
    for (unsigned at = 1; at <= all; at++) {
        char what[64];
        snprintf(what, sizeof what, "error %u x%u at %u, effect %d", error, count, at, (int)effect);
        begin();
        s.fail_at = at;
        s.fail_count = count;
        s.error = error;
        s.effect = effect;
        sim_run(&s, &p, mode, SIM_WHOLE, what);
        bool hit = s.matching >= at;
        cr_assert(!hit || p.ending != PROBE_PROCEED, "%s: went on", what);
        cr_assert(count > 1 || p.ending != PROBE_DAMAGED, "%s: one error is made good", what);
        cr_assert_eq(p.no_space, hit && probe_finding(&p).error && error == PROBE_ENOSPC, "%s",
                     what);
    }
}

Test(probe_faults, one_error_anywhere)
{
    for (int effect = SIM_NOTHING; effect <= SIM_ALL; effect++) {
        fail_each(PROBE_RESTORE, 1, 5, (enum sim_effect)effect);
        fail_each(PROBE_RESTORE, 1, PROBE_ENOSPC, (enum sim_effect)effect);
        fail_each(PROBE_TEACH, 1, 5, (enum sim_effect)effect);
    }
}

Test(probe_faults, errors_from_anywhere_on)
{
    for (int effect = SIM_NOTHING; effect <= SIM_ALL; effect++) {
        fail_each(PROBE_RESTORE, 2, 5, (enum sim_effect)effect);
        fail_each(PROBE_RESTORE, 3, 5, (enum sim_effect)effect);
        fail_each(PROBE_RESTORE, 100000, 5, (enum sim_effect)effect);
    }
}

// From some WRITE on every one fails: that chunk, and no other, is reported damaged, after one
// second of trying and not before.
Test(probe_faults, write_back_fails_for_good)
{
    all_ops(PROBE_RESTORE);
    unsigned writes = s.writes;
    for (unsigned at = 1; at <= writes; at++) {
        begin();
        s.fail_at = at;
        s.fail_count = 100000;
        s.fail_only = PROBE_WANT_WRITE;
        s.fail_only_set = true;
        s.error = PROBE_ENOSPC;
        sim_run(&s, &p, PROBE_RESTORE, SIM_WHOLE, "write-back");
        cr_assert_eq(p.ending, PROBE_DAMAGED);
        cr_assert(p.damaged.offset == s.zeroed.offset && p.damaged.length == s.zeroed.length);
        cr_assert(p.no_space);
        nstime tried = s.last_write_start - s.first_write_failure;
        cr_assert(tried > NS_PER_SEC / 2 && tried <= NS_PER_SEC + 100 * NS_PER_MS, "%llu ms",
                  (unsigned long long)(tried / NS_PER_MS));
        cr_assert_gt(s.writes, at + 4);
    }
}

// The space comes back after half a second: the chunk is whole again, and the client just gets
// ENOTSUP.
Test(probe_faults, write_back_succeeds_late)
{
    begin();
    s.fail_at = 2;
    s.fail_count = 5; // 10 + 20 + 40 + 80 + 160 ms
    s.fail_only = PROBE_WANT_WRITE;
    s.fail_only_set = true;
    sim_run(&s, &p, PROBE_RESTORE, SIM_WHOLE, "late");
    cr_expect_eq(p.ending, PROBE_REFUSED);
    cr_expect(probe_finding(&p).error);
    cr_expect_eq(s.writes, 7);
}

// A flush that fails once has forgotten what was dirty: the chunk is written again before the next
// one, and the failure is owed to the other writers.
Test(probe_faults, flush_after_write_back_fails)
{
    begin();
    s.fail_at = 3; // first, after the zero, after the write
    s.fail_count = 1;
    s.fail_only = PROBE_WANT_FLUSH;
    s.fail_only_set = true;
    sim_run(&s, &p, PROBE_RESTORE, SIM_WHOLE, "flush");
    cr_expect_eq(s.writes, 2);
    cr_expect_eq(p.ending, PROBE_REFUSED);
    cr_expect(p.flush_owed);

    begin();
    s.fail_at = 3;
    s.fail_count = 100000;
    s.fail_only = PROBE_WANT_FLUSH;
    s.fail_only_set = true;
    sim_run(&s, &p, PROBE_RESTORE, SIM_WHOLE, "flush for good");
    cr_expect_eq(p.ending, PROBE_DAMAGED);
    cr_expect(p.flush_owed);
}

Test(probe_faults, first_flush)
{
    begin();
    s.slow_first_flush = 101 * NS_PER_MS;
    sim_run(&s, &p, PROBE_RESTORE, SIM_WHOLE, "late");
    cr_expect_eq(s.ops, 1, "nothing else happens");
    cr_expect_eq(p.ending, PROBE_REFUSED);
    cr_expect(!probe_finding(&p).error, "late is not an error");
    cr_expect(!p.flush_owed);

    begin();
    s.fail_at = s.fail_count = 1;
    sim_run(&s, &p, PROBE_RESTORE, SIM_WHOLE, "failed");
    cr_expect_eq(s.ops, 1);
    cr_expect(probe_finding(&p).error && p.flush_owed);
}

Test(probe_faults, guard_is_late)
{
    begin();
    s.slow_guard = 51 * NS_PER_MS;
    sim_run(&s, &p, PROBE_RESTORE, SIM_WHOLE, "guard");
    cr_expect_eq(s.ops, 3, "FLUSH, GUARD, UNGUARD");
    cr_expect_eq(p.ending, PROBE_REFUSED);
    cr_expect(!probe_finding(&p).error);
    cr_expect_eq(probe_finding(&p).verdict, ZERO_UNKNOWN);
}

// Whatever a failed zero has done: nothing comes between it and the write-back.
Test(probe_faults, zero_fails)
{
    begin();
    s.fail_at = s.fail_count = 1;
    s.fail_only = PROBE_WANT_ZERO;
    s.fail_only_set = true;
    s.effect = SIM_HALF;
    sim_run(&s, &p, PROBE_RESTORE, SIM_WHOLE, "zero");
    cr_expect(s.zeroes == 1 && s.writes == 1 && s.checks == 0);
    cr_expect_eq(s.flushes, 2, "the first, and behind the write-back");
    cr_expect_eq(p.ending, PROBE_REFUSED);
}

Test(probe_faults, zero_that_does_not_zero)
{
    begin();
    s.zero_lies = true;
    sim_run(&s, &p, PROBE_RESTORE, SIM_WHOLE, "liar");
    cr_expect_eq(s.zeroes, 1);
    cr_expect(probe_finding(&p).error);
    cr_expect_eq(p.ending, PROBE_REFUSED);
}

// SIGTERM at every step: the chunk in work is finished, no other is begun, nothing is decided.
Test(probe_faults, abort_at_every_step)
{
    for (int mode = PROBE_RESTORE; mode <= PROBE_TEACH; mode++) {
        unsigned all = all_ops((enum probe_mode)mode);
        for (unsigned at = 1; at <= all; at++) {
            begin();
            s.abort_at = at;
            sim_run(&s, &p, (enum probe_mode)mode, SIM_WHOLE, "abort");
            cr_assert_eq(p.ending, PROBE_REFUSED, "aborted at %u", at);
            cr_assert_leq(s.ops, at + 4, "aborted at %u, ended at %u", at, s.ops);
        }
    }
}

// Before the zero was handed out, an abort keeps it from being sent at all.
Test(probe_faults, abort_before_the_zero)
{
    begin();
    probe_begin(&p, PROBE_RESTORE, &s.rules, SIM_WHOLE, 0, false, s.now);
    struct probe_outcome good = {.clean = true, .took = 1000};
    for (unsigned i = 0; i < 3; i++) // FLUSH, GUARD, READ
        probe_report(&p, &good, s.now);
    probe_abort(&p);
    cr_expect_eq(probe_next(&p, s.now).want, PROBE_WANT_UNGUARD);
    probe_report(&p, &good, s.now);
    cr_expect_eq(probe_next(&p, s.now).want, PROBE_WANT_FINISH);
    cr_expect_eq(p.ending, PROBE_REFUSED);
}

Test(probe_faults, abort_and_then_errors)
{
    unsigned all = all_ops(PROBE_RESTORE);
    for (unsigned at = 1; at <= all; at++) {
        begin();
        s.abort_at = at;
        s.fail_at = at;
        s.fail_count = 2;
        sim_run(&s, &p, PROBE_RESTORE, SIM_WHOLE, "abort and error");
        cr_assert_eq(p.ending, PROBE_REFUSED, "at %u", at);
    }
}

// The client leaves while a zero is out: written back if that can start within a second, else given
// up.
Test(probe_faults, client_gone)
{
    unsigned all = all_ops(PROBE_RESTORE);
    for (unsigned at = 1; at <= all; at++) {
        begin();
        s.gone_at = at;
        sim_run(&s, &p, PROBE_RESTORE, SIM_WHOLE, "gone");
        cr_assert_eq(p.ending, PROBE_REFUSED, "gone at %u", at);
        cr_assert_leq(s.ops, at + 4);
    }
    for (int late = 0; late < 2; late++) {
        begin();
        probe_begin(&p, PROBE_RESTORE, &s.rules, SIM_WHOLE, 0, false, s.now);
        struct probe_outcome good = {.clean = true, .took = 1000};
        for (unsigned i = 0; i < 3; i++)
            probe_report(&p, &good, s.now);
        cr_assert_eq(probe_next(&p, s.now).want, PROBE_WANT_ZERO);
        probe_client_gone(&p, s.now);
        probe_report(&p, &good, s.now + NS_PER_SEC + (late ? 1 : 0));
        enum probe_want want = probe_next(&p, s.now).want;
        cr_expect_eq(want, late ? PROBE_WANT_UNGUARD : PROBE_WANT_WRITE);
        cr_expect_eq(p.ending, late ? PROBE_DAMAGED : PROBE_REFUSED);
    }
}

// The upstream goes away with an operation out: DAMAGED from the zero's sending to the flush behind
// its write-back, REFUSED otherwise.
Test(probe_faults, upstream_lost_at_every_step)
{
    for (int mode = PROBE_RESTORE; mode <= PROBE_TEACH; mode++) {
        unsigned all = all_ops((enum probe_mode)mode), damaged = 0;
        for (unsigned at = 1; at <= all; at++) {
            begin();
            s.lost_at = at;
            sim_run(&s, &p, (enum probe_mode)mode, SIM_WHOLE, "lost");
            cr_assert_eq(s.ops, at, "nothing is asked for afterwards");
            cr_assert_neq(p.ending, PROBE_PROCEED);
            cr_assert(probe_finding(&p).error);
            if (p.ending == PROBE_DAMAGED) {
                damaged++;
                cr_assert(p.damaged.offset == s.zeroed.offset &&
                          p.damaged.length == s.zeroed.length);
            }
        }
        // ZERO, FLUSH, WRITE, FLUSH of ten chunks, and one CHECK.
        cr_expect_eq(damaged, mode == PROBE_RESTORE ? 41 : 0, "damaged at %u steps", damaged);
    }
}
