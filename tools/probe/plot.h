// SPDX-License-Identifier: BSD-3-Clause
// The result as a picture. Drawn by gnuplot, which knows axes, ticks and legends better than we
// would, and is needed only where a picture is wanted.
#ifndef PROBE_PLOT_H
#define PROBE_PLOT_H

#include "result.h"

#include <stdio.h>

// Is gnuplot there, and may the file be written? Asked before anything is measured. False: err is
// one line.
bool plot_possible(const char *path, char *err, size_t errlen);
bool plot(const struct result *r, const char *path, char *err, size_t errlen);

// What gnuplot is told: data and all.
void plot_script(FILE *to, const struct result *r);

#endif
