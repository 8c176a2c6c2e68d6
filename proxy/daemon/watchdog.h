// SPDX-License-Identifier: BSD-3-Clause
// systemd's watchdog (WatchdogSec=), fed by the workers' own progress: four times in its interval
// each worker is sent a letter, and only if all letters of the last time have come back is it fed.
// A worker that has stopped turning its loop is named in the log, and systemd does what the unit
// says.
#ifndef DAEMON_WATCHDOG_H
#define DAEMON_WATCHDOG_H

#include "notify.h"
#include "workers.h"

struct watchdog;

// The rule, alone: which of n workers keep the watchdog from being fed. `out`: their letters have
// not come back. Returns the first at `from` or later, or n.
unsigned watchdog_next_stuck(const bool *out, unsigned n, unsigned from);

// Begins, if systemd wants to be told; else NULL. `main` is the ring of `workers` and notifier. It
// is freed after the workers have been.
struct watchdog *watchdog_start(struct ring *main, struct workers *workers,
                                const struct notifier *notifier);
// Feeds no more. NULL is fine.
void watchdog_stop(struct watchdog *d);
void watchdog_free(struct watchdog *d);

#endif
