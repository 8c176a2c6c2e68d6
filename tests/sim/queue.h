// SPDX-License-Identifier: BSD-3-Clause
// Bytes that are added at one end and taken from the other.
#ifndef SIM_QUEUE_H
#define SIM_QUEUE_H

#include <base/bytes.h>
#include <stddef.h>
#include <stdint.h>

struct queue {
    uint8_t *p;
    size_t head, len, cap; // `head` to `len` is what there is
};

// Room for n bytes at the end, to be filled, and then counted by `len`.
uint8_t *queue_room(struct queue *q, size_t n);
void queue_append(struct queue *q, const void *p, size_t n);
void queue_consume(struct queue *q, size_t n);
void queue_clear(struct queue *q); // and frees

static inline size_t
queue_left(const struct queue *q)
{
    return q->len - q->head;
}

static inline struct bytes
queue_bytes(const struct queue *q)
{
    return bytes_of(q->p + q->head, queue_left(q));
}

#endif
