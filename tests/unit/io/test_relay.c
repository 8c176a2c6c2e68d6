// SPDX-License-Identifier: BSD-3-Clause
// Stress: clients on threads, a relay of streams on one ring, an echo of streams on another. Random
// sizes, random pauses of either side, slow readers, half closes, aborts in mid-send; a thousand
// connections, every byte checked, all memory returned. The same with TLS between the two rings.
#include "pki.h"
#include "rig.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <io/address.h>
#include <io/dial.h>
#include <io/tls.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLIENTS     10
#define CONNECTIONS 100 // each
#define HIGH        (512u << 10)

// A thread with a ring, that relays or echoes.
struct side {
    struct ring *ring;
    struct acceptor acceptor;
    struct address forward; // where a relay connects to
    bool is_relay;
    struct tls_context *tls; // between relay and echo; NULL: none
    unsigned links, ever;    // alive; all
    uint64_t rng;
    pthread_t thread;
    struct letter stop;
    struct timer look;
};

// One connection: of an echo [0] only, of a relay client [0] and upstream [1].
struct link {
    struct side *side;
    struct stream *stream[2];
    struct dial *dial;
    struct timer pause;
    bool pausing;
    uint64_t rng;
};

static void
link_close(struct link *l, enum stream_close how)
{
    if (l->dial)
        dial_cancel(l->dial);
    timer_cancel(l->side->ring, &l->pause);
    for (int i = 0; i < 2; i++)
        if (l->stream[i])
            stream_close(l->stream[i], how);
    l->side->links--;
    free(l);
}

// By reference, copied, or in part each: the receiver must not be able to tell.
static void
pass(struct link *l, struct stream *from, struct stream *to, uint8_t *p, size_t n)
{
    while (n > 0) {
        size_t some = 1 + rng_below(&l->rng, n);
        if (rng_below(&l->rng, 4))
            stream_send_ref(to, from, p, some);
        else
            stream_send_copy(to, p, some);
        p += some;
        n -= some;
    }
}

static void
flow(struct link *l, struct stream *from, struct stream *to)
{
    static const size_t wants[] = {28, 4096, 64u << 10, 1u << 20};
    static const size_t pieces[] = {28, 100, 5000};
    size_t n;
    uint8_t *p = stream_peek(from, &n);
    if (l->pausing || stream_unsent(to) >= HIGH) {
        stream_want(from, 0); // the timer, or the room that comes, brings us here again
        return;
    }
    if (rng_below(&l->rng, 3)) {
        size_t left = n % pieces[rng_below(&l->rng, 3)];
        n -= left;
        if (left)
            stream_nudge(from);
    }
    stream_take(from, n);
    pass(l, from, to, p, n);
    stream_want(from, wants[rng_below(&l->rng, 4)]);
}

static void
maybe_pause(struct link *l)
{
    if (l->pausing || rng_below(&l->rng, 100))
        return;
    l->pausing = true;
    timer_set(l->side->ring, &l->pause,
              ring_now(l->side->ring) + rng_below(&l->rng, 3 * NS_PER_MS));
}

// A client that has ended its sending still gets all its bytes back.
static bool
all_came_back(const struct link *l)
{
    return stream_at_end(l->stream[0]) &&
           (!l->side->is_relay ||
            (stream_bytes_received(l->stream[1]) == stream_bytes_received(l->stream[0]) &&
             stream_at_end(l->stream[0])));
}

static void
link_ready(void *ctx)
{
    struct link *l = ctx;
    struct stream *client = l->stream[0], *upstream = l->stream[1];
    size_t left = 0;
    if (l->side->is_relay && !upstream)
        return; // still connecting
    maybe_pause(l);
    flow(l, client, upstream ? upstream : client);
    if (upstream) {
        flow(l, upstream, client);
        stream_peek(upstream, &left);
    }
    if (all_came_back(l) && left == 0)
        link_close(l, STREAM_FINISH);
    else if (upstream && stream_at_end(upstream))
        link_close(l, STREAM_ABORT); // the echo gave up on a broken connection
}

static void
pause_over(struct timer *t)
{
    struct link *l = (struct link *)((char *)t - offsetof(struct link, pause));
    l->pausing = false;
    stream_nudge(l->stream[0]);
}

static void
link_broken(void *ctx)
{
    link_close(ctx, STREAM_ABORT);
}

static const struct stream_handler link_handler = {.ready = link_ready, .broken = link_broken};

static void
secure(struct link *l, struct stream *s)
{
    char err[TLS_TEXT];
    if (l->side->tls && s && !stream_start_tls(s, l->side->tls, err, sizeof err))
        cr_assert_fail("%s", err);
}

