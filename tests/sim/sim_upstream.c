// SPDX-License-Identifier: BSD-3-Clause
// Connections of the model upstream: bytes in, bytes out, and their end.
#include "sim_upstream.h"

#include <errno.h>
#include <stdlib.h>

#define OUT_ENOUGH (256u << 10)

static struct upstream_conn *
conn_of(struct actor *a)
{
    return (struct upstream_conn *)((char *)a - offsetof(struct upstream_conn, actor));
}

void
sim_upstream_begin(struct sim_upstream *u, struct disk *d, struct oracle *o)
{
    *u = (struct sim_upstream){.disk = d, .oracle = o, .name = "disk"};
    u->flags = NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA | NBD_FLAG_SEND_TRIM |
               NBD_FLAG_SEND_WRITE_ZEROES | NBD_FLAG_CAN_MULTI_CONN | NBD_FLAG_SEND_CACHE |
               NBD_FLAG_SEND_DF;
    u->dies_sent = u->dies_received = u->stalls_sent = u->stalls_received = NEVER;
    u->grain = (enum grain)chance_below(sock_bulk ? 2 : 3);
    sim_upstream_cost(u, 1.0, 1.0, 20 * NS_PER_US, 100 * NS_PER_US);
}

void
sim_upstream_cost(struct sim_upstream *u, double write_gbs, double zero_gbs, nstime fixed,
                  nstime flush)
{
    for (unsigned i = 0; i < NBD_COMMANDS; i++)
        u->cost[i] = (struct cost){.fixed = fixed};
    u->cost[NBD_CMD_READ].per_byte = 1 / write_gbs;
    u->cost[NBD_CMD_WRITE].per_byte = 1 / write_gbs;
    u->cost[NBD_CMD_WRITE_ZEROES].per_byte = 1 / zero_gbs;
    u->cost[NBD_CMD_FLUSH].fixed = flush;
}

// Output ----------------------------------------------------------------------------------

struct out
conn_room(struct upstream_conn *c, size_t n)
{
    return out_of(queue_room(&c->line.out, n), n);
}

void
conn_said(struct upstream_conn *c, const struct out *out)
{
    expect(!out->full, "the model upstream said too much");
    c->line.out.len += out->len;
    c->said += out->len;
}

void
conn_say(struct upstream_conn *c, const void *p, size_t n)
{
    struct out out = conn_room(c, n);
    out_bytes(&out, bytes_of(p, n));
    conn_said(c, &out);
}

static bool
stalled(const struct upstream_conn *c)
{
    return c->doomed && c->sent >= c->host->stalls_sent;
}

static bool
may_send(const struct upstream_conn *c)
{
    return line_can_send(&c->line) && !c->sock->closed && sock_room(c->sock) && !stalled(c);
}

static void
send_some(struct upstream_conn *c)
{
    while (may_send(c)) {
        uint64_t most = c->doomed ? c->host->stalls_sent - c->sent : UINT64_MAX;
        size_t sent = line_send(&c->line, c->sock, most);
        c->sent += sent;
        c->host->sent_bytes += sent;
        if (!sent)
            return;
    }
}

// Input -----------------------------------------------------------------------------------

static bool
is_deaf(const struct upstream_conn *c)
{
    return c->doomed && c->sock->received >= c->host->stalls_received;
}

static bool
may_read(const struct upstream_conn *c)
{
    return c->state != CONN_ENDING && !c->sock->closed && sock_readable(c->sock) &&
           (!is_deaf(c) || c->sock->ended || c->sock->reset);
}

static void
check_heard(struct upstream_conn *c, bool was_up, bool was_greeted)
{
    struct sim_upstream *u = c->host;
    struct sim_tls *t = &c->line.tls;
    expect(!u->tls || u->kind == KIND_FIXED, "the proxy speaks to a server that has no TLS");
    expect(!c->refused, "the proxy has something to say without TLS");
    expect(!t->failed || u->trouble, "TLS with the proxy: %s", t->why);
    u->secured += !was_up && t->up;
    if (!was_greeted && t->heard && u->trouble == TLS_PLAINTEXT)
        queue_append(&t->wire, "\0\3\xe8\x89\4\x55\x65\xa9\0\0\0\5\0\0\0\1\0\0\0", 20);
    if (t->failed)
        c->state = CONN_ENDING;
}

static void
receive(struct upstream_conn *c)
{
    static uint8_t bytes[1 << 20];
    if (is_deaf(c)) { // it is given up, and never does what it has not heard
        c->state = CONN_ENDING;
        return;
    }
    ssize_t n = sock_recv(c->sock, bytes, sizeof bytes);
    if (n <= 0) {
        if (n != -EAGAIN)
            c->state = CONN_ENDING; // the proxy is gone; what it had asked for is finished
        return;
    }
    c->host->received_bytes += (uint64_t)n;
    bool was_up = c->line.tls.up, was_greeted = c->line.tls.heard;
    line_hear(&c->line, bytes, (size_t)n);
    check_heard(c, was_up, was_greeted);
}

