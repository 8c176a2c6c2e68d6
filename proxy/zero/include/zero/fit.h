// SPDX-License-Identifier: BSD-3-Clause
// A line through points of which up to half may be nonsense: t(n) = a + b*n, by Siegel's repeated
// medians (A. F. Siegel, "Robust regression using repeated medians", Biometrika 69, 1982). Times of
// a busy machine are wrong on one side and by any factor; least squares would follow the worst.
#ifndef ZERO_FIT_H
#define ZERO_FIT_H

#include <stdbool.h>
#include <stdint.h>

#define FIT_POINTS 32u // the most; a fit costs the square of it

struct fit_point {
    double n, t;
};

struct fit {
    double a, b; // neither below 0: no operation gets cheaper by being longer, or begins before it
                 // is asked for
    double spread; // median of |t - (a + b*n)|: how far typical points are off
};

// False: fewer than four points, or their n hardly differ (the largest below four times the
// smallest), so that a and b cannot be told apart.
bool fit_line(const struct fit_point *p, unsigned count, struct fit *out);

// Sorts v. Of an even count the mean of the two in the middle; 0 of none.
double fit_median(double *v, unsigned count);

#endif
