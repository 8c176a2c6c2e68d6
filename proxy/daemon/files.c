// SPDX-License-Identifier: BSD-3-Clause
#include "files.h"

#include "memory.h"

#include <base/log.h>
#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

// Open in any process: standard streams, log, control, signals, resolver, a file that is being
// read.
#define FILES_FOR_ALL      64u
#define FILES_A_THREAD     8u // io_uring, eventfd, and dials under way
#define FILES_A_CONNECTION 2u // the client's socket and the upstream's

static uid_t owner = (uid_t)-1; // nobody else
static gid_t owner_group = (gid_t)-1;

void
files_owner(uid_t uid, gid_t gid)
{
    owner = uid;
    owner_group = gid;
}

static bool
make_one(const char *path, mode_t mode)
{
    struct stat st;
    if (mkdir(path, mode) == 0)
        return owner == (uid_t)-1 || chown(path, owner, owner_group) == 0;
    int error = errno;
    if (stat(path, &st) == 0) {
        errno = ENOTDIR;
        return S_ISDIR(st.st_mode);
    }
    errno = error;
    return false;
}

bool
make_directories(const char *path, mode_t mode)
{
    char *copy = need_copy(path);
    bool made = true;
    for (char *p = copy + 1; made && *copy && *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        made = make_one(copy, mode);
        *p = '/';
    }
    made = made && make_one(copy, mode);
    int error = errno;
    free(copy);
    errno = error;
    return made;
}

bool
make_parent(const char *path, mode_t mode)
{
    const char *slash = strrchr(path, '/');
    if (!slash || slash == path)
        return true;
    char *parent = need_text("%.*s", (int)(slash - path), path);
    bool made = make_directories(parent, mode);
    int error = errno;
    free(parent);
    errno = error;
    return made;
}

unsigned
allowed_connections(unsigned wanted, unsigned threads, unsigned listeners, struct faults *f)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return wanted;
    if (limit.rlim_cur < limit.rlim_max) {
        rlim_t before = limit.rlim_cur;
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
            limit.rlim_cur = before;
    }
    if (limit.rlim_cur == RLIM_INFINITY)
        return wanted;
    uint64_t reserved = FILES_FOR_ALL + (uint64_t)threads * FILES_A_THREAD + listeners;
    uint64_t left = limit.rlim_cur > reserved ? limit.rlim_cur - reserved : 0;
    uint64_t allowed = left / FILES_A_CONNECTION;
    if (allowed >= wanted)
        return wanted;
    if (allowed == 0)
        allowed = 1;
    char why[160];
    snprintf(why, sizeof why,
             "max-connections lowered from %u to %" PRIu64 ": this process may open %" PRIu64
             " files; raise LimitNOFILE (systemd) or ulimit -n",
             wanted, allowed, (uint64_t)limit.rlim_cur);
    if (f)
        warning_at(f, 0, "%s", why);
    else
        log_warn("%s", why);
    return (unsigned)allowed;
}

void
socket_file_note(struct socket_file *f, const char *path)
{
    struct stat st;
    *f = (struct socket_file){0};
    if (stat(path, &st) < 0)
        return;
    f->dev = st.st_dev;
    f->ino = st.st_ino;
    snprintf(f->path, sizeof f->path, "%s", path);
}

bool
socket_file_there(const struct socket_file *f)
{
    struct stat st;
    return *f->path && stat(f->path, &st) == 0 && st.st_dev == f->dev && st.st_ino == f->ino;
}

void
socket_file_unlink(struct socket_file *f)
{
    if (socket_file_there(f))
        unlink(f->path);
    *f->path = '\0';
}