static bool
take_flags(struct upstream_conn *c, struct bytes in, size_t *used)
{
    if (in.len < 4)
        return false;
    uint32_t flags = get_be32(in.p);
    unsigned offered = conn_handshake_flags(c->host);
    expect(!(flags & ~offered), "the proxy sent handshake flags 0x%x, of 0x%x", flags, offered);
    expect(c->host->kind != KIND_FIXED || (flags & NBD_FLAG_FIXED_NEWSTYLE),
           "the proxy does not say that it is fixed newstyle");
    c->no_zeroes = flags & NBD_FLAG_NO_ZEROES;
    c->state = CONN_OPTIONS;
    *used = 4;
    return true;
}

static void
parse(struct upstream_conn *c)
{
    bool more = true;
    while (more && queue_left(&c->line.in) && c->state != CONN_ENDING) {
        struct bytes in = queue_bytes(&c->line.in);
        size_t used = 0;
        if (c->state == CONN_FLAGS)
            more = take_flags(c, in, &used);
        else if (c->state == CONN_OPTIONS)
            more = conn_option(c, in, &used);
        else
            more = conn_request(c, in, &used);
        queue_consume(&c->line.in, used);
    }
}

// Turns -----------------------------------------------------------------------------------

static bool
has_reply(const struct upstream_conn *c)
{
    if (queue_left(&c->line.out) >= OUT_ENOUGH)
        return false;
    for (const struct job *j = c->jobs; j; j = j->next)
        if (j->n_parts)
            return true;
    return false;
}

static bool
is_due(const struct upstream_conn *c)
{
    for (const struct job *j = c->jobs; j; j = j->next)
        if (!j->n_parts && j->due <= world.now)
            return true;
    return false;
}

static bool
is_over(const struct upstream_conn *c)
{
    if (c->lingers && c->jobs)
        return false;
    return c->sock->closed || (c->state == CONN_ENDING && !c->jobs && !line_can_send(&c->line));
}

static bool
can_run(struct actor *a)
{
    const struct upstream_conn *c = conn_of(a);
    if (is_over(c))
        return true;
    return may_read(c) || is_due(c) || has_reply(c) || may_send(c) ||
           (c->state == CONN_ENDING && line_can_send(&c->line) && c->sock->peer->closed);
}

static nstime
next_time(struct actor *a)
{
    const struct upstream_conn *c = conn_of(a);
    nstime next = 0;
    for (const struct job *j = c->jobs; j; j = j->next)
        if (!j->n_parts && (!next || j->due < next))
            next = j->due;
    return next;
}

static void
conn_free(struct upstream_conn *c)
{
    struct upstream_conn **p = &c->host->conns;
    while (*p != c)
        p = &(*p)->next;
    *p = c->next;
    c->host->live--;
    conn_jobs_end(c);
    sock_close(c->sock);
    world_remove(&c->actor);
    line_clear(&c->line);
    free(c);
}

static void
notice_death(struct upstream_conn *c)
{
    if (!c->sock->dead || c->state == CONN_ENDING)
        return;
    c->state = CONN_ENDING;
    c->lingers = c->host->zombies;
    if (c->lingers)
        conn_jobs_linger(c);
    else
        conn_jobs_end(c);
}

static void
run(struct actor *a)
{
    struct upstream_conn *c = conn_of(a);
    if (may_read(c))
        receive(c);
    notice_death(c);
    if (!c->sock->closed)
        parse(c);
    notice_death(c);
    conn_jobs_due(c);
    while (queue_left(&c->line.out) < OUT_ENOUGH && conn_emit(c))
        ;
    if (!c->sock->closed)
        send_some(c);
    notice_death(c);
    if (c->sock->closed || c->sock->peer->closed || c->sock->reset || c->sock->dead)
        line_drop(&c->line);
    if (is_over(c))
        conn_free(c);
}

struct sock *
sim_upstream_connect(struct sim_upstream *u)
{
    if (u->down)
        return NULL;
    struct upstream_conn *c = calloc(1, sizeof *c);
    struct sock *proxy;
    expect(c, "out of memory");
    sock_pair(&c->sock, &proxy);
    c->host = u;
    c->sock->grain = proxy->grain = u->grain;
    c->number = ++u->connections;
    if (c->number == u->doomed) {
        c->doomed = true;
        c->sock->dies_sent = u->dies_sent;
        c->sock->dies_received = u->dies_received;
        c->sock->death = u->death;
        proxy->cut_at = u->cut_sent;
    }
    u->live++;
    c->actor = (struct actor){.can_run = can_run, .run = run, .next_time = next_time};
    c->next = u->conns;
    u->conns = c;
    world_add(&c->actor);
    conn_greet(c);
    return proxy;
}

void
sim_upstream_end(struct sim_upstream *u)
{
    while (u->conns)
        conn_free(u->conns);
}
