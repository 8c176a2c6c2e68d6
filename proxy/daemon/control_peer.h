// SPDX-License-Identifier: BSD-3-Clause
// Who is at the other end of a control connection, and what he may have done.
#ifndef DAEMON_CONTROL_PEER_H
#define DAEMON_CONTROL_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define NO_GROUP ((gid_t)-1)

struct control_peer {
    uid_t uid;
    pid_t pid;
    bool may_change;
};

// As the kernel noted him when he connected. Root, our own user and the members of `group`
// (NO_GROUP: none) may change things; everybody else, and whom the kernel does not name, may only
// ask.
struct control_peer control_peer_of(int fd, gid_t group);

// "uid 0, pid 123"; returns buf.
const char *control_peer_text(const struct control_peer *p, char *buf, size_t cap);

// A group by its name or number. False: there is none of that name.
bool group_find(const char *text, gid_t *group);

#endif
