// SPDX-License-Identifier: BSD-3-Clause
#include "line.h"

#include "world.h"

void
line_start_tls(struct line *l, bool connects, enum tls_trouble trouble)
{
    struct bytes last = queue_bytes(&l->out); // in plaintext
    queue_append(&l->tls.wire, last.p, last.len);
    queue_consume(&l->out, last.len);
    l->secure = true;
    sim_tls_begin_peer(&l->tls, connects, trouble);
}

static void
open_frames(struct line *l, struct bytes b)
{
    sim_tls_feed(&l->tls, b.p, b.len);
    expect(!l->tls.plaintext, "the proxy speaks plaintext behind STARTTLS");
}

void
line_hear_again(struct line *l)
{
    struct bytes early = queue_bytes(&l->in);
    open_frames(l, early);
    queue_consume(&l->in, early.len);
}

void
line_hear(struct line *l, const uint8_t *p, size_t n)
{
    if (!l->secure) {
        queue_append(&l->in, p, n);
        return;
    }
    open_frames(l, bytes_of(p, n));
    struct bytes plain = queue_bytes(&l->tls.plain);
    queue_append(&l->in, plain.p, plain.len);
    queue_consume(&l->tls.plain, plain.len);
}

static bool
can_seal(const struct line *l)
{
    return l->tls.up && !l->tls.failed && !l->tls.farewell && queue_left(&l->out);
}

bool
line_can_send(const struct line *l)
{
    return l->secure ? can_seal(l) || queue_left(&l->tls.wire) : queue_left(&l->out) > 0;
}

size_t
line_send(struct line *l, struct sock *s, uint64_t most)
{
    struct queue *q = l->secure ? &l->tls.wire : &l->out;
    if (l->secure && can_seal(l) && !queue_left(q)) {
        struct bytes out = queue_bytes(&l->out);
        queue_consume(&l->out, sim_tls_seal(&l->tls, out.p, out.len));
    }
    struct bytes b = queue_bytes(q);
    ssize_t sent = sock_send(s, b.p, b.len < most ? b.len : (size_t)most);
    if (sent <= 0) {
        line_drop(l);
        return 0;
    }
    queue_consume(q, (size_t)sent);
    return (size_t)sent;
}

void
line_drop(struct line *l)
{
    queue_consume(&l->out, queue_left(&l->out));
    queue_consume(&l->tls.wire, queue_left(&l->tls.wire));
}

void
line_clear(struct line *l)
{
    queue_clear(&l->in);
    queue_clear(&l->out);
    sim_tls_clear(&l->tls);
}
