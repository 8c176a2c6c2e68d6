// SPDX-License-Identifier: BSD-3-Clause
#include "queue.h"

#include "world.h"
#include <stdlib.h>
#include <string.h>

uint8_t *
queue_room(struct queue *q, size_t n)
{
    if (q->head) {
        memmove(q->p, q->p + q->head, queue_left(q));
        q->len -= q->head;
        q->head = 0;
    }
    if (q->len + n > q->cap) {
        q->cap = 2 * (q->len + n);
        q->p = realloc(q->p, q->cap);
        expect(q->p, "out of memory");
    }
    return q->p + q->len;
}

void
queue_append(struct queue *q, const void *p, size_t n)
{
    if (!n)
        return;
    memcpy(queue_room(q, n), p, n);
    q->len += n;
}

void
queue_consume(struct queue *q, size_t n)
{
    expect(n <= queue_left(q), "more is taken than there is");
    q->head += n;
    if (q->head == q->len)
        q->head = q->len = 0;
}

void
queue_clear(struct queue *q)
{
    free(q->p);
    *q = (struct queue){0};
}
