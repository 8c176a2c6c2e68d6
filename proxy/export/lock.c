// SPDX-License-Identifier: BSD-3-Clause
#include <export/lock.h>

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

// FNV-1a: a name is bytes and never a path, so the file is named by hash. Two exports that share a
// file by accident only keep each other from being probed.
static uint64_t
hash_bytes(uint64_t h, struct bytes b)
{
    for (size_t i = 0; i < b.len; i++)
        h = (h ^ b.p[i]) * UINT64_C(0x100000001b3);
    return (h ^ 0xff) * UINT64_C(0x100000001b3);
}

static bool
set_lock(int fd, short type)
{
    struct flock l = {.l_type = type, .l_whence = SEEK_SET};
    int rc;
    do
        rc = fcntl(fd, F_OFD_SETLK, &l);
    while (rc < 0 && errno == EINTR);
    return rc == 0;
}

int
lock_open(const char *state_dir, struct bytes address, struct bytes name)
{
    if (!state_dir || !*state_dir)
        return -1;
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/locks", state_dir);
    if (n < 0 || (size_t)n >= sizeof path - 32)
        return -1;
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return -1;
    uint64_t h = hash_bytes(hash_bytes(UINT64_C(0xcbf29ce484222325), address), name);
    snprintf(path + n, sizeof path - (size_t)n, "/%016llx.lock", (unsigned long long)h);
    return open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
}

bool
lock_alone(int fd)
{
    return fd >= 0 && set_lock(fd, F_WRLCK);
}

bool
lock_shared(int fd)
{
    return set_lock(fd, F_RDLCK);
}

void
lock_close(int fd)
{
    if (fd >= 0)
        close(fd);
}
