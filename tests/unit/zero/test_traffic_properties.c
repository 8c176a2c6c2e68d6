// SPDX-License-Identifier: BSD-3-Clause
// What holds for any traffic at all. A failure names its seed.
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <math.h>
#include <string.h>
#include <zero/fit.h>
#include <zero/traffic.h>

#define MIB   (1u << 20)
#define SEEDS 400u
#define NOW   (20 * NS_PER_MIN)

static const struct zero_rules rules = {
    .policy = ZERO_MEASURE, .ratio = 0.30, .max_zero = 32 * MIB};

static uint64_t state;

// xorshift64*, from a seed that is not 0.
static uint64_t
chance(uint64_t below)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (state * UINT64_C(2685821657736338717) >> 33) % below;
}

static void
seed(unsigned n)
{
    state = (uint64_t)(n + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

// One thing that was seen: an operation or the FLUSH behind such.
struct seen {
    enum traffic_op op;
    bool flush;
    uint64_t n;
    nstime took;
};

static void
tell(struct traffic *t, const struct seen *s, nstime now)
{
    (s->flush ? traffic_saw_flush : traffic_saw)(t, s->op, s->n, s->took, now);
}

struct said {
    enum traffic_says says;
    struct zero_model m;
    unsigned samples;
};

static struct said
judge(const struct traffic *t, bool no_hole, const struct zero_rules *r)
{
    struct said s;
    memset(&s, 0, sizeof s);
    s.says = traffic_judge(t, no_hole, r, NOW, &s.m, &s.samples);
    return s;
}

// Any storage, or none that could be: any times, within 16 minutes.
static struct seen
anything(void)
{
    nstime most = UINT64_C(1) << (1 + chance(40));
    return (struct seen){.op = (enum traffic_op)chance(TRAFFIC_OPS),
                         .flush = chance(3) == 0,
                         .n = chance(8) ? MIB + chance(15 * MIB) : chance(UINT32_MAX),
                         .took = chance(most)};
}

Test(traffic_properties, nothing_makes_fast)
{
    static const struct zero_finding fast = {
        .verdict = ZERO_FAST, .has_model = true, .model = {{0, 1}, {0, 0.01}, 0.01}};
    unsigned spoke = 0;
    for (unsigned i = 0; i < SEEDS; i++) {
        struct traffic t = {0};
        struct zero_class classes[2];
        bool was_fast[2] = {false, chance(2)};
        seed(i);
        for (int k = 0; k < 2; k++) {
            zero_class_begin(&classes[k]);
            for (int n = 0; was_fast[k] && n < 2; n++)
                zero_class_learn(&classes[k], &rules, &fast, NOW);
        }
        for (unsigned j = 0; j < 200; j++) {
            struct seen s = anything();
            tell(&t, &s, NOW - chance(15 * NS_PER_MIN));
            for (int k = 0; k < 2; k++) {
                struct said said = judge(&t, k, &rules);
                spoke += said.says != TRAFFIC_NOTHING;
                zero_class_traffic(&classes[k], said.says, &said.m, said.samples, NOW);
                was_fast[k] &= classes[k].verdict == ZERO_FAST;
                cr_assert(classes[k].verdict != ZERO_FAST || was_fast[k], "seed %u", i);
            }
        }
    }
    cr_assert(spoke > 1000, "%u: it hardly ever says anything", spoke);
}

// A plausible storage: costs a byte and an operation, times up to half as long again.
static unsigned
plausible(struct seen *v, unsigned count)
{
    double fixed = (double)(1000 + chance(2000000));
    double byte[2][TRAFFIC_OPS];
    for (int op = 0; op < TRAFFIC_OPS; op++)
        for (int flush = 0; flush < 2; flush++)
            byte[flush][op] = 0.001 * (double)chance(3000);
    for (unsigned i = 0; i < count; i++) {
        uint64_t n = MIB * (1 + chance(16));
        enum traffic_op op = (enum traffic_op)chance(TRAFFIC_OPS);
        bool flush = chance(2);
        double took = (fixed + byte[flush][op] * (double)n) * (1 + 0.001 * (double)chance(500));
        v[i] = (struct seen){op, flush, n, (nstime)took};
    }
    return count;
}

static struct traffic
all_of(const struct seen *v, unsigned count, nstime scale)
{
    struct traffic t = {0};
    for (unsigned i = 0; i < count; i++) {
        struct seen s = v[i];
        s.took *= scale;
        tell(&t, &s, NOW);
    }
    return t;
}

static bool
near(double a, double b)
{
    return fabs(a - b) <= 1e-9 * fmax(fabs(a), fabs(b));
}

Test(traffic_properties, a_slower_machine_has_the_same_ratios)
{
    static const nstime scales[] = {2, 7, 1000, 100000};
    unsigned spoke = 0;
    for (unsigned i = 0; i < SEEDS; i++) {
        struct seen v[160];
        seed(i);
        struct traffic one = all_of(v, plausible(v, 160), 1);
        for (int k = 0; k < 8; k++) {
            struct traffic slower = all_of(v, 160, scales[k / 2]);
            struct said a = judge(&one, k % 2, &rules), b = judge(&slower, k % 2, &rules);
            cr_assert(a.says == b.says && a.samples == b.samples, "seed %u", i);
            cr_assert(near(a.m.ratio, b.m.ratio), "seed %u: %g, %g", i, a.m.ratio, b.m.ratio);
            cr_assert(near(a.m.zero.b * (double)scales[k / 2], b.m.zero.b), "seed %u", i);
            spoke += a.says != TRAFFIC_NOTHING;
        }
    }
    cr_assert(spoke > SEEDS, "%u", spoke);
}

static void
shuffle(struct seen *v, unsigned count)
{
    for (unsigned i = count; i > 1; i--) {
        unsigned j = (unsigned)chance(i);
        struct seen s = v[i - 1];
        v[i - 1] = v[j];
        v[j] = s;
    }
}

Test(traffic_properties, in_which_order_it_came_does_not_matter)
{
    for (unsigned i = 0; i < SEEDS; i++) {
        struct seen v[3 * FIT_POINTS];
        seed(i);
        plausible(v, 3 * FIT_POINTS);
        for (unsigned j = 0; j < 3 * FIT_POINTS; j++)
            v[j].op = j % 2 ? TRAFFIC_WRITE : TRAFFIC_ZERO, v[j].flush = j % 4 > 1;
        struct traffic before = all_of(v, 3 * FIT_POINTS, 1);
        shuffle(v, 3 * FIT_POINTS);
        struct traffic after = all_of(v, 3 * FIT_POINTS, 1);
        struct said a = judge(&before, false, &rules), b = judge(&after, false, &rules);
        cr_assert(memcmp(&a, &b, sizeof a) == 0, "seed %u", i);
    }
}

// What has been pushed out is as if it had never been.
Test(traffic_properties, only_the_last_ones_count)
{
    for (unsigned i = 0; i < SEEDS; i++) {
        struct seen v[64], last[TRAFFIC_OPS * 2 * FIT_POINTS];
        unsigned count = 0;
        struct traffic long_lived = {0}, fresh = {0};
        seed(i);
        for (unsigned j = 0; j < 300; j++) {
            struct seen s = anything();
            tell(&long_lived, &s, NOW);
        }
        plausible(v, 64);
        for (unsigned op = 0; op < TRAFFIC_OPS * 2; op++)
            for (unsigned j = 0; j < FIT_POINTS; j++) {
                last[count] = v[(op * 7 + j) % 64];
                last[count].op = (enum traffic_op)(op % TRAFFIC_OPS);
                last[count++].flush = op >= TRAFFIC_OPS;
            }
        for (unsigned j = 0; j < count; j++) {
            tell(&long_lived, &last[j], NOW);
            tell(&fresh, &last[j], NOW);
        }
        for (int k = 0; k < 2; k++) {
            struct said a = judge(&long_lived, k, &rules), b = judge(&fresh, k, &rules);
            cr_assert(memcmp(&a, &b, sizeof a) == 0, "seed %u", i);
        }
    }
}

// Repeated medians break down at half of the points: up to that many nonsense times change nothing.
static void
with_outliers(struct traffic *t, enum traffic_op op, bool flush, double byte)
{
    bool bad[FIT_POINTS] = {false};
    unsigned outliers = (unsigned)chance(FIT_POINTS / 2); // at most 15 of 32
    for (unsigned left = outliers; left;) {
        unsigned j = (unsigned)chance(FIT_POINTS);
        left -= !bad[j];
        bad[j] = true;
    }
    for (unsigned j = 0; j < FIT_POINTS; j++) {
        // All lengths differ, so that any two points have a slope.
        uint64_t n = MIB + j * (MIB / 2) + chance(MIB / 4);
        double took = 20000 + byte * (double)n;
        if (bad[j])
            took = (double)chance(UINT64_C(1) << (1 + chance(30)));
        tell(t, &(struct seen){op, flush, n, (nstime)took}, NOW);
    }
}

Test(traffic_properties, less_than_half_of_nonsense_changes_no_verdict)
{
    for (unsigned i = 0; i < SEEDS; i++) {
        struct traffic slow = {0}, fast = {0};
        seed(i);
        for (int flush = 0; flush < 2; flush++) {
            with_outliers(&slow, TRAFFIC_WRITE, flush, 1.0);
            with_outliers(&slow, TRAFFIC_ZERO, flush, 0.9);
            with_outliers(&fast, TRAFFIC_WRITE, flush, 1.0);
            with_outliers(&fast, TRAFFIC_ZERO, flush, 0.01);
        }
        struct said s = judge(&slow, false, &rules);
        cr_assert(s.says == TRAFFIC_SLOW && fabs(s.m.ratio - 0.9) < 0.001, "seed %u: %g", i,
                  s.m.ratio);
        cr_assert(judge(&fast, false, &rules).says == TRAFFIC_NOTHING, "seed %u", i);
    }
}
