// SPDX-License-Identifier: BSD-3-Clause
// A stream's life, its receiving, and its part in each turn.
#include "fake_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LINGER       (2 * NS_PER_SEC)
#define FINISH_STALL (10 * NS_PER_SEC)
#define HELD_LEAST   (16u << 10) // more than the longest message that must lie in one piece
#define HELD_MOST    (1u << 20)

struct stream *
stream_new(struct ring *r, int fd, nstime keepalive, const struct stream_handler *handler,
           void *ctx)
{
    (void)keepalive;
    struct stream *s = calloc(1, sizeof *s);
    expect(s, "out of memory");
    s->ring = r;
    s->sock = sock_of_fd(fd);
    s->handler = handler;
    s->ctx = ctx;
    s->most_held = (size_t)chance_between(HELD_LEAST, HELD_MOST);
    s->last_received = s->last_sent = r->now;
    s->next = r->streams;
    r->streams = s;
    return s;
}

void
stream_set_handler(struct stream *s, const struct stream_handler *handler, void *ctx)
{
    s->handler = handler;
    s->ctx = ctx;
}

void
stream_nudge(struct stream *s)
{
    s->fresh = true;
}

void
stream_break(struct stream *s, int error)
{
    if (s->error)
        return;
    s->error = error;
    stream_drop_queue(s);
}

static void
drop(struct stream *s)
{
    s->state = STREAM_DEAD;
    timer_cancel(s->ring, &s->timer);
    stream_drop_queue(s);
}

static void
gave_up(struct timer *t)
{
    drop((struct stream *)((char *)t - offsetof(struct stream, timer)));
}

void
stream_close(struct stream *s, enum stream_close how)
{
    expect(s->state == STREAM_OPEN, "a stream is closed twice");
    s->handler = NULL;
    s->head = s->tail;
    bool alert = s->error && !s->sock_error && tls_unsent(s); // it is still to be said
    if ((how == STREAM_ABORT || s->error) && !alert) {
        drop(s);
        return;
    }
    s->state = STREAM_FINISHING;
    s->timer.fire = gave_up;
    timer_set(s->ring, &s->timer, s->ring->now + FINISH_STALL);
}

static void
finish(struct stream *s)
{
    if (s->state == STREAM_FINISHING && (stream_unsent(s) || !tls_bid_farewell(s))) {
        if (s->last_sent == s->ring->now)
            timer_set(s->ring, &s->timer, s->ring->now + FINISH_STALL);
    } else if (s->state == STREAM_FINISHING && !s->sock_error) {
        sock_shutdown(s->sock);
        s->state = STREAM_ENDED;
        timer_set(s->ring, &s->timer, s->ring->now + LINGER);
    }
    if (s->sock_error || (s->state == STREAM_ENDED && s->sock_ended))
        drop(s);
}

static void
stream_free(struct stream *s)
{
    struct stream **p = &s->ring->streams;
    while (*p != s)
        p = &(*p)->next;
    *p = s->next;
    sock_close(s->sock);
    tls_free(s);
    if (s->buf)
        buf_unref(s->buf);
    free(s->queue);
    free(s);
}

// Receiving -------------------------------------------------------------------------------

// What is unread moves to memory of its own, `more` bytes longer, as after any turn it may.
static void
move(struct stream *s, size_t more)
{
    size_t n = stream_unread(s);
    struct buf *b = n + more ? buf_new(s->ring, n + more) : NULL;
    if (n)
        memcpy(b->data, s->head, n);
    if (s->buf)
        buf_unref(s->buf);
    s->buf = b;
    s->head = b ? b->data : NULL;
    s->tail = b ? b->data + n : NULL;
}

void
stream_gather(struct stream *s, const uint8_t *p, size_t n)
{
    if (!n || s->state != STREAM_OPEN)
        return;
    move(s, n);
    memcpy(s->tail, p, n);
    s->tail += n;
    s->bytes_received += n;
    s->last_received = s->ring->now;
}

void
stream_ends(struct stream *s)
{
    s->at_eof = true;
    stream_nudge(s);
}

void
stream_loses(struct stream *s, int error)
{
    s->sock_error = error;
    if (s->tls)
        tls_sock_broke(s, error);
    stream_break(s, error);
}

