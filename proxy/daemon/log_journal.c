// SPDX-License-Identifier: BSD-3-Clause
#include "log_journal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

// Not longer: who waits is the only thread that writes lines.
#define PATIENCE 10
#define PAUSE_NS 10000000

void
log_journal_open(struct log_journal *j, const char *path)
{
    *j = (struct log_journal){.fd = -1, .path = path};
    if (path)
        j->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

void
log_journal_close(struct log_journal *j)
{
    if (j->fd >= 0)
        close(j->fd);
    j->fd = -1;
}

// To the path, each time: a journal that was not there, or is another one now, is found.
bool
log_journal_send(struct log_journal *j, const void *datagram, size_t len)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    if (j->fd < 0 || strlen(j->path) >= sizeof to.sun_path)
        return false;
    memcpy(to.sun_path, j->path, strlen(j->path));
    for (int i = 0; i < (j->full ? 1 : PATIENCE); i++) {
        if (sendto(j->fd, datagram, len, MSG_NOSIGNAL, (struct sockaddr *)&to, sizeof to) >= 0) {
            j->full = false;
            return true;
        }
        if (errno != EAGAIN && errno != ENOBUFS && errno != EINTR)
            return false;
        if (!j->full)
            nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
    }
    j->full = true;
    return false;
}
