// SPDX-License-Identifier: BSD-3-Clause
// Signals as events of the main ring.
#ifndef DAEMON_SIGNALS_H
#define DAEMON_SIGNALS_H

#include <io/ring.h>

struct signals {
    struct watch watch;
    void (*got)(struct signals *s, int number);
};

// SIGTERM, SIGINT, SIGHUP and SIGUSR2 wait from now on, SIGPIPE is ignored. Before any thread is
// started: threads inherit it.
void signals_block(void);
// Calls `got` on the ring's thread for each. False with errno set.
bool signals_start(struct signals *s, struct ring *r);
void signals_stop(struct signals *s, struct ring *r);

#endif
