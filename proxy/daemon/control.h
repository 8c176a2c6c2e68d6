// SPDX-License-Identifier: BSD-3-Clause
// The control socket, on the main ring: conversations with whoever connects. Requests that are too
// long, malformed, slow or too many get a precise error or are closed; nobody waits for them.
#ifndef DAEMON_CONTROL_H
#define DAEMON_CONTROL_H

#include "control_command.h"

struct control;

// Listens where the configuration says. `means` must outlive it. NULL, with one line in err.
struct control *control_open(const struct control_means *means, const struct config *config,
                             char *err, size_t errlen);
// A reload: mode and group of the socket from now on, and whose members may change things. NULL as
// the first is fine.
void control_change(struct control *c, const struct config *next, struct faults *f);
// Ends all conversations and the socket. NULL is fine.
void control_close(struct control *c);

#endif
