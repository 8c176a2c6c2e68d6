// SPDX-License-Identifier: BSD-3-Clause
// nbdzero-probe: what several measurements of a class say together.
#include "votes.h"

#include <criterion/criterion.h>
#include <string.h>

// Of 64K, 1M, 4M, 16M, in ms, with no flush: what writing and zeroing took.
struct times {
    double write[4], zero[4];
};

static const struct times fast = {{1, 4, 16, 64}, {1, 1, 1, 1}},
                          slow = {{1, 4, 16, 64}, {1, 4, 16, 64}},
                          slow_at_1m = {{1, 4, 16, 64}, {1, 9, 1, 1}},
                          slow_at_16m = {{1, 4, 16, 64}, {1, 1, 4.5, 64}},
                          flat = {{50, 50, 50, 51}, {50, 50, 50, 50}},
                          no_gain = {{1, 2, 3, 20}, {60, 60, 60, 60}};

static struct probe
probe_of(const struct times *t, enum zero_verdict verdict, enum probe_why why)
{
    static const unsigned samples[] = {3, 3, 3, 1};
    struct probe p = {.mode = PROBE_RESTORE, .rules.ratio = 0.30, .verdict = verdict, .why = why};
    for (unsigned level = 0; level < 4; level++) {
        p.levels[level].n = samples[level];
        for (unsigned i = 0; i < samples[level]; i++) {
            p.levels[level].took[PROBE_OP_WRITE][i] = (nstime)(t->write[level] * NS_PER_MS);
            p.levels[level].took[PROBE_OP_ZERO][i] = (nstime)(t->zero[level] * NS_PER_MS);
        }
    }
    return p;
}

static bool
doubted(const struct times *t, enum probe_why why)
{
    struct probe p = probe_of(t, ZERO_SLOW, why);
    return votes_doubted(&p);
}

Test(probe_votes, slow_is_doubted_where_a_level_leans_fast)
{
    cr_expect(!doubted(&slow, PROBE_WHY_SLOPE_ANY));
    cr_expect(!doubted(&no_gain, PROBE_WHY_NO_GAIN));
    cr_expect(doubted(&slow_at_1m, PROBE_WHY_SLOPE_ANY));
    cr_expect(doubted(&slow_at_16m, PROBE_WHY_SLOPE_AT_END));
    cr_expect(doubted(&flat, PROBE_WHY_FLAT));
    struct probe p = probe_of(&fast, ZERO_FAST, PROBE_WHY_CHEAP);
    cr_expect(!votes_doubted(&p), "it is not slow");
}

Test(probe_votes, one_slow_zero_among_quick_ones_is_a_doubt)
{
    struct probe p = probe_of(&fast, ZERO_SLOW, PROBE_WHY_SPREAD);
    p.levels[2].took[PROBE_OP_ZERO][1] = 16 * NS_PER_MS;
    p.levels[3].n = 0;
    cr_expect(!probe_level_fast(&p, 2));
    cr_expect(votes_doubted(&p));
}

// 'F' fast, 'S' slow, 'D' slow but doubted, 'U' undecided.
static struct result_class *
class_of(const char *runs)
{
    static struct result_class c;
    memset(&c, 0, sizeof c);
    for (; *runs; runs++) {
        struct result_run *run = &c.runs[c.n_runs++];
        bool is_fast = *runs == 'F';
        run->finding.verdict = is_fast ? ZERO_FAST : *runs == 'U' ? ZERO_UNKNOWN : ZERO_SLOW;
        run->probe = probe_of(*runs == 'S' ? &slow
                              : is_fast    ? &fast
                                           : &slow_at_1m,
                              run->finding.verdict, PROBE_WHY_SLOPE_ANY);
    }
    return &c;
}

Test(probe_votes, when_another_is_needed_and_what_they_say)
{
    static const struct {
        const char *runs;
        unsigned repeat;
        bool again;
        enum zero_verdict verdict; // where not again
    } cases[] = {
        {"S", 5, false, ZERO_SLOW},
        {"D", 5, true, 0},
        {"F", 5, true, 0},
        {"FF", 5, false, ZERO_FAST},
        {"FS", 5, true, 0},
        {"DF", 5, true, 0},
        {"DS", 5, false, ZERO_SLOW},
        {"DD", 5, true, 0},
        {"DDD", 5, true, 0},
        {"DDDD", 5, false, ZERO_SLOW},
        {"DDFS", 5, true, 0},
        {"FSF", 5, false, ZERO_FAST},
        {"FDF", 5, false, ZERO_FAST},
        {"DFF", 5, false, ZERO_FAST},
        {"DDDFF", 5, false, ZERO_FAST},
        {"FSS", 5, false, ZERO_SLOW},
        {"FSDD", 5, true, 0},
        {"FSDF", 5, false, ZERO_FAST},
        {"U", 5, false, ZERO_UNKNOWN},
        {"FU", 5, false, ZERO_UNKNOWN},
        {"DU", 5, false, ZERO_SLOW},
        {"D", 2, false, ZERO_SLOW},
        {"F", 2, true, 0},
        {"FS", 2, false, ZERO_SLOW},
        {"FF", 2, false, ZERO_FAST},
        {"DD", 3, false, ZERO_SLOW},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct result_class *c = class_of(cases[i].runs);
        bool again = votes_again(c, cases[i].repeat);
        cr_expect_eq(again, cases[i].again, "%s of %u", cases[i].runs, cases[i].repeat);
        if (!again)
            cr_expect_eq(votes_verdict(c), cases[i].verdict, "%s of %u", cases[i].runs,
                         cases[i].repeat);
    }
}

Test(probe_votes, what_agrees_is_shown)
{
    struct result_class *c = class_of("DFF");
    c->class.verdict = ZERO_FAST;
    cr_expect_eq(votes_shown(c), &c->runs[1]);
    c->class.verdict = ZERO_SLOW;
    cr_expect_eq(votes_shown(c), &c->runs[0]);
    c->class.verdict = ZERO_UNKNOWN;
    cr_expect_eq(votes_shown(c), &c->runs[0]);
    cr_expect_eq(votes_for(c, ZERO_FAST), 2);
    cr_expect_eq(votes_for(c, ZERO_SLOW), 1);
}
