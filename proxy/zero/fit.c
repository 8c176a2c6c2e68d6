// SPDX-License-Identifier: BSD-3-Clause
#include <zero/fit.h>

#include <math.h>

#define FEWEST 4u
#define REACH  4.0 // the largest n is at least so many times the smallest

// By insertion: never more than FIT_POINTS values.
static void
sort(double *v, unsigned count)
{
    for (unsigned i = 1; i < count; i++) {
        double x = v[i];
        unsigned at = i;
        for (; at > 0 && v[at - 1] > x; at--)
            v[at] = v[at - 1];
        v[at] = x;
    }
}

double
fit_median(double *v, unsigned count)
{
    if (!count)
        return 0;
    sort(v, count);
    return (v[(count - 1) / 2] + v[count / 2]) / 2;
}

static bool
reaches(const struct fit_point *p, unsigned count)
{
    double least = p[0].n, most = p[0].n;
    for (unsigned i = 1; i < count; i++) {
        least = p[i].n < least ? p[i].n : least;
        most = p[i].n > most ? p[i].n : most;
    }
    return least > 0 && most >= REACH * least;
}

// The median slope from one point to all others; false: all others have its n.
static bool
slope_from(const struct fit_point *p, unsigned count, unsigned from, double *slope)
{
    double v[FIT_POINTS];
    unsigned n = 0;
    for (unsigned i = 0; i < count; i++)
        if (p[i].n != p[from].n)
            v[n++] = (p[i].t - p[from].t) / (p[i].n - p[from].n);
    *slope = fit_median(v, n);
    return n;
}

static double
median_of_rest(const struct fit_point *p, unsigned count, double a, double b, bool absolute)
{
    double v[FIT_POINTS];
    for (unsigned i = 0; i < count; i++) {
        double rest = p[i].t - (a + b * p[i].n);
        v[i] = absolute ? fabs(rest) : rest;
    }
    return fit_median(v, count);
}

bool
fit_line(const struct fit_point *p, unsigned count, struct fit *out)
{
    double slopes[FIT_POINTS];
    unsigned n = 0;
    if (count < FEWEST || count > FIT_POINTS || !reaches(p, count))
        return false;
    for (unsigned i = 0; i < count; i++)
        n += slope_from(p, count, i, &slopes[n]);
    double b = fmax(fit_median(slopes, n), 0);
    double a = fmax(median_of_rest(p, count, 0, b, false), 0);
    *out = (struct fit){.a = a, .b = b, .spread = median_of_rest(p, count, a, b, true)};
    return true;
}
