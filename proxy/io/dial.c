// SPDX-License-Identifier: BSD-3-Clause
// Connecting: resolve, then try each address in turn, each with its share of the time that is left.
#include "resolver.h"
#include "ring_inside.h"

#include <io/dial.h>

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

// A Unix socket whose backlog is full says EAGAIN and cannot be polled for room.
#define BACKLOG_PAUSE (10 * NS_PER_MS)

struct dial {
    struct ring *ring;
    struct address to;
    nstime deadline;
    dial_done *done;
    void *ctx;
    struct timer timer; // next step: begin, try again, or give up the address at work
    void (*step)(struct dial *d);
    struct watch watch;          // the socket at work
    struct question *question;   // while the name is being resolved
    struct addrinfo *found, *at; // addresses of the name; the next to try
    char err[512];
};

static void try_next(struct dial *d);

static struct dial *
dial_of_timer(struct timer *t)
{
    return (struct dial *)((char *)t - offsetof(struct dial, timer));
}

static void
stop_work(struct dial *d)
{
    timer_cancel(d->ring, &d->timer);
    if (d->watch.fd < 0)
        return;
    ring_unwatch(d->ring, &d->watch);
    close(d->watch.fd);
    d->watch.fd = -1;
}

void
dial_cancel(struct dial *d)
{
    stop_work(d);
    if (d->question)
        d->question->ctx = NULL;
    if (d->found)
        freeaddrinfo(d->found);
    free(d);
}

static void
finish(struct dial *d, int fd)
{
    dial_done *done = d->done;
    void *ctx = d->ctx;
    char err[sizeof d->err];
    memcpy(err, d->err, sizeof err);
    dial_cancel(d);
    done(ctx, fd, fd < 0 ? err : NULL);
}

// Adds one attempt to what will be reported should all fail.
static void
note(struct dial *d, const char *where, const char *why)
{
    size_t n = strlen(d->err);
    snprintf(d->err + n, sizeof d->err - n, "%sconnect to %s: %s", n ? "; " : "", where, why);
}

