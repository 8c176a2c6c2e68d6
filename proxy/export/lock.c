// SPDX-License-Identifier: BSD-3-Clause
#include <export/lock.h>

#include <base/hash.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

// Two exports that share a byte by accident only keep each other from being probed.
static int64_t
place_of(struct bytes address, struct bytes name)
{
    uint64_t h = hash_byte(hash_bytes(HASH_BEGIN, address), 0xff);
    h = hash_byte(hash_bytes(h, name), 0xff);
    return (int64_t)(h >> 2); // well below the largest offset
}

static bool
set_lock(const struct export_lock *l, short type)
{
    struct flock f = {.l_type = type, .l_whence = SEEK_SET, .l_start = l->at, .l_len = 1};
    int rc;
    do
        rc = fcntl(l->fd, F_OFD_SETLK, &f);
    while (rc < 0 && errno == EINTR);
    return rc == 0;
}

struct export_lock
lock_open(const char *state_dir, struct bytes address, struct bytes name)
{
    struct export_lock l = {.fd = -1};
    char path[4096];
    if (!state_dir || !*state_dir)
        return l;
    int n = snprintf(path, sizeof path, "%s/locks", state_dir);
    if (n < 0 || (size_t)n >= sizeof path)
        return l;
    l.at = place_of(address, name);
    l.fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    return l;
}

bool
lock_alone(const struct export_lock *l)
{
    return l->fd >= 0 && set_lock(l, F_WRLCK);
}

bool
lock_shared(const struct export_lock *l)
{
    return l->fd >= 0 && set_lock(l, F_RDLCK);
}

bool
lock_is_taken(int error)
{
    return error == EAGAIN || error == EACCES;
}

bool
lock_is_lost(const struct export_lock *l)
{
    struct stat st;
    return l->fd >= 0 && fstat(l->fd, &st) == 0 && st.st_nlink == 0;
}

void
lock_close(struct export_lock *l)
{
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
}
