// SPDX-License-Identifier: BSD-3-Clause
// What recorded traffic of real servers teaches: nothing wrong, and what is slow soon.
#include "recordings.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <limits.h>
#include <math.h>
#include <zero/native.h>

#define MIB       (1u << 20)
#define FOUND_OUT 64u   // writes and zeroes that ran alone, by then what is slow is known
#define SUCCESSES 1000u // of honest upstreams, at least

static const struct zero_rules rules = {
    .policy = ZERO_MEASURE, .ratio = 0.30, .max_zero = 32 * MIB};

static struct trace traces[RECORDINGS_MOST];
static unsigned count;

static void
begin(void)
{
    count = traces_read(traces);
}

static void
end(void)
{
    traces_free(traces, count);
}

TestSuite(recordings, .init = begin, .fini = end);

static void
judge(struct replay *r, struct zero_class *c, bool no_hole, nstime now)
{
    struct zero_model m;
    unsigned samples = 0;
    enum traffic_says says = traffic_judge(&r->traffic, no_hole, &rules, now, &m, &samples);
    zero_class_traffic(c, says, &m, samples, now);
}

static void
make_fast(struct zero_class *c)
{
    static const struct zero_finding fast = {
        .verdict = ZERO_FAST, .has_model = true, .model = {{0, 1}, {0, 0.01}, 0.01}};
    zero_class_begin(c);
    zero_class_learn(c, &rules, &fast, 1);
    zero_class_learn(c, &rules, &fast, 2);
    cr_assert(c->verdict == ZERO_FAST);
}

Test(recordings, there_are_enough_of_each_kind)
{
    unsigned truths[3] = {0}, load = 0, liars = 0, noisy = 0;
    for (unsigned i = 0; i < count; i++) {
        truths[traces[i].truth[0]]++;
        load += traces[i].load;
        liars += traces[i].liar;
        noisy += traces[i].noisy;
    }
    cr_assert(count >= 20 && load >= 3 && liars >= 1 && noisy <= 2);
    cr_assert(truths[ZERO_SLOW] >= 7 && truths[ZERO_FAST] >= 8);
}

Test(recordings, nothing_is_made_fast)
{
    for (unsigned i = 0; i < count; i++)
        for (int no_hole = 0; no_hole < 2; no_hole++) {
            struct replay r = {0};
            struct zero_class c;
            zero_class_begin(&c);
            for (unsigned j = 0; j < traces[i].count; j++) {
                if (!replay_saw(&r, &traces[i].lines[j]))
                    continue;
                judge(&r, &c, no_hole, replay_now(&traces[i].lines[j]));
                cr_assert(c.verdict != ZERO_FAST, "%s, line %u", traces[i].name, j);
            }
        }
}

Test(recordings, what_is_fast_stays_fast)
{
    for (unsigned i = 0; i < count; i++)
        for (int no_hole = 0; no_hole < 2; no_hole++) {
            const struct trace *t = &traces[i];
            struct replay r = {0};
            struct zero_class c, unknown;
            if (t->truth[no_hole] != ZERO_FAST || t->noisy)
                continue;
            make_fast(&c);
            zero_class_begin(&unknown);
            for (unsigned j = 0; j < t->count; j++) {
                if (!replay_saw(&r, &t->lines[j]))
                    continue;
                judge(&r, &c, no_hole, replay_now(&t->lines[j]));
                judge(&r, &unknown, no_hole, replay_now(&t->lines[j]));
                cr_assert(c.verdict == ZERO_FAST && unknown.verdict == ZERO_UNKNOWN,
                          "%s%s, request %u", t->name, no_hole ? ", no hole" : "", j);
            }
        }
}

// How many requests that taught something it took.
static unsigned
found_out_after(const struct trace *t, struct zero_class *c, bool no_hole)
{
    struct replay r = {0};
    for (unsigned j = 0; j < t->count; j++) {
        if (!replay_saw(&r, &t->lines[j]))
            continue;
        judge(&r, c, no_hole, replay_now(&t->lines[j]));
        if (c->verdict == ZERO_SLOW)
            return r.counted;
    }
    return UINT_MAX;
}

