// SPDX-License-Identifier: BSD-3-Clause
// A stream's sending.
#include "fake_stream.h"

#include <stdlib.h>
#include <string.h>

static uint8_t zeroes[64 << 10];

static void
push(struct stream *s, struct buf *b, const uint8_t *p, uint64_t n)
{
    expect(s->state == STREAM_OPEN, "a closed stream is used");
    if (!n || s->error)
        return;
    if (s->first + s->count == s->cap) {
        if (s->count)
            memmove(s->queue, s->queue + s->first, s->count * sizeof *s->queue);
        s->first = 0;
        if (s->count == s->cap) {
            s->cap = s->cap ? 2 * s->cap : 8;
            s->queue = realloc(s->queue, s->cap * sizeof *s->queue);
            expect(s->queue, "out of memory");
        }
    }
    if (b)
        buf_ref(b);
    s->queue[s->first + s->count++] = (struct segment){.buf = b, .p = p, .n = n};
    s->unsent += n;
    if (s->unsent > STREAM_LOW)
        s->was_high = true;
}

void
stream_send_buf(struct stream *to, struct buf *b, const uint8_t *p, size_t n)
{
    expect(p >= b->data && p + n <= b->data + b->cap, "sending what lies outside of its buf");
    push(to, b, p, n);
}

void
stream_send_ref(struct stream *to, struct stream *from, const uint8_t *p, size_t n)
{
    expect(from->buf, "sending a part of nothing");
    expect(to->ring == from->ring, "sending to another thread's stream");
    expect(p + n <= from->tail, "sending what has not come yet");
    stream_send_buf(to, from->buf, p, n);
}

void
stream_send_copy(struct stream *to, const void *p, size_t n)
{
    if (!n)
        return;
    struct buf *b = buf_new(to->ring, n);
    memcpy(b->data, p, n);
    push(to, b, b->data, n);
    buf_unref(b);
}

void
stream_send_zeroes(struct stream *to, uint64_t n)
{
    push(to, NULL, NULL, n);
}

uint64_t
stream_unsent(const struct stream *s)
{
    return s->unsent;
}

static void
consume(struct stream *s, uint64_t n)
{
    struct segment *g = &s->queue[s->first];
    s->unsent -= n;
    g->n -= n;
    if (g->buf)
        g->p += n;
    if (g->n)
        return;
    if (g->buf)
        buf_unref(g->buf);
    s->first++;
    s->count--;
}

void
stream_drop_queue(struct stream *s)
{
    while (s->count)
        consume(s, s->queue[s->first].n);
}

// One send: as much as there is room for, or by chance less.
void
stream_send_some(struct stream *s)
{
    uint64_t most = s->unsent;
    if (chance_of(20))
        most = most ? 1 + chance_below(most) : 0;
    while (most && s->count && !s->error && sock_room(s->sock)) {
        struct segment *g = &s->queue[s->first];
        uint64_t n = g->n < most ? g->n : most;
        if (!g->buf && n > sizeof zeroes)
            n = sizeof zeroes;
        ssize_t sent = sock_send(s->sock, g->buf ? g->p : zeroes, (size_t)n);
        if (sent < 0) {
            stream_break(s, (int)sent);
            return;
        }
        if (sent == 0)
            break;
        consume(s, (uint64_t)sent);
        most -= (uint64_t)sent;
        s->bytes_sent += (uint64_t)sent;
        s->last_sent = s->ring->now;
    }
    if (s->was_high && s->unsent <= STREAM_LOW) {
        s->was_high = false;
        stream_nudge(s);
    }
}
