// SPDX-License-Identifier: BSD-3-Clause
// Commands that change the daemon: what is sent, and what is said of the answer.
#ifndef STAT_ORDERS_H
#define STAT_ORDERS_H

#include "ask.h"
#include "command_line.h"

#include <stdio.h>

// Each returns an exit code.
int order_reload(const struct command_line *a);
int order_drain(const struct command_line *a);
int order_upgrade(const struct command_line *a);
int order_verdict(const struct command_line *a);
int order_log_level(const struct command_line *a);

// What is wrong with their words, before anybody is asked; NULL: nothing.
const char *order_verdict_fault(char **words);
const char *order_log_level_fault(char **words);

// Says what came of it: `done` first, then the changes and warnings that the answer holds; or the
// faults and the error.
void order_print(const struct answer *a, const char *done, FILE *out, FILE *err);

#endif