static void
dialled(void *ctx, int fd, const char *err)
{
    struct link *l = ctx;
    l->dial = NULL;
    if (fd >= 0)
        l->stream[1] = stream_new(l->side->ring, fd, 0, &link_handler, l);
    if (!l->stream[1]) {
        fprintf(stderr, "relay: %s\n", err ? err : "no memory");
        link_close(l, STREAM_ABORT);
        return;
    }
    secure(l, l->stream[1]);
    stream_nudge(l->stream[0]);
}

static void
link_open(struct acceptor *a, int fd)
{
    struct side *side = (struct side *)((char *)a - offsetof(struct side, acceptor));
    struct link *l = calloc(1, sizeof *l);
    *l = (struct link){.side = side, .rng = rng_next(&side->rng), .pause.fire = pause_over};
    side->links++;
    side->ever++;
    l->stream[0] = stream_new(side->ring, fd, 60 * NS_PER_SEC, &link_handler, l);
    if (side->is_relay)
        l->dial = dial_start(side->ring, &side->forward, ring_clock(side->ring) + 20 * NS_PER_SEC,
                             dialled, l);
    else {
        secure(l, l->stream[0]);
        stream_want(l->stream[0], 28);
    }
}

// ---- the rings' threads

static void
side_look(struct timer *t)
{
    struct side *s = (struct side *)((char *)t - offsetof(struct side, look));
    if (s->links == 0)
        ring_stop(s->ring);
    else
        timer_set(s->ring, t, ring_now(s->ring) + 10 * NS_PER_MS);
}

static void
side_stop(struct letter *l)
{
    struct side *s = (struct side *)((char *)l - offsetof(struct side, stop));
    s->look.fire = side_look;
    timer_set(s->ring, &s->look, ring_now(s->ring) + NS_PER_SEC); // time for memory to come back
}

static void *
side_run(void *arg)
{
    struct side *s = arg;
    ring_run(s->ring);
    return NULL;
}

static void
side_open(struct side *s, const struct side *forward)
{
    char err[256];
    struct address any = {.kind = ADDRESS_TCP, .host = "127.0.0.1", .port = "0"};
    s->ring = ring_new(err, sizeof err);
    cr_assert_not_null(s->ring, "%s", err);
    s->acceptor.fd = address_listen(&any, 0, err, sizeof err);
    cr_assert_geq(s->acceptor.fd, 0, "%s", err);
    s->acceptor.accepted = link_open;
    struct sockaddr_in sin;
    socklen_t len = sizeof sin;
    if (forward) {
        s->is_relay = true;
        s->forward = any;
        getsockname(forward->acceptor.fd, (struct sockaddr *)&sin, &len);
        snprintf(s->forward.port, sizeof s->forward.port, "%u", ntohs(sin.sin_port));
    }
    accept_start(s->ring, &s->acceptor);
    s->stop.deliver = side_stop;
    cr_assert_eq(pthread_create(&s->thread, NULL, side_run, s), 0);
}

static void
side_close(struct side *s)
{
    ring_post(s->ring, &s->stop);
    pthread_join(s->thread, NULL);
    accept_stop(&s->acceptor);
    close(s->acceptor.fd);
    cr_assert_eq(s->links, 0);
    cr_assert_leq(ring_memory(s->ring), 4096, "%zu bytes are held by nobody", ring_memory(s->ring));
    ring_free(s->ring);
}

// ---- clients

struct client {
    pthread_t thread;
    struct sockaddr_in to;
    uint64_t rng;
    unsigned whole, aborted;
    const char *fault;
};

struct talk {
    int fd;
    uint64_t seed, total, sent, got;
    bool slow, ended;
};

static uint8_t *
scratch(void)
{
    static _Thread_local uint8_t buf[256 << 10];
    return buf;
}

