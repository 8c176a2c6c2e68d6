// SPDX-License-Identifier: BSD-3-Clause
// nbd-server's INFO says size 0 for every export: it opens the file only on GO. A scout is a
// second, short connection that says GO, to learn what the first should have been told.
#ifndef SESSION_SCOUT_H
#define SESSION_SCOUT_H

#include "dialog.h"

struct scout;

// `done` is called once: `known` tells whether size and flags could be had. NULL: out of memory.
struct scout *scout_send(struct ring *ring, const struct upstream_settings *upstream,
                         struct bytes name,
                         void (*done)(void *ctx, bool known, uint64_t size, uint16_t flags),
                         void *ctx);
// No call comes after this; NULL is fine. Not needed after `done`.
void scout_recall(struct scout *s);

#endif
