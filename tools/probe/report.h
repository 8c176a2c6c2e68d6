// SPDX-License-Identifier: BSD-3-Clause
// The result for people, for machines, and as a bar that grows.
#ifndef PROBE_REPORT_H
#define PROBE_REPORT_H

#include "result.h"

#include <jansson.h>

void report_tables(const struct result *r);

// Owned by the caller; NULL: out of memory.
json_t *report_json(const struct result *r);

// How much of a class is done, 0 to 1.
double report_share(const struct probe *p);
// One line on a terminal's stderr, drawn anew each time; nothing elsewhere.
void report_progress(const struct result *r, const struct probe *p);
void report_progress_end(void);

#endif
