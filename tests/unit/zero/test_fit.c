// SPDX-License-Identifier: BSD-3-Clause
// A line through points of which many are nonsense.
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <math.h>
#include <stdlib.h>
#include <zero/fit.h>

static uint64_t state;

// xorshift64*: the same points in every run.
static double
chance(void)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (double)((state * UINT64_C(0x2545f4914f6cdd1d)) >> 11) / (double)(UINT64_C(1) << 53);
}

static unsigned
make_points(struct fit_point *p, unsigned count, double a, double b, unsigned nonsense)
{
    for (unsigned i = 0; i < count; i++) {
        p[i].n = (double)(1u << 20) * (1 + i % 8);
        p[i].t = a + b * p[i].n;
        if (i < nonsense) // a busy machine: late, by up to a hundredfold
            p[i].t *= 2 + 98 * chance();
    }
    return count;
}

Test(fit, exact_points_give_their_line)
{
    struct fit_point p[FIT_POINTS];
    struct fit f;
    unsigned n = make_points(p, 16, 2e6, 1.5, 0);
    cr_assert(fit_line(p, n, &f));
    cr_assert(fabs(f.b - 1.5) < 1e-9 && fabs(f.a - 2e6) < 1 && f.spread < 1);
}

Test(fit, a_third_of_nonsense_changes_little)
{
    for (state = 1; state < 200; state++) {
        uint64_t seed = state;
        struct fit_point p[FIT_POINTS];
        struct fit f;
        unsigned n = make_points(p, 24, 2e6, 1.5, 8);
        cr_assert(fit_line(p, n, &f));
        cr_assert(fabs(f.b - 1.5) < 0.15, "seed %lu: slope %g", (unsigned long)seed, f.b);
        state = seed;
    }
}

Test(fit, noise_on_every_point_keeps_the_slope)
{
    for (state = 1; state < 200; state++) {
        uint64_t seed = state;
        struct fit_point p[FIT_POINTS];
        struct fit f;
        unsigned n = make_points(p, 32, 1e6, 1.0, 0);
        for (unsigned i = 0; i < n; i++)
            p[i].t *= 1 + 0.2 * chance();
        cr_assert(fit_line(p, n, &f));
        cr_assert(f.b > 0.95 && f.b < 1.25, "seed %lu: slope %g", (unsigned long)seed, f.b);
        cr_assert(f.spread > 0);
        state = seed;
    }
}

Test(fit, neither_cost_is_negative)
{
    struct fit_point falling[] = {{1e6, 9e6}, {2e6, 8e6}, {4e6, 6e6}, {8e6, 2e6}};
    struct fit_point early[] = {{1e6, 0}, {2e6, 1e6}, {4e6, 3e6}, {8e6, 7e6}};
    struct fit f;
    cr_assert(fit_line(falling, 4, &f));
    cr_assert(f.b == 0 && f.a > 0);
    cr_assert(fit_line(early, 4, &f));
    cr_assert(f.a == 0 && fabs(f.b - 1) < 1e-9);
}

Test(fit, refuses_what_cannot_tell_a_from_b)
{
    struct fit_point same[] = {{1e6, 1}, {1e6, 2}, {1e6, 3}, {1e6, 4}};
    struct fit_point near[] = {{1e6, 1}, {2e6, 2}, {3e6, 3}, {3.9e6, 4}};
    struct fit f;
    cr_assert_not(fit_line(same, 4, &f));
    cr_assert_not(fit_line(near, 4, &f));
    cr_assert_not(fit_line(near, 3, &f));
    cr_assert_not(fit_line(near, 0, &f));
}

Test(fit, median)
{
    double odd[] = {5, 1, 3}, even[] = {4, 1, 3, 2};
    cr_assert(fit_median(odd, 3) == 3);
    cr_assert(fit_median(even, 4) == 2.5);
    cr_assert(fit_median(NULL, 0) == 0);
}
