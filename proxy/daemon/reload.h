// SPDX-License-Identifier: BSD-3-Clause
// Reload: the configuration is read anew while the process runs. Everything here is called on the
// main ring's thread.
#ifndef DAEMON_RELOAD_H
#define DAEMON_RELOAD_H

#include "config.h"
#include "listeners.h"
#include "metrics.h"
#include "notify.h"
#include "options.h"

#include <jansson.h>

struct control;
struct upgrade;

struct reload {
    const struct options *options;
    struct config *config; // the one at hand; owned
    struct listeners *listeners;
    struct workers *workers;
    struct metrics *metrics;
    struct notifier *notifier;
    struct control *control; // NULL: none
    const struct upgrade *upgrade; // NULL: there is none
    unsigned threads;
    const char *over; // why nothing is reloaded any more; NULL: it is
};

// New connections get what the file says now, running ones keep what they began with. If anything
// is wrong nothing has changed, and the log says what. The reply of the control protocol to whoever
// asked for it, a new reference: {"result": {"changes": [...], "warnings": [...]}} or
// {"error": "...", "faults": [...]}; NULL: out of memory for the reply, the reload is done or not
// all the same.
json_t *reload_now(struct reload *r);

#endif
