// SPDX-License-Identifier: BSD-3-Clause
// nbdzero-stat check: one line and an exit code, as monitoring systems ask their plugins.
#ifndef STAT_CHECK_H
#define STAT_CHECK_H

#include "ask.h"

#include <time.h>

enum check_level { CHECK_OK, CHECK_WARNING, CHECK_CRITICAL, CHECK_UNKNOWN }; // exit codes

#define CHECK_LINE 4096

// The worst that is the matter goes first, and names the line; everything else that is follows.
enum check_level check_answer(const struct answer *a, time_t now, char line[CHECK_LINE]);

#endif
