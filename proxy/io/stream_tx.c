// SPDX-License-Identifier: BSD-3-Clause
// Sending: handlers queue by reference, and at the end of the turn everything queued goes out in
// one sendmsg(). It is a plain system call, not an entry in the ring: the send is done, and its
// buffers are free and still in the cache, before the next receive is started, and there is no
// completion that would wake us for nothing. When the socket is full a poll tells when it is not.
#include "stream_inside.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

// In one call and turn: the other streams want their share.
#define SEND_IOVECS 64u
#define SEND_MOST   (2u << 20)
// Where the peer is slow, what is queued may lie here long: pieces up to this long are copied then,
// for each would pin a whole buffer ...
#define COPY_BELOW 256u
// ... and longer ones, too, of those that all streams share.
#define COPY_SLOW (32u << 10)
// Longer messages are bulk.
#define SMALL_MESSAGE (64u << 10)

static void
queued(struct stream *s, uint64_t n)
{
    struct ring *r = s->ring;
    if (n <= SMALL_MESSAGE)
        r->messages++;
    else
        r->moving_bulk = true;
    if (stream_unsent(s) > STREAM_LOW)
        s->was_high = true;
    stream_dirty(s);
}

static bool
takes(const struct stream *s, uint64_t n)
{
    return n > 0 && !s->error && s->handler;
}

static bool
is_slow(const struct stream *s)
{
    return s->below ? s->below->polling : s->polling;
}

static void
push(struct stream *s, struct buf *b, const uint8_t *p, uint64_t n)
{
    if (queue_join(&s->queue, b, p, n) || queue_push(&s->queue, b, p, n))
        queued(s, n);
    else
        stream_break(s, -ENOMEM);
}

// A copy of p in memory that pins nothing but itself.
static void
push_copy(struct stream *s, const void *p, size_t n)
{
    struct buf *b;
    uint8_t *at = scribe_copy(s->ring, p, n, &b);
    if (at) {
        push(s, b, at, n);
        return;
    }
    b = buf_new(s->ring, n);
    if (!b) {
        stream_break(s, -ENOMEM);
        return;
    }
    memcpy(b->data, p, n);
    push(s, b, b->data, n);
    buf_unref(b);
}

void
stream_send_buf(struct stream *to, struct buf *b, const uint8_t *p, size_t n)
{
    if (takes(to, n))
        push(to, b, p, n);
}

void
stream_send_ref(struct stream *to, struct stream *from, const uint8_t *p, size_t n)
{
    struct buf *b = from->buf;
    if (!takes(to, n))
        return;
    // A header and its payload, and message after message, lie side by side: one piece to send.
    if (b && queue_join(&to->queue, b, p, n))
        queued(to, n);
    else if (!b || (is_slow(to) && n <= (b->kind == BUF_POOL ? COPY_SLOW : COPY_BELOW)))
        push_copy(to, p, n);
    else
        push(to, b, p, n);
}

void
stream_send_copy(struct stream *to, const void *p, size_t n)
{
    if (takes(to, n))
        push_copy(to, p, n);
}

void
stream_send_zeroes(struct stream *to, uint64_t n)
{
    if (takes(to, n))
        push(to, NULL, NULL, n);
}

uint64_t
stream_unsent(const struct stream *s)
{
    return s->queue.bytes + (s->below ? s->below->queue.bytes : 0);
}

// Lays out the front of the queue; returns its bytes.
static size_t
lay_out(struct stream *s, struct iovec *iov, uint32_t *count)
{
    size_t total = 0;
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->queue.count && n < SEND_IOVECS && total < SEND_MOST; i++) {
        const struct seg *seg = queue_at(&s->queue, i);
        const uint8_t *p = seg->buf ? seg->p : s->ring->zeroes;
        uint64_t left = seg->n;
        do {
            size_t some = left;
            if (!seg->buf && some > ZEROES)
                some = ZEROES;
            if (some > SEND_MOST - total)
                some = SEND_MOST - total;
            iov[n++] = (struct iovec){.iov_base = (void *)(uintptr_t)p, .iov_len = some};
            total += some;
            left -= some;
        } while (!seg->buf && left && n < SEND_IOVECS && total < SEND_MOST);
    }
    *count = n;
    return total;
}

static ssize_t
send_some(struct stream *s, size_t *asked)
{
    struct iovec iov[SEND_IOVECS];
    uint32_t count;
    *asked = lay_out(s, iov, &count);
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = count};
    for (;;) {
        ssize_t n = count == 1
                        ? send(s->fd, iov[0].iov_base, iov[0].iov_len, MSG_NOSIGNAL | MSG_DONTWAIT)
                        : sendmsg(s->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0 || errno != EINTR)
            return n;
    }
}

// The peer is slow: what is queued may lie here long. A piece of a pool buffer pins all of it, and
// some hundred such peers could pin the whole pool.
void
send_compact(struct stream *s)
{
    struct ring *r = s->ring;
    bool scarce = pool_scarce(&r->pool);
    for (uint32_t i = 0; i < s->queue.count; i++) {
        struct seg *seg = queue_at(&s->queue, i);
        if (!seg->buf || seg->buf->kind != BUF_POOL || (seg->n > COPY_SLOW && !scarce))
            continue;
        struct buf *b;
        uint8_t *at = scribe_copy(r, seg->p, seg->n, &b);
        if (at)
            buf_ref(b);
        else if ((b = buf_new(r, seg->n)))
            at = memcpy(b->data, seg->p, seg->n);
        else
            return; // no memory: it stays where it is
        buf_unref(seg->buf);
        seg->buf = b;
        seg->p = at;
    }
}

void
send_wait(struct stream *s)
{
    send_compact(s);
    s->polling = true;
    struct io_uring_sqe *sqe = ring_sqe(s->ring, OP_WRITABLE, s->id);
    io_uring_prep_poll_add(sqe, s->fd, POLLOUT);
}

void
send_start(struct stream *s)
{
    if (!s->queue.count || s->polling || s->error)
        return;
    size_t asked;
    ssize_t n = send_some(s, &asked);
    if (n < 0 && errno != EAGAIN) {
        stream_break(s, -errno);
        return;
    }
    if (n > 0) {
        queue_consume(&s->queue, (uint64_t)n);
        s->bytes_sent += (uint64_t)n;
        s->last_sent = s->ring->now;
        if (s->was_high && s->queue.bytes <= STREAM_LOW) {
            s->was_high = false;
            stream_nudge(s);
        }
    }
    if (n < (ssize_t)asked)
        send_wait(s);
    else if (s->queue.count)
        stream_dirty(s);
}

void
writable_done(struct stream *s)
{
    s->polling = false;
    stream_dirty(s);
}
