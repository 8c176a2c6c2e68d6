// SPDX-License-Identifier: BSD-3-Clause
// Timers: a binary heap of pointers, each timer knowing its place.
#include "ring_inside.h"

#include <stdlib.h>

static void
put(struct timers *t, size_t place, struct timer *x)
{
    t->heap[place] = x;
    x->place = place;
}

static void
sift_up(struct timers *t, struct timer *x, size_t place)
{
    while (place > 0) {
        size_t parent = (place - 1) / 2;
        if (t->heap[parent]->when <= x->when)
            break;
        put(t, place, t->heap[parent]);
        place = parent;
    }
    put(t, place, x);
}

static void
sift_down(struct timers *t, struct timer *x, size_t place)
{
    for (;;) {
        size_t child = 2 * place + 1;
        if (child >= t->count)
            break;
        if (child + 1 < t->count && t->heap[child + 1]->when < t->heap[child]->when)
            child++;
        if (x->when <= t->heap[child]->when)
            break;
        put(t, place, t->heap[child]);
        place = child;
    }
    put(t, place, x);
}

static void
settle(struct timers *t, struct timer *x, size_t place)
{
    if (place > 0 && x->when < t->heap[(place - 1) / 2]->when)
        sift_up(t, x, place);
    else
        sift_down(t, x, place);
}

static void
grow(struct timers *t)
{
    size_t cap = t->cap ? 2 * t->cap : 64;
    struct timer **heap = realloc(t->heap, cap * sizeof(struct timer *));
    if (!heap)
        io_out_of_memory("a timer");
    t->heap = heap;
    t->cap = cap;
}

void
timer_set(struct ring *r, struct timer *x, nstime when)
{
    struct timers *t = &r->timers;
    bool is_set = x->when != 0;
    x->when = when ? when : 1;
    if (is_set) {
        settle(t, x, x->place);
        return;
    }
    if (t->count == t->cap)
        grow(t);
    sift_up(t, x, t->count++);
}

void
timer_cancel(struct ring *r, struct timer *x)
{
    struct timers *t = &r->timers;
    if (!x->when)
        return;
    x->when = 0;
    struct timer *last = t->heap[--t->count];
    if (last != x)
        settle(t, last, x->place);
}

nstime
timers_next(const struct timers *t)
{
    return t->count ? t->heap[0]->when : 0;
}

// Those due when the turn began; one that sets itself again for "now" waits for the next turn, or
// the loop would never get to its other work.
void
timers_fire(struct ring *r)
{
    struct timers *t = &r->timers;
    size_t most = t->count;
    while (most-- > 0 && t->count && t->heap[0]->when <= r->now) {
        struct timer *x = t->heap[0];
        timer_cancel(r, x);
        x->fire(x);
    }
}

void
timers_free(struct timers *t)
{
    free(t->heap);
    *t = (struct timers){0};
}