static const char *
text_of(const struct dial *d, const struct addrinfo *ai, char *buf, size_t cap)
{
    char host[NI_MAXHOST], port[NI_MAXSERV];
    if (!ai)
        return address_text(&d->to, buf, cap);
    if (getnameinfo(ai->ai_addr, ai->ai_addrlen, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV))
        return address_text(&d->to, buf, cap);
    snprintf(buf, cap, ai->ai_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
    return buf;
}

static void
step_due(struct timer *t)
{
    struct dial *d = dial_of_timer(t);
    d->step(d);
}

static void
step_at(struct dial *d, nstime when, void (*step)(struct dial *d))
{
    d->step = step;
    timer_set(d->ring, &d->timer, when);
}

static void
failed(struct dial *d, const struct addrinfo *ai, const char *why)
{
    char where[NI_MAXHOST + NI_MAXSERV];
    note(d, text_of(d, ai, where, sizeof where), why);
    stop_work(d);
    if (ai && d->at)
        step_at(d, d->ring->now, try_next);
    else
        finish(d, -1);
}

static void
connected(struct dial *d)
{
    int fd = d->watch.fd;
    ring_unwatch(d->ring, &d->watch);
    d->watch.fd = -1;
    finish(d, fd);
}

static const struct addrinfo *
current(const struct dial *d)
{
    const struct addrinfo *ai = d->found;
    while (ai && ai->ai_next != d->at)
        ai = ai->ai_next;
    return ai;
}

static void
timed_out(struct dial *d)
{
    failed(d, current(d), "timed out");
}

static void
writable(struct watch *w)
{
    struct dial *d = (struct dial *)((char *)w - offsetof(struct dial, watch));
    int error = 0;
    socklen_t len = sizeof error;
    if (getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        error = errno;
    if (error)
        failed(d, current(d), strerror(error));
    else
        connected(d);
}

// The time for one address: an equal share of what is left, so that one that doesn't answer leaves
// some to the others.
static nstime
share(const struct dial *d)
{
    nstime now = d->ring->now;
    nstime left = d->deadline > now ? d->deadline - now : 0;
    unsigned addresses = 1;
    for (const struct addrinfo *ai = d->at; ai; ai = ai->ai_next)
        addresses++;
    return now + left / addresses;
}

static void
try_next(struct dial *d)
{
    const struct addrinfo *ai = d->at;
    d->at = ai->ai_next;
    d->watch.fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (d->watch.fd < 0 || (connect(d->watch.fd, ai->ai_addr, ai->ai_addrlen) < 0 &&
                            errno != EINPROGRESS && errno != EINTR)) {
        failed(d, ai, strerror(errno));
        return;
    }
    step_at(d, share(d), timed_out);
    watch_start(d->ring, &d->watch, POLLOUT);
}

static void
try_unix(struct dial *d)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    memcpy(sun.sun_path, d->to.path, sizeof sun.sun_path);
    if (d->watch.fd < 0)
        d->watch.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (d->watch.fd < 0) {
        failed(d, NULL, strerror(errno));
    } else if (connect(d->watch.fd, (struct sockaddr *)&sun, sizeof sun) == 0) {
        connected(d);
    } else if (errno != EAGAIN && errno != EINTR) {
        failed(d, NULL, strerror(errno));
    } else if (d->ring->now >= d->deadline) {
        timed_out(d);
    } else {
        step_at(d, d->ring->now + BACKLOG_PAUSE, try_unix);
    }
}

static void
use(struct dial *d, int error, int system_error, struct addrinfo *found)
{
    if (error) {
        failed(d, NULL, error == EAI_SYSTEM ? strerror(system_error) : gai_strerror(error));
        return;
    }
    d->found = d->at = found;
    try_next(d);
}

static void
answered(struct letter *l)
{
    struct question *q = (struct question *)l;
    struct dial *d = q->ctx;
    struct addrinfo *found = q->found;
    int error = q->error, system_error = q->system_error;
    if (d) {
        q->found = NULL;
        d->question = NULL;
        timer_cancel(d->ring, &d->timer);
    }
    question_free(q);
    if (d)
        use(d, error, system_error, found);
}

bool
resolver_owns(const struct letter *l)
{
    return l->deliver == answered;
}

void
resolver_drop(struct letter *l)
{
    question_free((struct question *)l);
}

static void
ask(struct dial *d)
{
    struct question *q = calloc(1, sizeof *q);
    if (!q) {
        failed(d, NULL, strerror(ENOMEM));
        return;
    }
    q->ctx = d;
    memcpy(q->host, d->to.host, sizeof q->host);
    memcpy(q->port, d->to.port, sizeof q->port);
    if (!resolve(d->ring, q, answered)) {
        free(q);
        failed(d, NULL, "the resolver is not running");
        return;
    }
    d->question = q;
    step_at(d, d->deadline, timed_out);
}

static void
begin(struct dial *d)
{
    if (d->to.kind == ADDRESS_UNIX) {
        try_unix(d);
        return;
    }
    if (d->to.kind != ADDRESS_TCP) {
        failed(d, NULL, "not an address that can be connected to");
        return;
    }
    // A number needs no resolver.
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int error = getaddrinfo(d->to.host, d->to.port, &hints, &found);
    if (error == EAI_NONAME)
        ask(d);
    else
        use(d, error, errno, found);
}

struct dial *
dial_start(struct ring *r, const struct address *to, nstime deadline, dial_done *done, void *ctx)
{
    struct dial *d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    d->ring = r;
    d->to = *to;
    d->deadline = deadline;
    d->done = done;
    d->ctx = ctx;
    d->timer.fire = step_due;
    d->watch = (struct watch){.fd = -1, .ready = writable};
    // Not at once: nobody expects to be called back from within a call.
    step_at(d, r->now, begin);
    return d;
}
