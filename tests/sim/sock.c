// SPDX-License-Identifier: BSD-3-Clause
#include "sock.h"

#include "world.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_FD   1000000
#define MOST_SOCKS 4096

bool sock_bulk;
static struct sock *socks[MOST_SOCKS];
static unsigned n_socks;

static struct sock *
sock_new(void)
{
    expect(n_socks < MOST_SOCKS, "too many connections in one run");
    struct sock *s = calloc(1, sizeof *s);
    expect(s, "out of memory");
    s->fd = FIRST_FD + (int)n_socks;
    s->room = chance_between(sock_bulk ? 128 << 10 : 64, 1 << 20);
    s->grain = (enum grain)chance_below(sock_bulk ? 2 : 3);
    s->dies_sent = s->dies_received = NEVER;
    socks[n_socks++] = s;
    return s;
}

void
sock_pair(struct sock **a, struct sock **b)
{
    *a = sock_new();
    *b = sock_new();
    (*a)->peer = *b;
    (*b)->peer = *a;
}

struct sock *
sock_of_fd(int fd)
{
    unsigned i = (unsigned)(fd - FIRST_FD);
    expect(i < n_socks && !socks[i]->closed, "descriptor %d is not open", fd);
    return socks[i];
}

static size_t
on_the_way(const struct sock *s)
{
    return s->tail - s->head;
}

void
sock_die(struct sock *s)
{
    if (s->dead)
        return;
    s->dead = true;
    switch (s->death) {
    case DEATH_SHUTDOWN: sock_shutdown(s); break;
    case DEATH_CLOSE: sock_close(s); break;
    default: sock_reset(s); break;
    }
}

bool
sock_readable(const struct sock *s)
{
    return !s->closed && (on_the_way(s) || s->ended || s->reset);
}

static size_t
piece(const struct sock *s, size_t n)
{
    uint64_t to_cut = s->cut_at > s->received ? s->cut_at - s->received : n;
    if (n > to_cut)
        n = (size_t)to_cut;
    switch (s->grain) {
    case GRAIN_WHOLE: return n;
    case GRAIN_BYTE: return 1;
    case GRAIN_SMALL: return 1 + chance_below(n < 40 ? n : 40);
    case GRAIN_MIXED: break;
    }
    return chance_of(sock_bulk ? 80 : 50) ? n : (size_t)chance_between(1, n);
}

ssize_t
sock_recv(struct sock *s, void *p, size_t n)
{
    size_t have = on_the_way(s);
    if (!have)
        return s->reset ? -ECONNRESET : s->ended ? 0 : -EAGAIN;
    if (n > have)
        n = have;
    n = piece(s, n);
    bool dying = s->dies_received != NEVER && !s->dead;
    if (dying && n > s->dies_received - s->received)
        n = (size_t)(s->dies_received - s->received);
    memcpy(p, s->data + s->head, n);
    s->head += n;
    s->received += n;
    if (dying && s->received >= s->dies_received) {
        sock_die(s);
        return n ? (ssize_t)n : -EAGAIN;
    }
    return (ssize_t)n;
}

size_t
sock_room(const struct sock *s)
{
    const struct sock *to = s->peer;
    if (s->closed || s->dead)
        return 0;
    if (to->closed || s->reset)
        return 1;
    return on_the_way(to) < to->room ? to->room - on_the_way(to) : 0;
}

static void
append(struct sock *to, const void *p, size_t n)
{
    if (to->head) {
        memmove(to->data, to->data + to->head, on_the_way(to));
        to->tail -= to->head;
        to->head = 0;
    }
    if (to->tail + n > to->cap) {
        to->cap = 2 * (to->tail + n);
        to->data = realloc(to->data, to->cap);
        expect(to->data, "out of memory");
    }
    memcpy(to->data + to->tail, p, n);
    to->tail += n;
    to->sent += n;
}

ssize_t
sock_send(struct sock *s, const void *p, size_t n)
{
    struct sock *to = s->peer;
    expect(!s->closed, "sending on a closed connection");
    if (s->reset)
        return -ECONNRESET;
    if (to->closed) { // what is sent now is answered by a reset
        s->reset = true;
        return chance_of(50) ? -EPIPE : (ssize_t)n;
    }
    if (s->dead || s->peer->ended)
        return -EPIPE;
    size_t room = sock_room(s);
    if (n > room)
        n = room;
    if (s->dies_sent != NEVER && n > s->dies_sent - to->sent)
        n = (size_t)(s->dies_sent - to->sent);
    append(to, p, n);
    if (to->sent >= s->dies_sent)
        sock_die(s);
    return (ssize_t)n;
}

void
sock_shutdown(struct sock *s)
{
    s->peer->ended = true;
}

void
sock_reset(struct sock *s)
{
    s->closed = true;
    s->peer->reset = true;
    if (chance_of(50)) // it may overtake what was sent before
        s->peer->head = s->peer->tail;
}

void
sock_close(struct sock *s)
{
    if (s->closed)
        return;
    if (on_the_way(s) && chance_of(80)) { // nobody will read that
        sock_reset(s);
        return;
    }
    s->closed = true;
    s->peer->ended = true;
}

unsigned
socks_clear(void)
{
    unsigned open = 0;
    for (unsigned i = 0; i < n_socks; i++) {
        open += !socks[i]->closed;
        free(socks[i]->data);
        free(socks[i]);
    }
    n_socks = 0;
    return open;
}
