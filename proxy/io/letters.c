// SPDX-License-Identifier: BSD-3-Clause
// Letters: many threads push onto a stack, the ring's thread takes all at once. The bell (an
// eventfd) is rung only by who finds the stack empty.
#include "ring_inside.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

void
ring_post(struct ring *r, struct letter *l)
{
    struct letterbox *box = &r->box;
    struct letter *top = atomic_load_explicit(&box->top, memory_order_relaxed);
    do {
        l->next = top;
    } while (!atomic_compare_exchange_weak_explicit(&box->top, &top, l, memory_order_acq_rel,
                                                    memory_order_relaxed));
    if (top)
        return;
    // It cannot fail but for a full counter, in which case the bell is ringing anyway.
    while (eventfd_write(box->eventfd, 1) < 0 && errno == EINTR)
        ;
}

static struct letter *
take_all(struct letterbox *box)
{
    struct letter *l = atomic_exchange_explicit(&box->top, NULL, memory_order_acquire);
    struct letter *in_order = NULL;
    while (l) {
        struct letter *next = l->next;
        l->next = in_order;
        in_order = l;
        l = next;
    }
    return in_order;
}

static void
bell_rings(struct watch *w)
{
    struct letterbox *box = (struct letterbox *)((char *)w - offsetof(struct letterbox, bell));
    eventfd_t n;
    eventfd_read(box->eventfd, &n); // before taking: a letter that comes after it rings again
    for (struct letter *l = take_all(box), *next; l; l = next) {
        next = l->next;
        l->deliver(l);
    }
}

bool
letters_open(struct ring *r)
{
    struct letterbox *box = &r->box;
    box->ring = r;
    box->eventfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (box->eventfd < 0)
        return false;
    box->bell = (struct watch){.fd = box->eventfd, .ready = bell_rings};
    ring_watch(r, &box->bell);
    return true;
}

void
letters_close(struct ring *r)
{
    struct letterbox *box = &r->box;
    if (box->eventfd < 0)
        return;
    resolver_forget(r);
    for (struct letter *l = take_all(box), *next; l; l = next) {
        next = l->next;
        if (resolver_owns(l))
            resolver_drop(l);
    }
    close(box->eventfd);
    box->eventfd = -1;
}
