// SPDX-License-Identifier: BSD-3-Clause
// What systemd is told (sd_notify(3)): started, reloading, stopping, and a line of status. Where
// there is no $NOTIFY_SOCKET nothing happens. Everything here is called on the main ring's thread.
#ifndef DAEMON_NOTIFY_H
#define DAEMON_NOTIFY_H

#include "listeners.h"

#include <io/ring.h>
#include <sys/types.h>

struct notifier {
    struct ring *ring;
    const struct listeners *listeners; // NULL until there are some
    struct timer timer;                // renews the status, or asks for more time to end
    char told[128];                    // the last status
    nstime ends_at;                    // while draining: when that is over at the latest; 0: never
    bool quiet;                        // another process speaks for the service now
};

// READY=1, from now on with the status of these listeners.
void notify_ready(struct notifier *n);
// Between these two systemd waits. `refused`: nothing has changed, and the status says so.
void notify_reloading(struct notifier *n);
void notify_reloaded(struct notifier *n, bool refused);
// STOPPING=1. Until `deadline` is over systemd is asked for more time every few seconds; 0: it has
// only what it gives by itself.
void notify_stopping(struct notifier *n, nstime deadline);
// The process that is the service's from now on; this one says nothing more.
void notify_successor(struct notifier *n, pid_t pid);
// The watchdog's food.
void notify_alive(const struct notifier *n);

#endif
