// SPDX-License-Identifier: BSD-3-Clause
// Root, and what is left of it: sockets and files that only root can have are opened first, then
// the process becomes the user of the configuration, for good.
#ifndef DAEMON_PRIVILEGES_H
#define DAEMON_PRIVILEGES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct run_as {
    bool given;
    uid_t uid;
    gid_t gid;
    char *name; // owned; of the user as the system knows him. NULL: by number only
};

// Before the first thread, since these go by thread: nothing that is executed gains privileges, and
// of capabilities nothing outlasts the change of the user. Who is not root gives up at once what
// he was given: ports below 1024 come from systemd, or from a start as root.
void privileges_begin(const struct run_as *id);

// Whether privileges_drop() will change the user.
bool privileges_will_drop(const struct run_as *id);

// Becomes that user, all threads of it, and makes sure that there is no way back. Nothing happens
// where he is who runs us. False, with one line in err, if it cannot be.
bool privileges_drop(const struct run_as *id, char *err, size_t errlen);

// To be put behind a message of something that failed with `error`: " (needs a restart: ...)" where
// that is for want of the root that was given up; else "".
const char *privileges_hint(int error);

#endif
