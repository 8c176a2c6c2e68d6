// SPDX-License-Identifier: BSD-3-Clause
// Birth and death of a ring, and what to tell people when io_uring cannot be had.
#include "ring_inside.h"
#include "stream_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SQ_ENTRIES 1024u
#define CQ_ENTRIES 8192u

// kernel.io_uring_disabled; '0' too where the kernel has no such switch.
static char
sysctl_disabled(void)
{
    char c = '0';
    int fd = open("/proc/sys/kernel/io_uring_disabled", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (read(fd, &c, 1) != 1)
            c = '0';
        close(fd);
    }
    return c;
}

static void
explain(int error, char *err, size_t errlen)
{
    switch (error) {
    case ENOSYS:
        snprintf(err, errlen,
                 "io_uring is missing from this kernel: run Linux 6.1 or newer, built "
                 "with CONFIG_IO_URING");
        break;
    case EPERM:
    case EACCES:
        if (sysctl_disabled() != '0')
            snprintf(err, errlen,
                     "io_uring is forbidden by sysctl kernel.io_uring_disabled = %c: "
                     "set it to 0",
                     sysctl_disabled());
        else
            snprintf(err, errlen,
                     "io_uring is forbidden, most likely by a seccomp filter: allow "
                     "io_uring_setup, io_uring_enter and io_uring_register (containers: "
                     "a seccomp profile that has them)");
        break;
    case EINVAL:
        snprintf(err, errlen, "this kernel's io_uring is too old: run Linux 6.1 or newer");
        break;
    case ENOMEM:
        snprintf(err, errlen,
                 "no memory for an io_uring: raise the limit on locked memory "
                 "(LimitMEMLOCK=) or the memory limit of this service");
        break;
    case EMFILE:
    case ENFILE:
        snprintf(err, errlen, "no file descriptor for an io_uring: raise LimitNOFILE");
        break;
    default: snprintf(err, errlen, "cannot set up io_uring: %s", strerror(error)); break;
    }
}

// Completions are delivered when this thread asks for them and at no other time (DEFER_TASKRUN,
// Linux 6.1): no interrupts in mid-turn, and no writes to our buffers behind our back.
static int
uring_open(struct ring *r)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                 IORING_SETUP_COOP_TASKRUN | IORING_SETUP_R_DISABLED | IORING_SETUP_SUBMIT_ALL |
                 IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
        .cq_entries = CQ_ENTRIES,
    };
    int rc = io_uring_queue_init_params(SQ_ENTRIES, &r->uring, &params);
    if (rc < 0)
        return -rc;
    r->uring_open = true;
    if (!(params.features & IORING_FEAT_EXT_ARG) || !(params.features & IORING_FEAT_NODROP))
        return EINVAL;
    // A filter may allow the setup and forbid this call, which would be noticed in mid-work. A ring
    // that is not enabled yet answers EBADFD.
    rc = io_uring_enter((unsigned)r->uring.ring_fd, 0, 0, 0, NULL);
    return rc == -EPERM || rc == -EACCES || rc == -ENOSYS ? -rc : 0;
}

struct ring *
ring_new(char *err, size_t errlen)
{
    struct ring *r = calloc(1, sizeof *r);
    if (!r) {
        explain(ENOMEM, err, errlen);
        return NULL;
    }
    r->box.eventfd = -1;
    r->now = ring_clock(r);
    streams_init(r);
    int error = uring_open(r);
    errno = 0;
    if (!error && (!letters_open(r) || !(r->zeroes = zeroes_open()) || !pool_open(r)))
        error = errno ? errno : EINVAL;
    if (error) {
        explain(error, err, errlen);
        ring_free(r);
        return NULL;
    }
    return r;
}

void
ring_free(struct ring *r)
{
    if (!r)
        return;
    letters_close(r);
    if (r->uring_open)
        io_uring_queue_exit(&r->uring);
    streams_close_all(r);
    if (r->scribe)
        buf_unref(r->scribe);
    if (r->zeroes)
        zeroes_close(r->zeroes);
    pool_close(r);
    bulk_close(r);
    timers_free(&r->timers);
    slots_free(&r->slots);
    free(r);
}
