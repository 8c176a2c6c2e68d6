// SPDX-License-Identifier: BSD-3-Clause
// All of it, from the first byte to the last: connect, look, measure each class, and end without
// leaving anything altered.
#ifndef PROBE_MEASURE_H
#define PROBE_MEASURE_H

#include "result.h"
#include "target.h"

// Blocks SIGINT, SIGTERM and SIGHUP for good; before the first thread.
void measure_block_signals(void);

// False: result->trouble says why, and what there is of the rest is valid. `progress` may be NULL;
// called after each chunk.
bool measure(const struct arguments *a, const struct target *t, struct result *result,
             void (*progress)(const struct result *r, const struct probe *p));

#endif
