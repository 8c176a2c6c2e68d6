// SPDX-License-Identifier: BSD-3-Clause
// Accepting: a watch of the listening socket and plain accept4(). A few connections a turn, so that
// a flood of them does not keep the turn from its streams.
#include "ring_inside.h"

#include <base/log.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define ACCEPTS_A_TURN 64
#define PAUSE          (100 * NS_PER_MS)
#define WARN_EVERY     (10 * NS_PER_SEC)

#define ACCEPTOR_OF(p, member) ((struct acceptor *)((char *)(p)-offsetof(struct acceptor, member)))

static bool
out_of_descriptors(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

static void
pause_accepting(struct acceptor *a, int error)
{
    struct ring *r = a->ring;
    if (!a->warned || r->now - a->warned >= WARN_EVERY) {
        a->warned = r->now;
        log_warn("cannot accept connections for the moment: %s (raise LimitNOFILE, or lower "
                 "max-connections)",
                 strerror(error));
    }
    ring_unwatch(r, &a->watch);
    timer_set(r, &a->retry, r->now + PAUSE);
}

static void
retry(struct timer *t)
{
    struct acceptor *a = ACCEPTOR_OF(t, retry);
    ring_watch(a->ring, &a->watch);
}

static void
incoming(struct watch *w)
{
    struct acceptor *a = ACCEPTOR_OF(w, watch);
    uint64_t id = w->id;
    struct ring *r = a->ring;
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        int fd = accept4(a->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            a->accepted(a, fd);
            if (!slot_find(&r->slots, id, SLOT_WATCH))
                return; // stopped by that call, and perhaps freed
            continue;
        }
        int error = errno;
        if (out_of_descriptors(error))
            pause_accepting(a, error);
        // Anything else is that one connection's trouble (accept(2), "Error handling").
        if (error == EAGAIN || out_of_descriptors(error))
            return;
    }
}

void
accept_start(struct ring *r, struct acceptor *a)
{
    a->ring = r;
    a->warned = 0;
    a->watch = (struct watch){.fd = a->fd, .ready = incoming};
    a->retry = (struct timer){.fire = retry};
    ring_watch(r, &a->watch);
}

void
accept_stop(struct acceptor *a)
{
    timer_cancel(a->ring, &a->retry);
    ring_unwatch(a->ring, &a->watch);
}
