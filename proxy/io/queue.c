// SPDX-License-Identifier: BSD-3-Clause
// What a stream still has to send: pieces of bufs and of zeroes, in order. Room for a few is in the
// stream itself; more are allocated, and freed when the queue runs empty.
#include "stream_inside.h"

#include <stdlib.h>

void
queue_init(struct send_queue *q)
{
    q->v = q->small;
    q->cap = SEGS_INLINE;
}

struct seg *
queue_at(struct send_queue *q, uint32_t i)
{
    return &q->v[(q->first + i) & (q->cap - 1)];
}

static bool
grow(struct send_queue *q)
{
    struct seg *v = malloc(2 * (size_t)q->cap * sizeof *v);
    if (!v)
        return false;
    for (uint32_t i = 0; i < q->count; i++)
        v[i] = *queue_at(q, i);
    if (q->v != q->small)
        free(q->v);
    q->v = v;
    q->first = 0;
    q->cap *= 2;
    return true;
}

bool
queue_join(struct send_queue *q, struct buf *buf, const uint8_t *p, uint64_t n)
{
    if (!q->count)
        return false;
    struct seg *last = queue_at(q, q->count - 1);
    if (last->buf != buf || (buf && last->p + last->n != p))
        return false;
    last->n += n;
    q->bytes += n;
    return true;
}

bool
queue_push(struct send_queue *q, struct buf *buf, const uint8_t *p, uint64_t n)
{
    if (q->count == q->cap && !grow(q))
        return false;
    if (buf)
        buf_ref(buf);
    q->count++;
    *queue_at(q, q->count - 1) = (struct seg){.buf = buf, .p = p, .n = n};
    q->bytes += n;
    return true;
}

static void
empty(struct send_queue *q)
{
    if (q->v != q->small)
        free(q->v);
    q->first = 0;
    queue_init(q);
}

void
queue_consume(struct send_queue *q, uint64_t n)
{
    q->bytes -= n;
    while (n > 0) {
        struct seg *s = queue_at(q, 0);
        if (n < s->n) {
            s->n -= n;
            if (s->buf)
                s->p += n;
            return;
        }
        n -= s->n;
        if (s->buf)
            buf_unref(s->buf);
        q->first = (q->first + 1) & (q->cap - 1);
        q->count--;
    }
    if (!q->count)
        empty(q);
}

void
queue_clear(struct send_queue *q)
{
    queue_consume(q, q->bytes);
}
