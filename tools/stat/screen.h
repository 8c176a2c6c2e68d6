// SPDX-License-Identifier: BSD-3-Clause
// nbdzero-stat top on a terminal: the only place that knows ncurses.
#ifndef STAT_SCREEN_H
#define STAT_SCREEN_H

#include <stdbool.h>

// Until the user quits. An exit code; 1, with a message, where there is no terminal.
int screen_run(const char *socket_path, double every, bool colour, bool utf8);

#endif
