// SPDX-License-Identifier: BSD-3-Clause
// A ring: turns, timers, letters, buffers.
#include "fake_io.h"

#include <stdlib.h>

static unsigned sender = RINGS_MAX; // whose turn it is

static struct ring *
ring_of(struct actor *a)
{
    return (struct ring *)((char *)a - offsetof(struct ring, actor));
}

// Timers ----------------------------------------------------------------------------------

void
timer_set(struct ring *r, struct timer *t, nstime when)
{
    if (!t->when) {
        if (r->n_timers == r->cap_timers) {
            r->cap_timers = r->cap_timers ? 2 * r->cap_timers : 16;
            r->timers = realloc(r->timers, r->cap_timers * sizeof(struct timer *));
            expect(r->timers, "out of memory");
        }
        t->place = r->n_timers;
        r->timers[r->n_timers++] = t;
    }
    t->when = when ? when : 1;
}

void
timer_cancel(struct ring *r, struct timer *t)
{
    if (!t->when)
        return;
    t->when = 0;
    struct timer *last = r->timers[--r->n_timers];
    r->timers[t->place] = last;
    last->place = t->place;
}

static struct timer *
due_timer(const struct ring *r)
{
    struct timer *due = NULL;
    for (size_t i = 0; i < r->n_timers; i++)
        if (r->timers[i]->when <= world.now && (!due || r->timers[i]->when < due->when))
            due = r->timers[i];
    return due;
}

static void
fire_timers(struct ring *r)
{
    struct timer *t;
    for (size_t most = r->n_timers; most > 0 && (t = due_timer(r)); most--) {
        timer_cancel(r, t);
        t->fire(t);
    }
}

// Letters ---------------------------------------------------------------------------------

void
ring_post(struct ring *r, struct letter *l)
{
    struct letter_queue *q = &r->letters[sender];
    l->next = NULL;
    *q->last = l;
    q->last = &l->next;
}

static bool
has_letters(const struct ring *r)
{
    for (unsigned i = 0; i <= RINGS_MAX; i++)
        if (r->letters[i].first)
            return true;
    return false;
}

// Some arrive now and some a turn later; those of one sender in their order.
static void
deliver_letters(struct ring *r)
{
    unsigned from = (unsigned)chance_below(RINGS_MAX + 1);
    for (unsigned i = 0; i <= RINGS_MAX; i++) {
        struct letter_queue *q = &r->letters[(from + i) % (RINGS_MAX + 1)];
        while (q->first && chance_of(70)) {
            struct letter *l = q->first;
            q->first = l->next;
            if (!q->first)
                q->last = &q->first;
            l->deliver(l);
        }
    }
}

// Turns -----------------------------------------------------------------------------------

static bool
can_run(struct actor *a)
{
    const struct ring *r = ring_of(a);
    return has_letters(r) || due_timer(r) || streams_can_run(r);
}

static nstime
next_time(struct actor *a)
{
    const struct ring *r = ring_of(a);
    nstime next = 0;
    for (size_t i = 0; i < r->n_timers; i++)
        if (!next || r->timers[i]->when < next)
            next = r->timers[i]->when;
    return next;
}

static void
turn(struct actor *a)
{
    struct ring *r = ring_of(a);
    sender = r->index;
    r->now = world.now;
    r->turn++;
    streams_receive(r);
    deliver_letters(r);
    fire_timers(r);
    streams_speak(r);
    streams_flush(r);
    sender = RINGS_MAX;
}

struct ring *
fake_ring_new(unsigned index)
{
    struct ring *r = calloc(1, sizeof *r);
    expect(r && index < RINGS_MAX, "no ring");
    r->index = index;
    r->now = world.now;
    r->actor = (struct actor){.can_run = can_run, .run = turn, .next_time = next_time};
    for (unsigned i = 0; i <= RINGS_MAX; i++)
        r->letters[i].last = &r->letters[i].first;
    world_add(&r->actor);
    return r;
}

void
fake_ring_free(struct ring *r)
{
    expect(!r->streams, "a stream is left over");
    expect(!r->n_timers, "a timer is left over");
    expect(!has_letters(r), "a letter is left over");
    expect(!r->memory, "%zu bytes of bufs are left over", r->memory);
    world_remove(&r->actor);
    free(r->timers);
    free(r);
}

nstime
ring_now(const struct ring *r)
{
    return r->now;
}

nstime
ring_clock(const struct ring *r)
{
    (void)r;
    return world.now;
}

bool
ring_was_busy(const struct ring *r, nstime since, nstime limit)
{
    (void)since;
    (void)limit;
    return r->busy_percent && chance_of(r->busy_percent);
}

size_t
ring_memory(const struct ring *r)
{
    return r->memory;
}

// Buffers ---------------------------------------------------------------------------------

struct buf *
buf_new(struct ring *r, size_t size)
{
    struct buf *b = calloc(1, sizeof *b);
    expect(b && (b->data = malloc(size ? size : 1)), "out of memory");
    b->cap = (uint32_t)size;
    b->refs = 1;
    b->ring = r;
    r->memory += size;
    return b;
}

void
buf_ref(struct buf *b)
{
    b->refs++;
}

void
buf_unref(struct buf *b)
{
    if (--b->refs)
        return;
    b->ring->memory -= b->cap;
    free(b->data);
    free(b);
}
