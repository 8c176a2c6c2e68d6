// SPDX-License-Identifier: BSD-3-Clause
// Small things that every part of the tool needs.
#ifndef STAT_SAFE_H
#define STAT_SAFE_H

// Makes text safe for a terminal, in place: control characters and what is no ASCII become "?".
// Returns it.
char *table_safe(char *text);
// p, or the program ends: a tool that has no memory for a table has nothing to say.
void *or_die(void *p);
// Seconds of a clock that nobody sets.
double clock_now(void);

#endif
