// SPDX-License-Identifier: BSD-3-Clause
// Measures scratch areas, each over a connection of its own: at the start, and when verdicts age
// while somebody uses the server. On a worker without sessions; clients' I/O waits for nothing but
// the range itself, while a chunk of it is in work.
#ifndef SESSION_SCRATCHING_H
#define SESSION_SCRATCHING_H

#include <session/settings.h>

struct worker;
struct scratching;

// Begins with the areas of these settings, of which it takes a reference. NULL: out of memory.
struct scratching *scratch_begin(struct worker *w, struct settings *settings);
// At once: what is in work is given up, whatever the areas hold then. NULL is none.
void scratch_end(struct scratching *s);

#endif
