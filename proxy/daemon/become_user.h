// SPDX-License-Identifier: BSD-3-Clause
// The process becomes the user of its configuration, with what it has opened.
#ifndef DAEMON_BECOME_USER_H
#define DAEMON_BECOME_USER_H

#include "config.h"

// After all sockets are there, `control`: that one, too. Their files go to the user, who is then
// the process; what he may not do that will be needed later is told: read `file`, the
// configuration, and all it names, again, and remove the sockets. False, with one line in err, if
// he cannot be had.
bool become_user(const struct config *c, bool control, const char *file, char *err, size_t errlen);

#endif
