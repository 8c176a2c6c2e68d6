// SPDX-License-Identifier: BSD-3-Clause
#include "curve.h"

#include <math.h>

#define ROUNDS 30 // it stands after ten

// Sums over the points, each weighed by 1/t^2 of the time that is expected.
struct sums {
    double w, n, nn, t, nt;
};

// Gauss and Newton's method for the squares of ln(t / line): near the line so far, that is a line
// through t' = line * (1 + ln(t / line)), in relative terms.
static struct sums
sums_of(const struct curve_point *p, unsigned count, const struct zero_cost *line)
{
    struct sums s = {0};
    for (unsigned i = 0; i < count; i++) {
        double expected = line ? line->a + line->b * p[i].n : p[i].t;
        if (p[i].t <= 0 || expected <= 0)
            continue;
        double t = expected * (1 + log(p[i].t / expected));
        double w = 1 / (expected * expected);
        s.w += w;
        s.n += w * p[i].n;
        s.nn += w * p[i].n * p[i].n;
        s.t += w * t;
        s.nt += w * p[i].n * t;
    }
    return s;
}

static struct zero_cost
solve(const struct sums *s)
{
    if (s->w <= 0)
        return (struct zero_cost){0};
    double spread = s->w * s->nn - s->n * s->n; // 0: all of one size
    if (spread <= 1e-12 * s->w * s->nn)
        return (struct zero_cost){.a = s->t / s->w};
    struct zero_cost c = {.a = (s->nn * s->t - s->n * s->nt) / spread,
                          .b = (s->w * s->nt - s->n * s->t) / spread};
    if (c.a < 0)
        return (struct zero_cost){.b = s->nt / s->nn};
    return c.b < 0 ? (struct zero_cost){.a = s->t / s->w} : c;
}

struct zero_cost
curve_line(const struct curve_point *points, unsigned count)
{
    struct sums s = sums_of(points, count, NULL);
    struct zero_cost c = solve(&s);
    for (unsigned i = 0; i < ROUNDS; i++) {
        s = sums_of(points, count, &c);
        struct zero_cost next = solve(&s);
        if (next.a + next.b <= 0)
            break;
        c = next;
    }
    return c;
}
