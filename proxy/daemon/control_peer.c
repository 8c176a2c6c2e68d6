// SPDX-License-Identifier: BSD-3-Clause
#include "control_peer.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define NOBODY ((uid_t)-1)

// The groups beside his first one.
static bool
is_member(int fd, gid_t group)
{
    gid_t few[64], *groups = few;
    socklen_t len = sizeof few;
    int rc = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len);
    if (rc < 0 && errno == ERANGE) { // len says how many bytes there are
        groups = malloc(len);
        rc = groups ? getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) : -1;
    }
    bool found = false;
    for (size_t i = 0; rc == 0 && i < len / sizeof *groups; i++)
        found |= groups[i] == group;
    if (groups != few)
        free(groups);
    return found;
}

struct control_peer
control_peer_of(int fd, gid_t group)
{
    struct ucred who;
    socklen_t len = sizeof who;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0)
        return (struct control_peer){.uid = NOBODY};
    return (struct control_peer){
        .uid = who.uid,
        .pid = who.pid,
        .may_change = who.uid == 0 || who.uid == geteuid() ||
                      (group != NO_GROUP && (who.gid == group || is_member(fd, group))),
    };
}

const char *
control_peer_text(const struct control_peer *p, char *buf, size_t cap)
{
    snprintf(buf, cap, "uid %ld, pid %ld", p->uid == NOBODY ? -1L : (long)p->uid, (long)p->pid);
    return buf;
}

bool
group_find(const char *text, gid_t *group)
{
    char *end;
    errno = 0;
    unsigned long number = strtoul(text, &end, 10);
    if (*text >= '0' && *text <= '9' && !*end) {
        *group = (gid_t)number;
        return errno == 0 && number < NO_GROUP;
    }
    const struct group *g = getgrnam(text); // only the main thread looks for one
    if (g)
        *group = g->gr_gid;
    return g;
}
