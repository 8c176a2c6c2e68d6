// SPDX-License-Identifier: BSD-3-Clause
// What process.c and process_upgrade.c share.
#ifndef DAEMON_PROCESS_INSIDE_H
#define DAEMON_PROCESS_INSIDE_H

#include "collector.h"
#include "control.h"
#include "reload.h"
#include "signals.h"
#include "state_keeper.h"
#include "upgrade.h"
#include "watchdog.h"

struct process {
    struct signals signals; // first: see got_signal()
    struct reload reload;   // with the configuration
    struct ring *ring;
    struct registry *registry;
    struct workers *workers;
    struct listeners *listeners;
    struct state_keeper *state;
    struct notifier notifier;
    struct watchdog *watchdog;
    struct collector collector;
    struct metrics *metrics;
    struct control_means means;
    struct control_counts control_counts;
    struct upgrade upgrade;
    struct timer leaving; // after an upgrade: looks whether anybody is still served
    nstime leaves_at;     // then at the latest; 0: never
    char over[64];        // see struct reload
    struct timer give_up;
    unsigned ends_asked; // how often we were asked to end
    bool resolving;
};

// Drains, and ends; asked a second time, at once. `why`: for the log.
void process_ends(struct process *p, const char *why);
// Lets this process be upgraded.
void process_upgradable(struct process *p);
// All inherited sockets are this process's now; those that nobody wants are closed.
void process_own_sockets(struct process *p);

#endif