Test(recordings, what_is_slow_is_found_out)
{
    for (unsigned i = 0; i < count; i++)
        for (int no_hole = 0; no_hole < 2; no_hole++) {
            const struct trace *t = &traces[i];
            struct zero_class unknown, fast;
            if (t->truth[no_hole] != ZERO_SLOW || t->asked || t->noisy)
                continue;
            zero_class_begin(&unknown);
            make_fast(&fast);
            unsigned after = found_out_after(t, &unknown, no_hole);
            cr_expect(after <= FOUND_OUT && unknown.source == ZERO_FROM_TRAFFIC, "%s%s: %u",
                      t->name, no_hole ? ", no hole" : "", after);
            // A wrong FAST goes first, and is SLOW the next time.
            after = found_out_after(t, &fast, no_hole);
            cr_expect(after <= FOUND_OUT + 4, "%s%s: %u", t->name, no_hole ? ", no hole" : "",
                      after);
        }
}

// Fits -------------------------------------------------------------------------------------

static bool
slope(const struct traffic_series *s, double *b)
{
    struct fit_point p[FIT_POINTS];
    struct fit f;
    for (unsigned i = 0; i < s->count; i++)
        p[i] = (struct fit_point){(double)s->v[i].n, (double)s->v[i].took};
    bool good = fit_line(p, s->count, &f);
    *b = good ? f.b : 0;
    return good;
}

// False: too few, or all about as long.
static bool
price(const struct traffic *t, enum traffic_op op, double *b)
{
    double operation, flush;
    bool good = slope(&t->ops[op], &operation) && slope(&t->flushes[op], &flush);
    *b = good ? operation + flush : 0;
    return good;
}

// Of 160 steps of somebody's traffic and of an experiment.
static void
compare(const struct trace *t, bool no_hole, double w, double z)
{
    double found = z / w, direct = t->zero[no_hole] / t->write;
    const char *class = no_hole ? ", no hole" : "";
    cr_expect(w > 0.5 * t->write && w < 2 * t->write, "%s%s: %g, not %g", t->name, class, w,
              t->write);
    cr_expect(fabs(found - direct) < 0.1 + 0.35 * direct, "%s%s: %g, not %g", t->name, class, found,
              direct);
}

Test(recordings, slopes_are_those_of_a_controlled_measurement)
{
    unsigned compared = 0;
    for (unsigned i = 0; i < count; i++) {
        const struct trace *t = &traces[i];
        struct replay r = {0};
        double w, z;
        if (t->load || t->asked || t->noisy)
            continue;
        for (unsigned j = 0; j < t->count; j++)
            (void)replay_saw(&r, &t->lines[j]);
        for (int no_hole = 0; no_hole < 2; no_hole++) {
            if (!price(&r.traffic, TRAFFIC_WRITE, &w) ||
                !price(&r.traffic, no_hole ? TRAFFIC_ZERO_NO_HOLE : TRAFFIC_ZERO, &z))
                continue;
            compare(t, no_hole, w, z);
            compared++;
        }
    }
    cr_assert(compared >= 20, "%u", compared);
}

// Upstreams that answer FAST_ZERO themselves -----------------------------------------------

// Successes that were held against the price of a write until it was found out, or all.
static unsigned
successes(const struct trace *t, bool *found_out)
{
    struct replay r = {0};
    struct zero_native native[2];
    unsigned n = 0;
    double write;
    zero_native_begin(&native[0]);
    zero_native_begin(&native[1]);
    *found_out = false;
    for (unsigned j = 0; j < t->count && !*found_out; j++) {
        const struct trace_line *l = &t->lines[j];
        (void)replay_saw(&r, l);
        if (!l->fast || l->error || l->others ||
            !traffic_write_time(&r.traffic, l->n, replay_now(l), &write))
            continue;
        n++;
        *found_out =
            zero_native_succeeded(&native[l->no_hole], (double)l->took, write, replay_now(l));
    }
    return n;
}

Test(recordings, liars_are_found_out_and_nobody_else)
{
    unsigned honest = 0;
    for (unsigned i = 0; i < count; i++) {
        bool found_out;
        unsigned n = traces[i].asked ? successes(&traces[i], &found_out) : 0;
        if (!traces[i].asked)
            continue;
        cr_assert(found_out == traces[i].liar, "%s after %u", traces[i].name, n);
        // Three of one class: of the other there may have been two before.
        cr_assert(n <= 5 || !found_out, "%s after %u", traces[i].name, n);
        honest += found_out ? 0 : n;
    }
    cr_assert(honest >= SUCCESSES, "%u", honest);
}
