// SPDX-License-Identifier: BSD-3-Clause
// A stream's life: birth, its part in each turn, its end.
#include "stream_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

// How long we read away what comes after our last words, and how long we wait for a peer that takes
// none of them.
#define LINGER       (2 * NS_PER_SEC)
#define FINISH_STALL (10 * NS_PER_SEC)

static bool
is_loopback(const struct sockaddr_storage *ss)
{
    if (ss->ss_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)ss)->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    const struct in6_addr *a = &((const struct sockaddr_in6 *)ss)->sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(a) || (IN6_IS_ADDR_V4MAPPED(a) && a->s6_addr[12] == IN_LOOPBACKNET);
}

static void
set_int(int fd, int level, int option, int value)
{
    // Each of these is a wish: a socket that does not know it works without.
    (void)setsockopt(fd, level, option, &value, sizeof value);
}

static void
tune(int fd, nstime keepalive)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof peer;
    if (getpeername(fd, (struct sockaddr *)&peer, &len) < 0 ||
        (peer.ss_family != AF_INET && peer.ss_family != AF_INET6))
        return;
    set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    // Pacing congestion controls (bbr) cost half as much again and gain nothing on loopback.
    if (is_loopback(&peer))
        (void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
    if (!keepalive)
        return;
    // The first probe after `keepalive`, the connection is given up three unanswered ones later.
    int idle = (int)((keepalive + NS_PER_SEC - 1) / NS_PER_SEC);
    set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, idle);
    set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, idle < 30 ? (idle + 2) / 3 : 10);
    set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
}

struct stream *
stream_new(struct ring *r, int fd, nstime keepalive, const struct stream_handler *handler,
           void *ctx)
{
    struct stream *s = calloc(1, sizeof *s);
    uint64_t id = s ? slot_claim(&r->slots, SLOT_STREAM, s) : 0;
    if (!id) {
        free(s);
        close(fd);
        return NULL;
    }
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0 && !(flags & O_NONBLOCK))
        (void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    tune(fd, keepalive);
    s->ring = r;
    s->handler = handler;
    s->ctx = ctx;
    s->id = id;
    s->fd = fd;
    s->head = s->tail = s->carry;
    s->last_received = s->last_sent = r->now;
    queue_init(&s->queue);
    return s;
}

void
stream_set_handler(struct stream *s, const struct stream_handler *handler, void *ctx)
{
    s->handler = handler;
    s->ctx = ctx;
}

void
stream_break(struct stream *s, int error)
{
    if (s->error)
        return;
    s->error = error;
    queue_clear(&s->queue);
    stream_announce(s);
    stream_dirty(s);
}

void
stream_nudge(struct stream *s)
{
    s->fresh = true;
    stream_announce(s);
}

static void
drop(struct stream *s)
{
    if (s->state != STREAM_OPEN)
        s->ring->finishing--;
    s->state = STREAM_DEAD;
    timer_cancel(s->ring, &s->timer);
    queue_clear(&s->queue);
    stream_dirty(s);
}

static void
gave_up(struct timer *t)
{
    drop((struct stream *)((char *)t - offsetof(struct stream, timer)));
}

void
stream_close(struct stream *s, enum stream_close how)
{
    s->handler = NULL;
    receive_drop(s);
    stream_dirty(s);
    if (how == STREAM_ABORT || s->error) {
        drop(s);
        return;
    }
    s->state = STREAM_FINISHING;
    s->ring->finishing++;
    s->want = CARRY;
    s->timer.fire = gave_up;
    timer_set(s->ring, &s->timer, s->ring->now + FINISH_STALL);
}

void
stream_patience(struct stream *s)
{
    timer_set(s->ring, &s->timer, s->ring->now + FINISH_STALL);
}

// Moves the end of a closed stream on by what has become possible.
void
stream_finish(struct stream *s)
{
    struct ring *r = s->ring;
    if (s->state == STREAM_FINISHING && s->queue.count) {
        if (s->last_sent == r->now) // it takes some: no reason to give up
            stream_patience(s);
    } else if (s->state == STREAM_FINISHING && !s->error) {
        shutdown(s->fd, SHUT_WR);
        s->state = STREAM_ENDED;
        timer_set(r, &s->timer, r->now + LINGER);
    }
    if (s->error || (s->state == STREAM_ENDED && s->at_eof))
        drop(s);
}

void
stream_free(struct stream *s)
{
    receive_drop(s);
    queue_clear(&s->queue);
    slot_release(&s->ring->slots, s->id);
    close(s->fd);
    free(s);
}

int
stream_error(const struct stream *s)
{
    return s->error;
}

nstime
stream_last_received(const struct stream *s)
{
    return s->below ? s->below->last_received : s->last_received;
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
