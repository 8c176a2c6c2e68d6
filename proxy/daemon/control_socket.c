// SPDX-License-Identifier: BSD-3-Clause
#include "control_socket.h"

#include "control_peer.h"
#include "inherited.h"

#include <errno.h>
#include <io/address.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// The group first: with the mode alone the wrong one would come in for a moment.
static bool
set_owner(const char *path, const struct config *c, char *err, size_t errlen)
{
    if (c->control_group != NO_GROUP && chown(path, (uid_t)-1, c->control_group) < 0) {
        snprintf(err, errlen, "cannot give %s the group %ld: %s%s", path, (long)c->control_group,
                 strerror(errno), errno == EPERM ? "; this process must be a member of it" : "");
        return false;
    }
    if (chmod(path, c->control_mode) < 0) {
        snprintf(err, errlen, "cannot give %s the mode %04o: %s", path, c->control_mode,
                 strerror(errno));
        return false;
    }
    return true;
}

int
control_socket_open(const struct config *c, struct socket_file *file, bool *inherited, char *err,
                    size_t errlen)
{
    const char *path = c->control_socket;
    char cause[512];
    struct address a = {.kind = ADDRESS_UNIX};
    snprintf(a.path, sizeof a.path, "%s", path);
    int fd = inherited_get(INHERITED_CONTROL, path);
    *inherited = fd >= 0;
    if (fd >= 0) {
        socket_file_note(file, path);
        return fd;
    }
    if (!make_parent(path, 0755)) {
        snprintf(err, errlen, "control-socket %s: cannot make its directory: %s", path,
                 strerror(errno));
        return -1;
    }
    fd = address_listen(&a, 0600, cause, sizeof cause);
    if (fd < 0) {
        snprintf(err, errlen, "control-socket: %s", cause);
        return -1;
    }
    socket_file_note(file, path);
    if (set_owner(path, c, cause, sizeof cause))
        return fd;
    snprintf(err, errlen, "control-socket: %s", cause);
    socket_file_unlink(file);
    close(fd);
    return -1;
}

void
control_socket_change(const struct socket_file *file, const struct config *next, struct faults *f)
{
    char cause[512];
    if (!*file->path)
        return;
    if (!socket_file_there(file))
        alarm_at(f, 0,
                 "control-socket: somebody has removed %s: nbdzero-stat reaches this process no "
                 "more, until it is restarted",
                 file->path);
    else if (!set_owner(file->path, next, cause, sizeof cause))
        alarm_at(f, 0, "control-socket: %s", cause);
}
