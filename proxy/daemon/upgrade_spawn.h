// SPDX-License-Identifier: BSD-3-Clause
// Starting a program with sockets, as systemd does it.
#ifndef DAEMON_UPGRADE_SPAWN_H
#define DAEMON_UPGRADE_SPAWN_H

#include "inherited.h"

#include <sys/types.h>

// The program gets the sockets from descriptor 3 on with $LISTEN_FDS and $LISTEN_FDNAMES, behind
// them one end of a channel ($NBDZERO_UPGRADE, see successor.h), the rest of our environment, our
// standard streams, and nothing else. Returns its PID and our end, non-blocking; -1, with one line
// in err.
pid_t upgrade_spawn(const char *path, char *const *argv, const struct handed *sockets, int *channel,
                    char *err, size_t errlen);

#endif
