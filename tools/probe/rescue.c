// SPDX-License-Identifier: BSD-3-Clause
#include "rescue.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#define NAMES 100u

// Never over another one.
static int
open_new(uint64_t offset, char *name, size_t cap)
{
    int fd = -1;
    for (unsigned i = 0; fd < 0 && i < NAMES; i++) {
        snprintf(name, cap, "nbdzero-probe.%" PRIu64 ".%u.rescue", offset, i);
        fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0 && errno != EEXIST)
            break;
    }
    return fd;
}

bool
rescue(uint64_t offset, const uint8_t *data, size_t n, char *name, size_t cap)
{
    int fd = open_new(offset, name, cap);
    if (fd < 0)
        return false;
    size_t done = 0;
    while (done < n) {
        ssize_t wrote = write(fd, data + done, n - done);
        if (wrote < 0 && errno != EINTR)
            break;
        done += wrote > 0 ? (size_t)wrote : 0;
    }
    bool good = done == n && fsync(fd) == 0;
    int error = errno;
    close(fd);
    if (!good)
        unlink(name);
    errno = error;
    return good;
}
