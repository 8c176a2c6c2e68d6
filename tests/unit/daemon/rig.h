// SPDX-License-Identifier: BSD-3-Clause
// Configurations from text, and what is wrong with them.
#ifndef TEST_DAEMON_RIG_H
#define TEST_DAEMON_RIG_H

#include "config.h"

#include <stdbool.h>

// Lines 1 to 5 of a configuration without a fault; more may be put behind.
#define GOOD                                                                                       \
    "[listen main]\n"                                                                              \
    "address = 127.0.0.1:10809\n"                                                                  \
    "upstream = storage\n"                                                                         \
    "[upstream storage]\n"                                                                         \
    "uri = nbd://127.0.0.1:10810\n"
#define GOOD_LINES 5

// The caller frees config and clears faults.
struct config *config_of(const char *text, struct faults *faults);

bool has_fault(const struct faults *f, unsigned line, const char *part);
bool has_warning(const struct faults *f, unsigned line, const char *part);

// The text has exactly one fault: in that line, with that in its text; else the test fails.
void expect_only_fault(const char *text, unsigned line, const char *part);
// The text has no fault at all.
void expect_fine(const char *text);

#endif
