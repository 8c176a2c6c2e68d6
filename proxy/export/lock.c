// SPDX-License-Identifier: BSD-3-Clause
#include <export/lock.h>

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

// FNV-1a. Two exports that share a byte by accident only keep each other from being probed.
static uint64_t
hash_bytes(uint64_t h, struct bytes b)
{
    for (size_t i = 0; i < b.len; i++)
        h = (h ^ b.p[i]) * UINT64_C(0x100000001b3);
    return (h ^ 0xff) * UINT64_C(0x100000001b3);
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
    uint64_t h = hash_bytes(hash_bytes(UINT64_C(0xcbf29ce484222325), address), name);
    l.at = (int64_t)(h >> 2); // well below the largest offset
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

void
lock_close(struct export_lock *l)
{
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
}
