// SPDX-License-Identifier: BSD-3-Clause
// Receiving. A stream at rest holds no buffer: its receive picks one from the pool when bytes come,
// and up to CARRY bytes left over wait in the stream itself. A longer left-over, and a stream that
// moves bulk, receive behind what they have.
#include "stream_inside.h"

#include <errno.h>
#include <string.h>

#define HEAP_LEAST (4u << 10)
#define HEAP_MOST  (32u << 10)
// A stream that wants bulk and gets nothing for so long waits without a buffer.
#define STALL (500 * NS_PER_MS)

static size_t
unread(const struct stream *s)
{
    return (size_t)(s->tail - s->head);
}

static size_t
room(const struct stream *s)
{
    return (size_t)(s->buf->data + s->buf->cap - s->tail);
}

// Moves what is unread to `at` in b (NULL: into the stream), which the stream owns from now on.
static void
move_to(struct stream *s, struct buf *b, uint8_t *at)
{
    size_t n = unread(s);
    memmove(at, s->head, n);
    if (s->buf && s->buf != b)
        buf_unref(s->buf);
    s->buf = b;
    s->head = at;
    s->tail = at + n;
}

void
receive_drop(struct stream *s)
{
    s->head = s->tail;
    if (s->buf && !s->receiving)
        move_to(s, NULL, s->carry);
}

static bool
is_bulk(const struct stream *s)
{
    return s->want > WANT_BULK && !s->stalled;
}

void
receive_trim(struct stream *s)
{
    if (!s->receiving || s->selecting || s->stalled || s->buf->kind != BUF_BULK ||
        unread(s) > CARRY || s->ring->now - s->last_received < STALL)
        return;
    s->stalled = true;
    ring_cancel(s->ring, OP_RECEIVE, s->id); // its completion leads to one without a buffer
}

// Lets go of a buffer that is not worth keeping.
void
receive_settle(struct stream *s)
{
    if (!s->buf || s->receiving)
        return;
    size_t n = unread(s);
    if (n == 0 && s->buf->refs == 1)
        s->head = s->tail = s->buf->data; // begin anew where the cache is warm
    if (n <= CARRY) {
        // The kernel needs one to receive into; what is decrypted can wait for one.
        if (!s->tls && is_bulk(s) && s->buf->kind == BUF_BULK && room(s) >= ROOM_BULK)
            return;
        move_to(s, NULL, s->carry);
        return;
    }
    // A buffer of the pool is the pool's: nothing may stay in it while its peer makes up its mind.
    if (s->buf->kind == BUF_POOL && (n <= HEAP_MOST / 2 || pool_scarce(&s->ring->pool))) {
        struct buf *b = buf_new(s->ring, 2 * n < HEAP_LEAST ? HEAP_LEAST : 2 * n);
        if (b)
            move_to(s, b, b->data);
    }
}

// For a stream that holds a left-over too long to carry, or wants bulk: makes room behind what is
// there. False: there is none to be had now.
static bool
make_room(struct stream *s)
{
    struct ring *r = s->ring;
    size_t n = unread(s);
    size_t least = is_bulk(s) ? ROOM_BULK : 1;
    if (s->buf && room(s) >= least)
        return true;
    if (s->buf && s->buf->refs == 1 && n <= s->buf->cap / 2 && s->buf->cap - n >= least) {
        move_to(s, s->buf, s->buf->data);
        return true;
    }
    struct buf *b = NULL;
    if (!is_bulk(s) && 4 * n <= HEAP_MOST)
        b = buf_new(r, 4 * n < HEAP_LEAST ? HEAP_LEAST : 4 * n);
    if (!b && n < BULK_SIZE)
        b = bulk_claim(r);
    if (!b && n <= CARRY)
        return false; // the pool will do
    if (!b && n < BULK_SIZE)
        b = buf_new(r, n + ROOM_BULK);
    if (!b)
        return s->buf && room(s) > 0;
    move_to(s, b, b->data);
    return true;
}

