// SPDX-License-Identifier: BSD-3-Clause
// A connected stream socket on a ring: bytes in by reference, bytes out by reference, one receive
// and one send in flight. Whether it is plain or TLS (io/tls.h) makes no difference to its user.
//
// Receiving. Bytes lie in a `buf`. The handler peeks, takes what it wants, and may pass parts on by
// reference: stream_send_ref() to another stream keeps the buf alive until they are sent. What is
// not taken stays, and more is received behind it or, where the buf is full, in a new one with the
// rest copied to its head: a peek always sees one contiguous piece.
//
// An idle stream holds no buffer: its receive picks one from the ring's pool when bytes arrive, and
// a handful of bytes left over (a partial header) move into the stream itself.
#ifndef IO_STREAM_H
#define IO_STREAM_H

#include <io/ring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stream;

// Memory that streams pass around. Counted; the count is touched by its ring's thread only.
struct buf {
    uint8_t *data;
    uint32_t cap;
    uint32_t refs;
    uint32_t kind; // whose it is: the ring's own business
    uint32_t id;
    struct ring *ring;
    struct buf *next;
};

// A buf of at least `size` bytes for the caller's own use (a probe's chunk); NULL if out of memory.
struct buf *buf_new(struct ring *r, size_t size);
void buf_ref(struct buf *b);
void buf_unref(struct buf *b);

struct stream_handler {
    // There are bytes to peek, or room in the send queue where there was none, or the peer has
    // ended its sending, or stream_nudge() was called. Once a turn at most.
    void (*ready)(void *ctx);
    // The stream is broken (-errno in stream_error()): nothing can be sent or received any more.
    // The handler still has to call stream_close().
    void (*broken)(void *ctx);
};

// Takes fd over (set non-blocking; TCP_NODELAY where it is TCP, keepalive as given, 0 = off).
// NULL: out of memory, fd closed.
struct stream *stream_new(struct ring *r, int fd, nstime keepalive,
                          const struct stream_handler *handler, void *ctx);
void stream_set_handler(struct stream *s, const struct stream_handler *handler, void *ctx);

// Ends it: no call to the handler comes any more and `s` is not the caller's from now on.
// FINISH: sends what is queued (gives up on a peer that takes nothing for 10 s), then
// shutdown(SHUT_WR), reads away what comes (at most 2 s; so that a reset cannot overtake our last
// words), then closes. ABORT: closes at once, drops what is queued.
enum stream_close { STREAM_FINISH, STREAM_ABORT };
void stream_close(struct stream *s, enum stream_close how);

// Receiving. Nothing is received before the first stream_want().
//
// The bytes at hand, contiguous; *n is 0 if there are none. Valid until the next call on the
// stream; the handler may write to them (rewrite a header in place). Of what is never taken, about
// 1 MiB is gathered, then no more is received.
uint8_t *stream_peek(struct stream *s, size_t *n);
// Removes n bytes from the front, after peek.
void stream_take(struct stream *s, size_t n);
// How much more the handler would like, from now on; asked anew by each call of `ready`, at its
// end. 0: nothing (back-pressure: no receive is started, what is at hand stays). Otherwise a hint:
// up to 64 KiB: the next header; more: a payload of that size is under way, worth a large buffer.
void stream_want(struct stream *s, size_t bytes);
// The peer has ended its sending and all bytes have been taken.
bool stream_at_end(const struct stream *s);
// The peer has ended its sending; there may still be bytes to take (half a header, say).
bool stream_ended(const struct stream *s);
int stream_error(const struct stream *s);

// Sending. All queue; sending starts at the end of the turn.
// Bytes inside the buf that the last stream_peek(from) showed; they may have been taken since.
// Keeps that buf. Joined with the segment before where contiguous.
void stream_send_ref(struct stream *to, struct stream *from, const uint8_t *p, size_t n);
// Bytes inside a buf of the caller's own.
void stream_send_buf(struct stream *to, struct buf *b, const uint8_t *p, size_t n);
// A few bytes, copied.
void stream_send_copy(struct stream *to, const void *p, size_t n);
// n zero bytes, from memory that all share.
void stream_send_zeroes(struct stream *to, uint64_t n);
// Queued and not yet taken by the kernel. `ready` is called when it falls to STREAM_LOW or below
// after having been above.
uint64_t stream_unsent(const struct stream *s);
#define STREAM_LOW (256u << 10)

// Has `ready` called in this turn (or the next, if called within it).
void stream_nudge(struct stream *s);

// When bytes last moved in each direction through the socket (ring time), for deadlines.
nstime stream_last_received(const struct stream *s);
nstime stream_last_sent(const struct stream *s);
// Totals, for statistics.
uint64_t stream_bytes_received(const struct stream *s);
uint64_t stream_bytes_sent(const struct stream *s);

#endif