static void
receive(struct stream *s)
{
    static uint8_t bytes[HELD_MOST];
    size_t n = s->most_held > stream_unread(s) ? s->most_held - stream_unread(s) : 1;
    ssize_t got = sock_recv(s->sock, bytes, n);
    if (got == -EAGAIN)
        return;
    s->receiving = false;
    if (got < 0) {
        stream_loses(s, (int)got);
    } else if (got == 0) {
        s->sock_ended = true;
        if (s->tls)
            tls_sock_ended(s);
        else
            stream_ends(s);
    } else if (s->tls) {
        tls_received(s, bytes, (size_t)got);
    } else {
        stream_gather(s, bytes, (size_t)got);
        stream_nudge(s);
    }
}

uint8_t *
stream_peek(struct stream *s, size_t *n)
{
    *n = stream_unread(s);
    return s->head;
}

void
stream_take(struct stream *s, size_t n)
{
    expect(n <= stream_unread(s), "more is taken than there is");
    s->head += n;
}

void
stream_want(struct stream *s, size_t bytes)
{
    expect(s->state == STREAM_OPEN, "a closed stream is used");
    s->want = bytes;
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

int
stream_error(const struct stream *s)
{
    return s->error;
}

nstime
stream_last_received(const struct stream *s)
{
    return s->last_received;
}

nstime
stream_last_sent(const struct stream *s)
{
    return s->last_sent;
}

uint64_t
stream_bytes_received(const struct stream *s)
{
    return s->bytes_received;
}

uint64_t
stream_bytes_sent(const struct stream *s)
{
    return s->bytes_sent;
}

// Turns -----------------------------------------------------------------------------------

static bool
has_news(const struct stream *s)
{
    return s->handler && !s->told && (s->fresh || s->error);
}

static bool
wants_receive(const struct stream *s)
{
    if (s->receiving || s->sock_ended || s->sock_error)
        return false;
    if (s->state != STREAM_OPEN)
        return true;
    return !s->at_eof && !s->error &&
           (tls_shakes(s) || (s->want && stream_unread(s) < s->most_held));
}

static bool
wants_send(const struct stream *s)
{
    bool frames = tls_unsent(s) || tls_can_seal(s);
    return !s->sock_error && sock_room(s->sock) && (s->tls ? frames : s->unsent > 0);
}

static bool
can_run(const struct stream *s)
{
    return has_news(s) || s->state == STREAM_DEAD || wants_receive(s) ||
           (s->receiving && sock_readable(s->sock)) || wants_send(s) ||
           (s->state == STREAM_FINISHING && !stream_unsent(s)) ||
           (s->state != STREAM_OPEN && s->sock_error) ||
           (s->state == STREAM_ENDED && s->sock_ended);
}

bool
streams_can_run(const struct ring *r)
{
    for (const struct stream *s = r->streams; s; s = s->next)
        if (can_run(s))
            return true;
    return false;
}

void
streams_receive(struct ring *r)
{
    for (struct stream *s = r->streams; s; s = s->next)
        if (s->receiving && s->state != STREAM_DEAD && sock_readable(s->sock) && chance_of(90))
            receive(s);
}

static struct stream *
next_speaker(const struct ring *r)
{
    struct stream *chosen = NULL;
    unsigned n = 0;
    for (struct stream *s = r->streams; s; s = s->next)
        if (has_news(s) && s->spoke != r->turn && chance_below(++n) == 0)
            chosen = s;
    return chosen;
}

void
streams_speak(struct ring *r)
{
    struct stream *s;
    while ((s = next_speaker(r))) {
        s->spoke = r->turn;
        if (s->fresh) {
            s->fresh = false;
            s->handler->ready(s->ctx);
        }
        if (s->handler && s->error && !s->told) {
            s->told = true;
            s->handler->broken(s->ctx);
        }
    }
}

void
streams_flush(struct ring *r)
{
    for (struct stream *s = r->streams, *next; s; s = next) {
        next = s->next;
        if (s->state != STREAM_DEAD)
            stream_send_some(s);
        if (s->state == STREAM_FINISHING || s->state == STREAM_ENDED)
            finish(s);
        if (s->state == STREAM_DEAD) {
            stream_free(s);
            continue;
        }
        if (s->buf && (!stream_unread(s) || chance_of(25)))
            move(s, 0);
        if (wants_receive(s))
            s->receiving = true;
    }
}
