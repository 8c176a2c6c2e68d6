// SPDX-License-Identifier: BSD-3-Clause
// All streams of a ring in a turn: who has news speaks to its handler, then who has changed is
// flushed: its sends first, then its next receive.
#include "stream_inside.h"

#include <stdlib.h>
#include <unistd.h>

void
streams_init(struct ring *r)
{
    r->news.last = &r->news.first;
    r->later.last = &r->later.first;
    r->dirty.last = &r->dirty.first;
}

static void
add_news(struct stream_list *l, struct stream *s)
{
    s->next_news = NULL;
    *l->last = s;
    l->last = &s->next_news;
}

void
stream_announce(struct stream *s)
{
    struct ring *r = s->ring;
    if (s->in_news || !s->handler)
        return;
    s->in_news = true;
    // One that has spoken in this turn speaks again in the next, not in this one.
    add_news(r->speaking && s->spoke == r->turn ? &r->later : &r->news, s);
}

void
stream_dirty(struct stream *s)
{
    struct ring *r = s->ring;
    if (s->above)
        s = s->above; // who flushes both
    if (s->in_dirty)
        return;
    s->in_dirty = true;
    s->next_dirty = NULL;
    *r->dirty.last = s;
    r->dirty.last = &s->next_dirty;
}

void
stream_starve(struct stream *s)
{
    if (s->in_starved)
        return;
    s->in_starved = true;
    s->next_starved = s->ring->starved;
    s->ring->starved = s;
}

void
stream_unstarve(struct stream *s)
{
    if (!s->in_starved)
        return;
    struct stream **p = &s->ring->starved;
    while (*p != s)
        p = &(*p)->next_starved;
    *p = s->next_starved;
    s->in_starved = false;
}

static void
speak(struct stream *s)
{
    if (!s->handler) { // closed meanwhile
        stream_dirty(s);
        return;
    }
    s->spoke = s->ring->turn;
    if (s->fresh && !s->told) {
        s->fresh = false;
        s->handler->ready(s->ctx);
    }
    if (s->handler && s->error && !s->told) {
        s->told = true;
        s->handler->broken(s->ctx);
    }
    stream_dirty(s);
}

void
streams_speak(struct ring *r)
{
    r->speaking = true;
    while (r->news.first) {
        struct stream *s = r->news.first;
        r->news.first = s->next_news;
        if (!r->news.first)
            r->news.last = &r->news.first;
        s->in_news = false;
        speak(s);
    }
    r->speaking = false;
    if (r->later.first) {
        r->news = r->later;
        r->later.first = NULL;
        r->later.last = &r->later.first;
    }
}

// Frees a dead one as soon as the kernel has let go of it; each completion brings it here again.
static void
bury(struct stream *s)
{
    struct ring *r = s->ring;
    if (s->receiving || s->polling) {
        if (!s->cancelled && s->receiving)
            ring_cancel(r, OP_RECEIVE, s->id);
        if (!s->cancelled && s->polling)
            ring_cancel(r, OP_WRITABLE, s->id);
        s->cancelled = true;
        return;
    }
    if (s->in_news)
        return; // speak() brings it here again
    stream_unstarve(s);
    stream_free(s);
}

static void
flush(struct stream *s)
{
    if (s->tls) {
        tls_flush(s);
        return;
    }
    if (s->state == STREAM_DEAD) {
        bury(s);
        return;
    }
    send_start(s);
    if (s->state != STREAM_OPEN) {
        stream_finish(s);
        if (s->state == STREAM_DEAD)
            return;
    }
    receive_settle(s);
    receive_start(s);
}

void
streams_flush(struct ring *r)
{
    // An ENOBUFS may have arrived long after the last buffer came back, and a buffer may come back
    // long after the last ENOBUFS: look each turn.
    while (r->starved && pool_has(&r->pool)) {
        struct stream *s = r->starved;
        stream_unstarve(s);
        stream_dirty(s);
    }
    struct stream *s = r->dirty.first;
    r->dirty.first = NULL;
    r->dirty.last = &r->dirty.first;
    for (struct stream *next; s; s = next) {
        next = s->next_dirty;
        s->in_dirty = false;
        flush(s);
    }
}

bool
streams_restless(const struct ring *r)
{
    return r->news.first || r->dirty.first || (r->starved && pool_has(&r->pool));
}

void
streams_trim(struct ring *r)
{
    for (uint32_t i = 0; i < r->slots.count; i++)
        if (r->slots.v[i].kind == SLOT_STREAM)
            receive_trim(r->slots.v[i].object);
}

void
streams_close_all(struct ring *r)
{
    for (uint32_t i = 0; i < r->slots.count; i++) {
        if (r->slots.v[i].kind != SLOT_STREAM)
            continue;
        struct stream *s = r->slots.v[i].object;
        s->receiving = false;
        if (s->above)
            tls_free(s->above);
        stream_free(s);
    }
}
