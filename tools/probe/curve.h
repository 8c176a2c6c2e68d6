// SPDX-License-Identifier: BSD-3-Clause
// A line through what was measured at all levels. The verdict rests on two levels, as it does in
// the daemon; this is to show, and to foretell other sizes by. Pure.
#ifndef PROBE_CURVE_H
#define PROBE_CURVE_H

#include <zero/class.h>

struct curve_point {
    double n, t; // bytes, ns
};

// t(n) = a + b*n with the least squares of ln(t): 64 KiB counts as much as 64 MiB, and twice as
// much as half. Neither a nor b below 0. No point: all 0.
struct zero_cost curve_line(const struct curve_point *points, unsigned count);

#endif