static const char *
say(struct client *c, struct talk *t)
{
    uint8_t *buf = scratch();
    size_t n = 1 + rng_below(&c->rng, rng_below(&c->rng, 2) ? 100 : 256 << 10);
    if (n > t->total - t->sent)
        n = t->total - t->sent;
    pattern_fill(buf, n, t->seed, t->sent);
    ssize_t rc = send(t->fd, buf, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (rc < 0 && errno != EAGAIN)
        return "send failed";
    t->sent += rc > 0 ? (uint64_t)rc : 0;
    if (t->sent == t->total && !t->ended) {
        shutdown(t->fd, SHUT_WR);
        t->ended = true;
    }
    return NULL;
}

static const char *
hear(struct client *c, struct talk *t)
{
    uint8_t *buf = scratch();
    size_t cap = 1 + rng_below(&c->rng, 256 << 10);
    if (t->slow && rng_below(&c->rng, 4) == 0)
        usleep((useconds_t)rng_below(&c->rng, 3000));
    ssize_t n = recv(t->fd, buf, cap, MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN ? NULL : "receive failed";
    if (n == 0)
        return t->got == t->total && t->ended ? "" : "ended early";
    if (!pattern_is(buf, (size_t)n, t->seed, t->got))
        return "wrong bytes came back";
    t->got += (uint64_t)n;
    return NULL;
}

// Sends and reads at once until all has come back and the other side has closed; or stops in the
// middle of it, when told to.
static const char *
talk(struct client *c, struct talk *t, uint64_t abort_at)
{
    const char *fault = NULL;
    while (!fault) {
        struct pollfd p = {.fd = t->fd, .events = POLLIN};
        if (!t->ended)
            p.events |= POLLOUT;
        if (poll(&p, 1, 20000) <= 0)
            return "nothing happens any more";
        if (p.revents & POLLOUT)
            fault = say(c, t);
        if (!fault && (p.revents & (POLLIN | POLLHUP | POLLERR)))
            fault = hear(c, t);
        if (t->sent + t->got > abort_at)
            return "";
    }
    return fault;
}

static const char *
connection(struct client *c)
{
    static const size_t totals[] = {1, 28, 1000, 100000, 1500000};
    struct talk t = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
                     .seed = rng_next(&c->rng),
                     .total = 1 + rng_below(&c->rng, totals[rng_below(&c->rng, 5)]),
                     .slow = rng_below(&c->rng, 5) == 0};
    bool aborts = rng_below(&c->rng, 6) == 0;
    if (connect(t.fd, (struct sockaddr *)&c->to, sizeof c->to) < 0) {
        close(t.fd);
        return "cannot connect";
    }
    const char *fault = talk(c, &t, aborts ? rng_below(&c->rng, t.total) : UINT64_MAX);
    if (aborts && rng_below(&c->rng, 2)) {
        struct linger reset = {.l_onoff = 1, .l_linger = 0};
        setsockopt(t.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    }
    close(t.fd);
    if (*fault)
        return fault;
    if (aborts)
        c->aborted++;
    else
        c->whole++;
    return NULL;
}

static void *
client_run(void *arg)
{
    struct client *c = arg;
    for (int i = 0; i < CONNECTIONS && !c->fault; i++)
        c->fault = connection(c);
    return NULL;
}

static void
thousand_connections(struct tls_context *server, struct tls_context *client_side)
{
    static struct side echo, relay;
    static struct client client[CLIENTS];
    echo = (struct side){.rng = 5, .tls = server};
    relay = (struct side){.rng = 6, .tls = client_side};
    size_t before = resident_bytes();
    unsigned whole = 0, aborted = 0;
    side_open(&echo, NULL);
    side_open(&relay, &echo);
    struct sockaddr_in sin;
    socklen_t len = sizeof sin;
    getsockname(relay.acceptor.fd, (struct sockaddr *)&sin, &len);
    for (unsigned i = 0; i < CLIENTS; i++) {
        client[i] = (struct client){.to = sin, .rng = i};
        cr_assert_eq(pthread_create(&client[i].thread, NULL, client_run, &client[i]), 0);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        pthread_join(client[i].thread, NULL);
        cr_expect_null(client[i].fault, "client %u: %s", i, client[i].fault);
        whole += client[i].whole;
        aborted += client[i].aborted;
    }
    side_close(&relay);
    side_close(&echo);
    cr_assert_eq(whole + aborted, CLIENTS * CONNECTIONS);
    cr_assert_gt(aborted, 0);
    cr_assert_eq(relay.ever, CLIENTS * CONNECTIONS);
    if (!SANITIZED)
        cr_assert_lt(resident_bytes(), before + (32u << 20));
}

Test(relay, a_thousand_connections_of_every_temper, .timeout = 200)
{
    thousand_connections(NULL, NULL);
}

Test(relay, a_thousand_connections_through_tls, .timeout = 200)
{
    char err[TLS_TEXT];
    pki_open();
    struct tls_context *server = tls_server_new(
        &(struct tls_server){.certificates = pki.dir, .verify_peer = true}, err, sizeof err);
    cr_assert_not_null(server, "%s", err);
    struct tls_context *client = tls_client_new(
        &(struct tls_client){.certificates = pki.dir, .hostname = "localhost", .verify_peer = true},
        err, sizeof err);
    cr_assert_not_null(client, "%s", err);
    thousand_connections(server, client);
    tls_unref(server);
    tls_unref(client);
    pki_close();
}
