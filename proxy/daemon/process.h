// SPDX-License-Identifier: BSD-3-Clause
// The running process: what is started in which order, and how it ends.
#ifndef DAEMON_PROCESS_H
#define DAEMON_PROCESS_H

#include "config.h"
#include "options.h"

// Serves until it is asked to end. 0, or 1 if it could not start: the log has said why. The log
// runs, signals are blocked, no other thread of ours does. Takes `config` over; the options say
// where it came from.
int process_run(struct config *config, const struct options *options);

#endif
