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
    bool sock_ended;      // nothing more comes from the connection
    int sock_error;       // nor goes there
    struct fake_tls *tls; // NULL: plain

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

// What has been received, behind all that is unread.
void stream_gather(struct stream *s, const uint8_t *p, size_t n);
void stream_break(struct stream *s, int error);
// The connection itself has ended or broken.
void stream_ends(struct stream *s);
void stream_loses(struct stream *s, int error);
// fake_stream_send.c
void stream_drop_queue(struct stream *s);
void stream_send_some(struct stream *s);
uint64_t stream_take_segment(struct stream *s, const uint8_t **p); // the first one, as it lies
void stream_consume(struct stream *s, uint64_t n);

// fake_tls.c; all may be asked of plain streams.
bool tls_shakes(const struct stream *s);   // the handshake is not done
size_t tls_unsent(const struct stream *s); // bytes of frames
bool tls_can_seal(const struct stream *s); // and has something to
void tls_seal_one(struct stream *s);
int tls_send_frames(struct stream *s, uint64_t *most); // -errno
bool tls_bid_farewell(struct stream *s);               // false: it is yet to be sent
void tls_received(struct stream *s, const uint8_t *p, size_t n);
void tls_sock_ended(struct stream *s);
void tls_sock_broke(struct stream *s, int error);
void tls_free(struct stream *s);

#endif
