// SPDX-License-Identifier: BSD-3-Clause
// The inside of a fake stream.
#ifndef SIM_FAKE_STREAM_H
#define SIM_FAKE_STREAM_H

#include "fake_io.h"

struct segment {
    struct buf *buf; // NULL: zeroes
    const uint8_t *p;
    uint64_t n;
};

enum stream_state { STREAM_OPEN, STREAM_FINISHING, STREAM_ENDED, STREAM_DEAD };

struct stream {
    struct stream *next;
    struct ring *ring;
    struct sock *sock;
    const struct stream_handler *handler;
    void *ctx;
    enum stream_state state;
    struct timer timer;

    struct buf *buf; // what has come and not been taken
    uint8_t *head, *tail;
    size_t want, most_held;
    bool receiving; // a receive is under way, whatever `want` says now
    bool at_eof;
    int error;

    struct segment *queue;
    size_t first, count, cap;
    uint64_t unsent;
    bool was_high;

    bool fresh, told; // news for the handler; told that it is broken
    uint64_t spoke;   // in which turn
    nstime last_received, last_sent;
    uint64_t bytes_received, bytes_sent;
};

static inline size_t
stream_unread(const struct stream *s)
{
    return (size_t)(s->tail - s->head);
}

void stream_break(struct stream *s, int error);
// fake_stream_send.c
void stream_drop_queue(struct stream *s);
void stream_send_some(struct stream *s);

#endif
