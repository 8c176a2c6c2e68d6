// SPDX-License-Identifier: BSD-3-Clause
// Ranges that the configuration gives for measuring, as the daemon sees them; worker_scratch()
// measures them.
#ifndef SESSION_SCRATCH_H
#define SESSION_SCRATCH_H

#include <session/settings.h>

// Is there any?
bool scratch_wanted(const struct settings *s);
// For --check: a line for each, in order; *at is 0 at first. False: there is none left.
bool scratch_line(const struct settings *s, unsigned *at, char *line, size_t cap);

#endif
