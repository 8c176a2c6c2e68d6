// SPDX-License-Identifier: BSD-3-Clause
// What the files of this room share about a stream; nobody outside includes it.
#ifndef IO_STREAM_INSIDE_H
#define IO_STREAM_INSIDE_H

#include "ring_inside.h"

// A left-over up to this long moves into the stream; it must fit the headroom of a pool buffer.
#define CARRY HEADROOM
// stream_want() above this asks for a large buffer.
#define WANT_BULK (64u << 10)
// Room below which a bulk receive takes a fresh buffer.
#define ROOM_BULK (128u << 10)

// A piece of the send queue. buf NULL: zeroes, p unused.
struct seg {
    struct buf *buf;
    const uint8_t *p;
    uint64_t n;
};
#define SEGS_INLINE 4u

struct send_queue {
    struct seg *v;              // circular; `small` or allocated
    uint32_t first, count, cap; // cap: a power of two
    uint64_t bytes;
    struct seg small[SEGS_INLINE];
};

enum stream_state {
    STREAM_OPEN,
    STREAM_FINISHING, // sends what is queued, reads away what comes
    STREAM_ENDED,     // has said its last, reads away until the peer's end
    STREAM_DEAD,      // waits for its completions, then is freed
};

// A stream that is TLS has no socket: it lies above a plain one, which has it and whose only user
// it is (tls_stream.c).
struct stream {
    struct ring *ring;
    struct tls *tls;      // NULL: plain
    struct stream *above; // the TLS stream that this one carries; NULL: none
    struct stream *below; // the plain stream that carries this one; NULL: it is plain itself
    const struct stream_handler *handler; // NULL: closed
    void *ctx;
    uint64_t id;
    int fd;
    int error; // -errno
    enum stream_state state;
    uint32_t spoke; // the turn in which the handler was called last
    bool receiving; // a receive is in the kernel
    bool selecting; // which picks a buffer from the pool; otherwise it goes behind `tail` in `buf`
    bool polling;   // the socket is full, a poll for room is in the kernel
    bool cancelled; // both were asked to end
    bool more;      // the socket had more when the last receive ended
    bool stalled;   // wanted bulk and got nothing for long: waits without a buffer
    bool at_eof;
    bool fresh;    // something for `ready`
    bool told;     // `broken` was called
    bool was_high; // unsent was above STREAM_LOW
    bool in_news, in_dirty, in_starved;

    // Unread bytes are [head, tail), in `buf`, or in `carry` if that is NULL.
    struct buf *buf;
    uint8_t *head, *tail;
    size_t want;
    struct send_queue queue;
    struct timer timer; // only while closing
    nstime last_received, last_sent;
    uint64_t bytes_received, bytes_sent;
    struct stream *next_news, *next_dirty, *next_starved;
    uint8_t carry[CARRY];
};

void streams_init(struct ring *r);
void streams_speak(struct ring *r);
void streams_flush(struct ring *r);
bool streams_restless(const struct ring *r); // there is work for another turn at once
void streams_close_all(struct ring *r);

void stream_dirty(struct stream *s);    // flush it at the end of the turn
void stream_announce(struct stream *s); // call its handler
void stream_starve(struct stream *s);   // flush it when the pool has a buffer
void stream_unstarve(struct stream *s);
void stream_break(struct stream *s, int error);
void stream_finish(struct stream *s);
void stream_patience(struct stream *s); // while finishing: it takes some, no reason to give up
void stream_free(struct stream *s);     // nothing of it may be in the kernel or in a list

void receive_start(struct stream *s);
void receive_done(struct stream *s, int res, uint32_t flags);
void receive_settle(struct stream *s);
void receive_drop(struct stream *s); // forget what is unread
void receive_trim(struct stream *s);
// Room behind what is unread, for one that receives from below.
bool receive_room(struct stream *s); // false: there is none to be had now
size_t receive_space(const struct stream *s);

void send_start(struct stream *s);
void send_wait(struct stream *s);    // until there is room in the socket
void send_compact(struct stream *s); // the peer is slow: pin no more of the pool than need be
void writable_done(struct stream *s);

void tls_flush(struct stream *s);
void tls_free(struct stream *s);

void queue_init(struct send_queue *q);
void queue_clear(struct send_queue *q); // drops all, frees memory
// Takes a reference of its own to buf. False: out of memory.
bool queue_push(struct send_queue *q, struct buf *buf, const uint8_t *p, uint64_t n);
bool queue_join(struct send_queue *q, struct buf *buf, const uint8_t *p, uint64_t n);
void queue_consume(struct send_queue *q, uint64_t n);
struct seg *queue_at(struct send_queue *q, uint32_t i);

#endif
