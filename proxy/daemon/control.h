// SPDX-License-Identifier: BSD-3-Clause
// The control socket, on the main ring: conversations with whoever connects. Requests that are too
// long, malformed, slow or too many get a precise error or are closed; nobody waits for them.
#ifndef DAEMON_CONTROL_H
#define DAEMON_CONTROL_H

#include "control_command.h"
#include "inherited.h"

struct control;

// Listens where the configuration says. `means` must outlive it. NULL, with one line in err.
struct control *control_open(struct control_means *means, const struct config *config, char *err,
                             size_t errlen);
// A reload: mode and group of the socket from now on, and whose members may change things. NULL as
// the first is fine.
void control_change(struct control *c, const struct config *next, struct faults *f);
// An upgrade; NULL is fine as the first of all of these. What the successor gets, unless the
// socket's file is gone.
void control_hand(const struct control *c, struct handed *to);
// Whether it accepts; connections wait in the kernel meanwhile.
void control_accept(struct control *c, bool on);
// A socket that came from another process is this one's now: it removes the file in the end.
void control_own(struct control *c);
// Leaves it to the successor. Conversations go on to their end.
void control_leave(struct control *c);
// Ends all conversations and the socket. NULL is fine.
void control_close(struct control *c);

#endif
