// SPDX-License-Identifier: BSD-3-Clause
// A stream becomes TLS: its socket, and what was queued, move to a plain stream of its own, `raw`,
// which lies beneath it and whose only user is TLS. The stream keeps its identity, its handler and
// its buffers of plaintext; the ring knows raw.
//
//     user ── stream ── queue ── encrypt ──▶ raw ── queue ──▶ socket
//                └───── buf ◀── decrypt ──── raw ── buf ◀────
#include "tls_inside.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
tls_fail(struct tls *t, int error, const char *fmt, ...)
{
    char text[TLS_TEXT];
    va_list ap;
    if (t->user->error)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    t->error = strdup(text);
    t->farewell = true; // OpenSSL has queued the alert
    tls_out_end(t);
    stream_break(t->user, error);
}

// ---- what raw says

static void
drop_all(struct stream *raw)
{
    size_t n;
    stream_peek(raw, &n);
    stream_take(raw, n);
}

static void
raw_ready(void *ctx)
{
    struct stream *s = ctx;
    struct tls *t = s->tls;
    // A closed one has nothing to hear; what it has yet to say may need a handshake.
    if (s->error || (!s->handler && (t->up || !s->queue.count))) {
        drop_all(t->raw);
        t->more = false;
        return;
    }
    if ((t->up || tls_hand(t)) && s->handler)
        tls_read(t);
}

static void
raw_broken(void *ctx)
{
    struct stream *s = ctx;
    struct tls *t = s->tls;
    char why[TLS_TEXT];
    if (!t->up)
        tls_fail(t, t->raw->error, "the connection broke during the handshake (%s): %s",
                 strerror(-t->raw->error), tls_guess(t, why, sizeof why));
    else
        stream_break(s, t->raw->error);
}

static const struct stream_handler raw_handler = {.ready = raw_ready, .broken = raw_broken};

// ---- the change

static void
queue_move(struct send_queue *to, struct send_queue *from)
{
    *to = *from;
    if (from->v == from->small)
        to->v = to->small;
    *from = (struct send_queue){0};
    queue_init(from);
}

// raw gets all that has to do with the socket; s keeps what has to do with its user.
static void
split(struct stream *s, struct stream *raw)
{
    *raw = (struct stream){
        .ring = s->ring,
        .handler = &raw_handler,
        .ctx = s,
        .above = s,
        .id = s->id,
        .fd = s->fd,
        .receiving = s->receiving,
        .selecting = s->selecting,
        .polling = s->polling,
        .more = s->more,
        .stalled = s->stalled,
        .buf = s->buf,
        .head = s->head,
        .tail = s->tail,
        .last_received = s->last_received,
        .last_sent = s->last_sent,
    };
    if (!raw->buf)
        raw->head = raw->tail = raw->carry;
    queue_move(&raw->queue, &s->queue);
    slot_move(&s->ring->slots, s->id, raw);
    s->fd = -1;
    s->receiving = s->selecting = s->polling = s->more = s->stalled = false;
    s->buf = NULL;
    s->head = s->tail = s->carry;
    stream_unstarve(s);
}

static bool
tls_open(struct tls *t, struct tls_context *c)
{
    t->context = tls_ref(c);
    t->ssl = SSL_new(c->ssl);
    return t->ssl && SSL_set_app_data(t->ssl, t) == 1 && tls_prepare(t);
}

static void
tls_close(struct tls *t)
{
    tls_out_end(t);
    SSL_free(t->ssl);
    tls_unref(t->context);
    free(t->error);
    free(t->peer);
    free(t);
    ERR_clear_error();
}

static const char *
obstacle(const struct stream *s)
{
    if (s->tls)
        return "this is TLS already";
    if (s->head != s->tail)
        return "there are bytes behind STARTTLS that came before TLS: a broken peer, or an attempt "
               "to slip plaintext in";
    return s->at_eof || s->error || s->state != STREAM_OPEN ? "the connection has ended" : NULL;
}

bool
stream_start_tls(struct stream *s, struct tls_context *c, char *err, size_t errlen)
{
    const char *why = obstacle(s);
    if (why) {
        snprintf(err, errlen, "TLS can't start: %s", why);
        return false;
    }
    struct tls *t = calloc(1, sizeof *t);
    struct stream *raw = calloc(1, sizeof *raw);
    if (t)
        *t = (struct tls){.user = s, .raw = raw};
    if (!t || !raw || !tls_open(t, c)) {
        snprintf(err, errlen, "TLS can't start: out of memory");
        if (t)
            tls_close(t);
        free(raw);
        return false;
    }
    split(s, raw);
    s->tls = t;
    s->below = raw;
    stream_nudge(raw); // who connects speaks first
    stream_dirty(s);
    return true;
}

// ---- a turn

// What is left of it: raw says it, alone.
static void
bury(struct stream *s)
{
    struct tls *t = s->tls;
    struct stream *raw = t->raw;
    if (s->in_news || s->in_dirty)
        return; // either brings it here again
    bool has_words = (s->state == STREAM_FINISHING || t->farewell) && !raw->error;
    if (s->state == STREAM_FINISHING)
        s->ring->finishing--;
    timer_cancel(s->ring, &s->timer);
    raw->above = NULL;
    stream_close(raw, has_words ? STREAM_FINISH : STREAM_ABORT);
    tls_free(s);
}

void
tls_free(struct stream *s)
{
    receive_drop(s);
    queue_clear(&s->queue);
    tls_close(s->tls);
    free(s);
}

// OpenSSL found the socket full (kTLS only): it tries again when there is room.
static void
wait_for_room(struct tls *t)
{
    struct stream *raw = t->raw;
    if (t->waits && !raw->polling) {
        t->waits = false;
        stream_nudge(raw);
    } else if (t->wants_write) {
        t->wants_write = false;
        t->waits = true;
        if (!raw->polling)
            send_wait(raw);
    }
}

void
tls_flush(struct stream *s)
{
    struct tls *t = s->tls;
    if (s->state == STREAM_DEAD || (s->state == STREAM_FINISHING && s->error)) {
        bury(s);
        return;
    }
    tls_send(t);
    if (s->state == STREAM_FINISHING) {
        if (s->last_sent == s->ring->now) // it takes some: no reason to give up
            stream_patience(s);
        if (tls_bid_farewell(t)) {
            bury(s);
            return;
        }
    }
    wait_for_room(t);
    tls_receive(t);
}

// ---- facts

const struct tls_facts *
stream_tls(const struct stream *s)
{
    return s->tls && s->tls->up ? &s->tls->facts : NULL;
}

const char *
stream_tls_error(const struct stream *s)
{
    return s->tls ? s->tls->error : NULL;
}

bool
stream_truncated(const struct stream *s)
{
    return s->tls && s->tls->truncated;
}

bool
stream_ended_in_record(const struct stream *s)
{
    // OpenSSL has taken what there is of it.
    return stream_truncated(s) && (tls_undecrypted(s->tls) || SSL_has_pending(s->tls->ssl));
}
