// SPDX-License-Identifier: BSD-3-Clause
// The control socket, on the main ring. Requests that are too long, malformed, slow or too many get
// a precise error or are closed; nobody waits for them.
#ifndef DAEMON_CONTROL_H
#define DAEMON_CONTROL_H

#include "collector.h"
#include "reload.h"

struct control;

// Listens on `path`, which is created as needed, mode 0600. NULL, with one line in err.
struct control *control_open(struct ring *ring, struct collector *collector, struct reload *reload,
                             const char *path, char *err, size_t errlen);
// Ends all conversations and the socket.
void control_close(struct control *c);

#endif