bool
receive_room(struct stream *s)
{
    struct ring *r = s->ring;
    bool small = !is_bulk(s) && unread(s) <= CARRY;
    if (s->buf && small && room(s) > 0)
        return true;
    if (!small && make_room(s))
        return true;
    if (unread(s) > CARRY)
        return false; // as much as we ever hold
    struct buf *b = pool_scarce(&r->pool) ? NULL : pool_take(r);
    if (!b)
        b = buf_new(r, HEAP_MOST);
    if (b)
        move_to(s, b, b->data + HEADROOM - unread(s));
    return b != NULL;
}

size_t
receive_space(const struct stream *s)
{
    return room(s);
}

static void
receive_behind(struct stream *s)
{
    struct io_uring_sqe *sqe = ring_sqe(s->ring, OP_RECEIVE, s->id);
    io_uring_prep_recv(sqe, s->fd, s->tail, room(s), 0);
    sqe->ioprio = s->more ? 0 : IORING_RECVSEND_POLL_FIRST;
    s->receiving = true;
    s->selecting = false;
}

static void
receive_select(struct stream *s)
{
    struct ring *r = s->ring;
    if (!pool_has(&r->pool)) {
        stream_starve(s);
        return;
    }
    struct io_uring_sqe *sqe = ring_sqe(r, OP_RECEIVE, s->id);
    io_uring_prep_recv(sqe, s->fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = POOL_GROUP;
    // The socket is empty as far as we know: waiting for it at once saves an attempt.
    sqe->ioprio = s->more ? 0 : IORING_RECVSEND_POLL_FIRST;
    s->receiving = true;
    s->selecting = true;
    r->pool.selecting++;
}

void
receive_start(struct stream *s)
{
    if (s->receiving || s->at_eof || s->error || !s->want)
        return;
    if (!s->buf && !is_bulk(s)) {
        receive_select(s);
        return;
    }
    if (make_room(s)) {
        receive_behind(s);
        return;
    }
    if (unread(s) > CARRY)
        return; // as much as we ever hold; taking some of it brings us here again
    if (s->buf)
        move_to(s, NULL, s->carry);
    receive_select(s);
}

static void
arrived(struct stream *s, struct buf *picked, size_t n)
{
    if (picked) {
        uint8_t *at = picked->data + HEADROOM - unread(s);
        move_to(s, picked, at);
    }
    s->stalled = false;
    s->tail += n;
    s->bytes_received += n;
    s->last_received = s->ring->now;
    if (s->state != STREAM_OPEN)
        receive_drop(s);
}

void
receive_done(struct stream *s, int res, uint32_t flags)
{
    struct ring *r = s->ring;
    struct buf *picked = NULL;
    if (flags & IORING_CQE_F_BUFFER)
        picked = pool_picked(r, flags >> IORING_CQE_BUFFER_SHIFT);
    if (s->selecting)
        r->pool.selecting--;
    s->receiving = s->selecting = false;
    s->more = flags & IORING_CQE_F_SOCK_NONEMPTY;
    stream_dirty(s);
    if (res > 0) {
        arrived(s, picked, (size_t)res);
        stream_nudge(s);
        return;
    }
    if (picked)
        buf_unref(picked);
    switch (-res) {
    case 0:
        s->at_eof = true;
        stream_nudge(s);
        break;
    case ENOBUFS:
        pool_missed(r);
        s->more = true; // it was there, or we would not have been told
        break;
    case ECANCELED: // by us: the stream is dead, or the ring stops
    case EINTR:
    case EAGAIN: break;
    default: stream_break(s, res); break;
    }
}

uint8_t *
stream_peek(struct stream *s, size_t *n)
{
    *n = unread(s);
    return s->head;
}

void
stream_take(struct stream *s, size_t n)
{
    s->head += n;
    stream_dirty(s);
}

void
stream_want(struct stream *s, size_t bytes)
{
    s->want = bytes;
    stream_dirty(s);
}

bool
stream_at_end(const struct stream *s)
{
    return s->at_eof && s->head == s->tail;
}

bool
stream_ended(const struct stream *s)
{
    return s->at_eof;
}
