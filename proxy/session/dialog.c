// SPDX-License-Identifier: BSD-3-Clause
#include "dialog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASK_HEADER 16u // of an option

static void
close_all(struct dialog *d, enum stream_close how)
{
    timer_cancel(d->ring, &d->timer);
    if (d->dial)
        dial_cancel(d->dial);
    if (d->stream)
        stream_close(d->stream, how);
    d->dial = NULL;
    d->stream = NULL;
    d->open = d->asking = false;
}

static void
fail(struct dialog *d, const char *what, bool breach)
{
    close_all(d, STREAM_ABORT);
    d->handler->failed(d->ctx, what, breach);
}

static void
late(struct timer *t)
{
    struct dialog *d = (struct dialog *)((char *)t - offsetof(struct dialog, timer));
    fail(d, "no answer within connect-timeout", false);
}

static void
set_deadline(struct dialog *d)
{
    timer_set(d->ring, &d->timer, ring_clock(d->ring) + d->upstream->connect_timeout);
}

static void
stream_ready(void *ctx)
{
    struct dialog *d = ctx;
    d->handler->news(d->ctx);
}

static void
stream_broken(void *ctx)
{
    struct dialog *d = ctx;
    fail(d, strerror(-stream_error(d->stream)), false);
}

static const struct stream_handler dialog_stream_handler = {.ready = stream_ready,
                                                            .broken = stream_broken};

static void
dialled(void *ctx, int fd, const char *err)
{
    struct dialog *d = ctx;
    d->dial = NULL;
    if (fd < 0) {
        fail(d, err, false);
        return;
    }
    d->stream = stream_new(d->ring, fd, d->keepalive, &dialog_stream_handler, d);
    if (!d->stream) {
        fail(d, "out of memory", false);
        return;
    }
    upstream_hs_begin(&d->hs, d->scratch);
    stream_want(d->stream, 1);
}

bool
dialog_open(struct dialog *d, struct ring *ring, const struct upstream_settings *upstream,
            nstime keepalive, const struct dialog_handler *handler, void *ctx)
{
    d->ring = ring;
    d->upstream = upstream;
    d->keepalive = keepalive;
    d->handler = handler;
    d->ctx = ctx;
    d->open = d->asking = false;
    d->timer.fire = late;
    set_deadline(d);
    d->dial = dial_start(ring, &upstream->uri.address, ring_clock(ring) + upstream->connect_timeout,
                         dialled, d);
    if (!d->dial)
        timer_cancel(ring, &d->timer);
    return d->dial;
}

void
dialog_close(struct dialog *d)
{
    if (!d->ring)
        return;
    if (d->open && !d->asking) {
        uint8_t b[ASK_HEADER];
        struct out out = out_of(b, sizeof b);
        upstream_hs_abort(&d->hs, &out);
        stream_send_copy(d->stream, b, out.len);
        close_all(d, STREAM_FINISH);
    } else {
        close_all(d, STREAM_ABORT);
    }
}

struct stream *
dialog_release(struct dialog *d)
{
    struct stream *s = d->stream;
    d->stream = NULL;
    close_all(d, STREAM_ABORT);
    return s;
}

static void
handle(struct dialog *d, enum upstream_hs_event event)
{
    switch (event) {
    case UPSTREAM_HS_MORE: break;
    case UPSTREAM_HS_READY:
        timer_cancel(d->ring, &d->timer);
        d->open = true;
        d->handler->ready(d->ctx);
        break;
    case UPSTREAM_HS_ITEM: d->handler->item(d->ctx, &d->hs.item); break;
    case UPSTREAM_HS_ANSWER:
        timer_cancel(d->ring, &d->timer);
        d->asking = false;
        d->handler->answer(d->ctx, &d->hs.answer);
        break;
    case UPSTREAM_HS_BREACH: fail(d, d->hs.breach, true); break;
    }
}

void
dialog_pump(struct dialog *d)
{
    while (d->stream) {
        size_t n;
        const uint8_t *p = stream_peek(d->stream, &n);
        if (!n)
            break;
        uint8_t b[ASK_HEADER];
        struct out out = out_of(b, sizeof b);
        enum upstream_hs_event event;
        size_t used = upstream_hs_feed(&d->hs, p, n, &out, &event);
        stream_take(d->stream, used);
        if (out.len)
            stream_send_copy(d->stream, b, out.len);
        if (!used && event == UPSTREAM_HS_MORE)
            break;
        handle(d, event);
    }
    if (d->stream && stream_at_end(d->stream))
        fail(d, "closed the connection", false);
}

// Questions -------------------------------------------------------------------------------

static void
asked(struct dialog *d, const struct out *out)
{
    d->asking = true;
    set_deadline(d);
    stream_send_copy(d->stream, out->p, out->len);
}

void
dialog_ask_structured(struct dialog *d)
{
    uint8_t b[ASK_HEADER];
    struct out out = out_of(b, sizeof b);
    upstream_hs_ask_structured(&d->hs, &out);
    asked(d, &out);
}

void
dialog_ask_list(struct dialog *d)
{
    uint8_t b[ASK_HEADER];
    struct out out = out_of(b, sizeof b);
    upstream_hs_ask_list(&d->hs, &out);
    asked(d, &out);
}

void
dialog_ask_info(struct dialog *d, uint32_t option, struct bytes name, struct bytes infos)
{
    // The machine towards clients lets each known information through once, so this is all of it.
    uint8_t b[ASK_HEADER + 4 + MAX_STRING + 2 + 64];
    struct out out = out_of(b, sizeof b);
    upstream_hs_ask_info(&d->hs, &out, option, name, infos);
    asked(d, &out);
}

void
dialog_ask_meta(struct dialog *d, uint32_t option, struct bytes name, uint32_t n_queries,
                struct bytes queries, struct bytes extra)
{
    size_t size = ASK_HEADER + 4 + name.len + 4 + queries.len + 4 + extra.len;
    struct buf *buf = buf_new(d->ring, size);
    if (!buf) {
        fail(d, "out of memory", false);
        return;
    }
    struct out out = out_of(buf->data, size);
    upstream_hs_ask_meta(&d->hs, &out, option, name, n_queries, queries, extra);
    d->asking = true;
    set_deadline(d);
    stream_send_buf(d->stream, buf, buf->data, out.len);
    buf_unref(buf);
}

void
dialog_ask_export_name(struct dialog *d, struct bytes name)
{
    uint8_t b[ASK_HEADER + MAX_STRING];
    struct out out = out_of(b, sizeof b);
    upstream_hs_ask_export_name(&d->hs, &out, name);
    asked(d, &out);
}
