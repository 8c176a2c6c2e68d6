// SPDX-License-Identifier: BSD-3-Clause
// Prints tables, once or again and again.
#ifndef STAT_WATCH_H
#define STAT_WATCH_H

#include "command_line.h"
#include "views.h"

// An exit code. With --watch it ends when it is ended, or when nobody reads what it prints.
int watch(const struct command_line *a, view_function *view);
// What stdout takes.
bool watch_colour(const struct command_line *a);
bool watch_utf8(void);

#endif
