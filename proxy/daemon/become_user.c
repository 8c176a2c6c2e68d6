// SPDX-License-Identifier: BSD-3-Clause
#include "become_user.h"

#include "control_peer.h"
#include "memory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void
each_socket(const struct config *c, bool control,
            void (*call)(const struct config *c, const char *path, gid_t group))
{
    gid_t group = c->control_group == NO_GROUP ? c->identity.gid : c->control_group;
    if (control)
        call(c, c->control_socket, group);
    for (unsigned i = 0; i < c->settings->n_listeners; i++) {
        const struct address *a = &c->settings->listeners[i].address;
        if (a->kind == ADDRESS_UNIX)
            call(c, a->path, c->identity.gid);
    }
}

static void
give(const struct config *c, const char *path, gid_t group)
{
    // A link that somebody has put there instead is not followed.
    if (lchown(path, c->identity.uid, group) < 0 && errno != ENOENT)
        log_warn("user: cannot give %s to uid %ld: %s; a reload cannot change its mode", path,
                 (long)c->identity.uid, strerror(errno));
}

static void
check_removable(const struct config *c, const char *path, gid_t group)
{
    (void)c, (void)group;
    char *dir = need_text(*path == '/' ? "%s" : "./%s", path), *slash = strrchr(dir, '/');
    slash[slash == dir] = '\0';
    if (access(dir, W_OK | X_OK) < 0)
        log_warn("%s will stay behind when this process ends, and cannot be replaced by a reload: "
                 "uid %ld may not write to %s; a directory of his own would be right",
                 path, (long)geteuid(), dir);
    free(dir);
}

// All that a reload reads, read as it will be then.
static void
check_readable(const char *file)
{
    struct faults f = {0};
    struct config *again = config_load(file, &f);
    for (size_t i = 0; i < f.n && !again; i++)
        if (!f.list[i].warning)
            log_warn("uid %ld cannot read the configuration again, so that every reload will be "
                     "refused: %s:%u: %s",
                     (long)geteuid(), file, f.list[i].line, f.list[i].text);
    config_free(again);
    faults_clear(&f);
}

bool
become_user(const struct config *c, bool control, const char *file, char *err, size_t errlen)
{
    bool will = privileges_will_drop(&c->identity);
    if (will)
        each_socket(c, control, give);
    if (!privileges_drop(&c->identity, err, errlen))
        return false;
    if (will) {
        each_socket(c, control, check_removable);
        check_readable(file);
    }
    return true;
}
