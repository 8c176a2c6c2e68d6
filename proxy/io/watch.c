// SPDX-License-Identifier: BSD-3-Clause
// Watching descriptors: one poll at a time, armed again after each call, which makes it
// level-triggered.
#include "ring_inside.h"

#include <poll.h>

static void
list_add(struct ring *r, struct watch *w)
{
    w->armed = false;
    w->next = r->unarmed;
    r->unarmed = w;
}

static void
list_remove(struct ring *r, struct watch *w)
{
    struct watch **p = &r->unarmed;
    while (*p != w)
        p = &(*p)->next;
    *p = w->next;
}

void
watch_start(struct ring *r, struct watch *w, uint32_t events)
{
    w->id = slot_claim(&r->slots, SLOT_WATCH, w);
    if (!w->id)
        io_out_of_memory("a watch");
    w->events = events;
    list_add(r, w);
}

void
ring_watch(struct ring *r, struct watch *w)
{
    watch_start(r, w, POLLIN);
}

void
ring_unwatch(struct ring *r, struct watch *w)
{
    if (!w->id)
        return;
    if (!w->armed)
        list_remove(r, w);
    else
        ring_cancel(r, OP_WATCH, w->id);
    slot_release(&r->slots, w->id);
    w->id = 0;
    w->armed = false;
}

void
watches_arm(struct ring *r)
{
    struct watch *w = r->unarmed;
    r->unarmed = NULL;
    for (; w; w = w->next) {
        struct io_uring_sqe *sqe = ring_sqe(r, OP_WATCH, w->id);
        io_uring_prep_poll_add(sqe, w->fd, w->events);
        w->armed = true;
    }
}

void
watch_done(struct ring *r, uint64_t id)
{
    struct watch *w = slot_find(&r->slots, id, SLOT_WATCH);
    if (!w)
        return; // unwatched meanwhile
    list_add(r, w);
    // When the ring has stopped all polls come back; they are armed again should it run again.
    if (r->running)
        w->ready(w);
}
