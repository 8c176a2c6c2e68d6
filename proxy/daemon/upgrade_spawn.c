// SPDX-License-Identifier: BSD-3-Clause
// posix_spawn(3), not fork(): this process has many threads and perhaps much memory, and the
// workers must not wait while that is copied.
#include "upgrade_spawn.h"

#include "memory.h"
#include "successor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FIRST 3 // SD_LISTEN_FDS_START

// Of sockets, not of other variables.
static const char *const replaced[] = {
    "LISTEN_PID=",   "LISTEN_FDS=",        "LISTEN_FDNAMES=",
    "WATCHDOG_PID=", UPGRADE_VARIABLE "=", UPGRADE_STATE_DIR "="};

static bool
is_replaced(const char *variable)
{
    for (size_t i = 0; i < sizeof replaced / sizeof replaced[0]; i++)
        if (strncmp(variable, replaced[i], strlen(replaced[i])) == 0)
            return true;
    return false;
}

static char *
names_of(const struct handed *h)
{
    char *all = need_text("LISTEN_FDNAMES=");
    for (unsigned i = 0; i < h->n; i++) {
        char *more = need_text("%s%s%s", all, i ? ":" : "", h->names[i]);
        free(all);
        all = more;
    }
    return all;
}

static char **
environment(const struct handed *h)
{
    size_t n = 0, kept = 0;
    while (environ[n])
        n++;
    char **list = need_zeroed(n + 5, sizeof *list);
    for (size_t i = 0; i < n; i++)
        if (!is_replaced(environ[i]))
            list[kept++] = need_copy(environ[i]);
    list[kept++] = need_text("LISTEN_FDS=%u", h->n);
    list[kept++] = names_of(h);
    list[kept++] = need_text(UPGRADE_STATE_DIR "=%s", h->state_dir ? h->state_dir : "");
    list[kept] = need_text(UPGRADE_VARIABLE "=%u", FIRST + h->n);
    return list;
}

static void
free_list(char **list)
{
    for (char **p = list; *p; p++)
        free(*p);
    free(list);
}

// Copies that are out of the way of where they shall be in the child.
static bool
move_up(const struct handed *h, int channel, int *copies)
{
    for (unsigned i = 0; i <= h->n; i++) {
        copies[i] = fcntl(i < h->n ? h->fds[i] : channel, F_DUPFD_CLOEXEC, FIRST + (int)h->n + 1);
        if (copies[i] < 0)
            return false;
    }
    return true;
}

// errno, or 0.
static int
spawn(const char *path, char *const *argv, char *const *env, const int *copies, unsigned n,
      pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none, pipe;
    sigemptyset(&none);
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &pipe);
    int rc = 0;
    for (unsigned i = 0; !rc && i < n; i++)
        rc = posix_spawn_file_actions_adddup2(&actions, copies[i], FIRST + (int)i);
    if (!rc)
        rc = posix_spawn(pid, path, &actions, &attr, argv, env);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&actions);
    return rc;
}

pid_t
upgrade_spawn(const char *path, char *const *argv, const struct handed *sockets, int *channel,
              char *err, size_t errlen)
{
    int pair[2];
    pid_t pid = -1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        snprintf(err, errlen, "cannot make a channel: %s", strerror(errno));
        return -1;
    }
    int *copies = need_zeroed(sockets->n + 1, sizeof *copies);
    char **env = environment(sockets);
    int rc = move_up(sockets, pair[1], copies)
                 ? spawn(path, argv, env, copies, sockets->n + 1, &pid)
                 : errno;
    for (unsigned i = 0; i <= sockets->n; i++)
        if (copies[i] > 0)
            close(copies[i]);
    free_list(env);
    free(copies);
    close(pair[1]);
    if (rc) {
        snprintf(err, errlen, "%s", strerror(rc));
        close(pair[0]);
        return -1;
    }
    *channel = pair[0];
    return pid;
}
