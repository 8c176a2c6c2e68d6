// SPDX-License-Identifier: BSD-3-Clause
// Measures one scratch area whenever a verdict is due.
#ifndef SESSION_PROBER_H
#define SESSION_PROBER_H

#include "scratch_area.h"

struct worker;
struct prober;

// What the area points to must outlive it. NULL: out of memory.
struct prober *prober_new(struct worker *w, const struct scratch_area *area);
// At once, whatever is in work.
void prober_free(struct prober *p);

#endif
