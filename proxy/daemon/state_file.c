// SPDX-License-Identifier: BSD-3-Clause
#include "state_file.h"

#include "memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define TRIES 3

static bool
write_all(int fd, const char *text)
{
    size_t left = strlen(text);
    while (left) {
        ssize_t n = write(fd, text, left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        text += n;
        left -= (size_t)n;
    }
    return fsync(fd) == 0;
}

// The lock tells others that somebody is still at work on it: process ids would not, where
// containers share the directory.
static bool
try_to_replace(const char *path, char *beside, const char *text)
{
    int fd = mkostemp(beside, O_CLOEXEC);
    if (fd < 0)
        return false;
    bool good =
        flock(fd, LOCK_EX | LOCK_NB) == 0 && write_all(fd, text) && rename(beside, path) == 0;
    int error = errno;
    if (!good)
        unlink(beside);
    close(fd);
    errno = error;
    return good;
}

// A process that starts just now may take the file for an orphan, before it is locked.
static bool
taken_away(int error)
{
    return error == ENOENT || error == EWOULDBLOCK;
}

// Verdicts change because of clients, so memory that is out must not end the process. NULL: it is,
// and errno says so.
static char *
path_in(const char *dir, const char *name, const char *ending)
{
    char *path;
    if (asprintf(&path, "%s/%s%s", dir, name, ending) >= 0)
        return path;
    errno = ENOMEM;
    return NULL;
}

bool
state_file_replace(const char *dir, const char *name, const char *text)
{
    char *path = path_in(dir, name, "");
    bool good = false;
    for (int i = 0; path && i < TRIES && !good && (!i || taken_away(errno)); i++) {
        char *beside = path_in(dir, name, ".XXXXXX");
        good = beside && try_to_replace(path, beside, text);
        int error = errno;
        free(beside);
        errno = error;
    }
    int error = errno;
    free(path);
    errno = error;
    return good;
}

bool
state_file_remove(const char *dir, const char *name)
{
    char *path = path_in(dir, name, "");
    bool gone = path && (unlink(path) == 0 || errno == ENOENT);
    int error = errno;
    free(path);
    errno = error;
    return gone;
}

// verdict-HASH.json.SOMETHING, but not what has been set aside for a human being.
static bool
is_beside(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && strncmp(name, "verdict-", 8) == 0 && dot - name >= 5 &&
           strncmp(dot - 5, ".json", 5) == 0 && strcmp(dot, ".damaged") != 0;
}

void
state_file_orphaned(int dir, const char *name)
{
    if (!is_beside(name))
        return;
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        (void)unlinkat(dir, name, 0);
    close(fd);
}

const char *
state_file_remedy(int error)
{
    switch (error) {
    case EACCES:
    case EPERM: return "give it, with all in it, to the user that nbdzero-proxy runs as";
    case ENOSPC:
    case EDQUOT: return "make room there";
    case EROFS: return "state-dir must name a folder that can be written to";
    case ENOTDIR:
    case EEXIST: return "state-dir must name a folder";
    case EIO: return "look after that disk";
    case ENOLCK:
    case ENOSYS:
    case EOPNOTSUPP:
    case EINVAL: return "state-dir must be on a file system that has locks, a local one";
    case ENOMEM: return "give nbdzero-proxy more memory";
    default: return "see to it, or let state-dir name another folder";
    }
}
