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
    if (stream_unsent(s) > STREAM_LOW)
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
    return s->unsent + tls_unsent(s);
}

void
stream_consume(struct stream *s, uint64_t n)
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
        stream_consume(s, s->queue[s->first].n);
}

uint64_t
stream_take_segment(struct stream *s, const uint8_t **p)
{
    const struct segment *g = &s->queue[s->first];
    *p = g->buf ? g->p : zeroes;
    return g->buf || g->n < sizeof zeroes ? g->n : sizeof zeroes;
}

static int
send_plain(struct stream *s, uint64_t *most)
{
    while (*most && s->count && sock_room(s->sock)) {
        const uint8_t *p;
        uint64_t n = stream_take_segment(s, &p);
        ssize_t sent = sock_send(s->sock, p, (size_t)(n < *most ? n : *most));
        if (sent <= 0)
            return (int)sent;
        stream_consume(s, (uint64_t)sent);
        *most -= (uint64_t)sent;
        s->bytes_sent += (uint64_t)sent;
        s->last_sent = s->ring->now;
    }
    return 0;
}

static int
send_frames(struct stream *s, uint64_t *most)
{
    int error = 0;
    do {
        while (tls_can_seal(s))
            tls_seal_one(s);
        error = tls_send_frames(s, most);
    } while (!error && *most && tls_can_seal(s) && sock_room(s->sock));
    return error;
}

// One send: as much as there is room for, or by chance less.
void
stream_send_some(struct stream *s)
{
    uint64_t most = stream_unsent(s);
    if (chance_of(20))
        most = most ? 1 + chance_below(most) : 0;
    if (s->sock_error)
        return;
    int error = s->tls ? send_frames(s, &most) : send_plain(s, &most);
    if (error)
        stream_loses(s, error);
    if (s->was_high && stream_unsent(s) <= STREAM_LOW) {
        s->was_high = false;
        stream_nudge(s);
    }
}
