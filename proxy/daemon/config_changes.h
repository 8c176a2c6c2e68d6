// SPDX-License-Identifier: BSD-3-Clause
// What is different between two configurations, in words.
#ifndef DAEMON_CONFIG_CHANGES_H
#define DAEMON_CONFIG_CHANGES_H

#include "config_document.h"
#include "faults.h"

// Calls `tell` with a line for each section that is new or gone, and for each key that has another
// value: "[listen a] tls: off -> require". A key that a running process cannot change is a warning
// instead, and gets its old value back in `next`.
void config_changes(struct config_document *old, struct config_document *next,
                    struct faults *warnings, void (*tell)(void *ctx, const char *line), void *ctx);

// Does an upstream of that name lead elsewhere now, or to no place that was known?
bool config_upstream_moved(const struct config_document *old, const struct config_document *next,
                           const char *name);

#endif
