// SPDX-License-Identifier: BSD-3-Clause
#include "dialog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wire/codec.h>

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
    d->open = d->asking = d->begun = false;
}

static void
fail(struct dialog *d, const char *what, enum dialog_end how)
{
    close_all(d, STREAM_ABORT);
    d->handler->failed(d->ctx, what, how);
}

static void
late(struct timer *t)
{
    struct dialog *d = (struct dialog *)((char *)t - offsetof(struct dialog, timer));
    fail(d, "no answer within connect-timeout", DIALOG_LATE);
}

void
dialog_set_deadline(struct dialog *d, nstime deadline)
{
    d->deadline = deadline;
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
    fail(d, strerror(-stream_error(d->stream)), DIALOG_CLOSED);
}

static const struct stream_handler dialog_stream_handler = {.ready = stream_ready,
                                                            .broken = stream_broken};

static void
dialled(void *ctx, int fd, const char *err)
{
    struct dialog *d = ctx;
    d->dial = NULL;
    if (fd < 0) {
        fail(d, err, DIALOG_UNREACHED);
        return;
    }
    d->stream = stream_new(d->ring, fd, d->keepalive, &dialog_stream_handler, d);
    if (!d->stream) {
        fail(d, "out of memory", DIALOG_UNREACHED);
        return;
    }
    upstream_hs_begin(&d->hs, d->scratch);
    stream_want(d->stream, 1);
}

bool
dialog_open(struct dialog *d, struct ring *ring, const struct upstream_settings *upstream,
            nstime keepalive, nstime deadline, const struct dialog_handler *handler, void *ctx)
{
    d->ring = ring;
    d->upstream = upstream;
    d->keepalive = keepalive;
    d->handler = handler;
    d->ctx = ctx;
    d->deadline = deadline;
    d->open = d->asking = d->begun = false;
    d->timer.fire = late;
    timer_set(ring, &d->timer, deadline);
    d->dial = dial_start(ring, &upstream->uri.address, deadline, dialled, d);
    if (!d->dial)
        timer_cancel(ring, &d->timer);
    return d->dial;
}

static void
say_goodbye(struct dialog *d)
{
    uint8_t b[REQUEST_SIZE_MAX];
    struct out out = out_of(b, sizeof b);
    if (d->begun) {
        request_encode(d->hs.format, b, &(struct request){.type = NBD_CMD_DISC});
        out.len = request_size(d->hs.format);
    } else {
        upstream_hs_abort(&d->hs, &out); // nothing, where the server would not understand it
    }
    if (out.len)
        stream_send_copy(d->stream, b, out.len);
}

void
dialog_close(struct dialog *d)
{
    if (!d->ring)
        return;
    bool polite = d->open && !d->asking;
    if (polite)
        say_goodbye(d);
    close_all(d, polite ? STREAM_FINISH : STREAM_ABORT);
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
        d->begun = d->hs.style == UPSTREAM_OLDSTYLE;
        d->handler->ready(d->ctx);
        break;
    case UPSTREAM_HS_ITEM: d->handler->item(d->ctx, &d->hs.item); break;
    case UPSTREAM_HS_ANSWER:
        timer_cancel(d->ring, &d->timer);
        d->asking = false;
        d->begun = d->opens && d->hs.answer.reply == NBD_REP_ACK;
        d->handler->answer(d->ctx, &d->hs.answer);
        break;
    case UPSTREAM_HS_BREACH: fail(d, d->hs.breach, DIALOG_BREACH); break;
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
        uint8_t b[UPSTREAM_HS_OUT];
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
        fail(d, "closed the connection", DIALOG_CLOSED);
}

// Questions -------------------------------------------------------------------------------

static void
await_answer(struct dialog *d, bool opens)
{
    d->asking = true;
    d->opens = opens;
    timer_set(d->ring, &d->timer, d->deadline);
}

static void
asked(struct dialog *d, const struct out *out, bool opens)
{
    await_answer(d, opens);
    stream_send_copy(d->stream, out->p, out->len);
}

void
dialog_ask_format(struct dialog *d, enum wire_format f)
{
    uint8_t b[ASK_HEADER];
    struct out out = out_of(b, sizeof b);
    upstream_hs_ask_format(&d->hs, &out, f);
    asked(d, &out, false);
}

void
dialog_ask_list(struct dialog *d)
{
    uint8_t b[ASK_HEADER];
    struct out out = out_of(b, sizeof b);
    upstream_hs_ask_list(&d->hs, &out);
    asked(d, &out, false);
}

void
dialog_ask_info(struct dialog *d, uint32_t option, struct bytes name, struct bytes infos)
{
    // The machine towards clients lets each known information through once, so this is all of it.
    uint8_t b[ASK_HEADER + 4 + MAX_STRING + 2 + 64];
    struct out out = out_of(b, sizeof b);
    upstream_hs_ask_info(&d->hs, &out, option, name, infos);
    asked(d, &out, option == NBD_OPT_GO);
}

void
dialog_ask_meta(struct dialog *d, uint32_t option, struct bytes name, uint32_t n_queries,
                struct bytes queries, struct bytes extra)
{
    size_t size = ASK_HEADER + 4 + name.len + 4 + queries.len + 4 + extra.len;
    struct buf *buf = buf_new(d->ring, size);
    if (!buf) {
        fail(d, "out of memory", DIALOG_UNREACHED);
        return;
    }
    struct out out = out_of(buf->data, size);
    upstream_hs_ask_meta(&d->hs, &out, option, name, n_queries, queries, extra);
    await_answer(d, false);
    stream_send_buf(d->stream, buf, buf->data, out.len);
    buf_unref(buf);
}

void
dialog_ask_export_name(struct dialog *d, struct bytes name)
{
    uint8_t b[ASK_HEADER + MAX_STRING];
    struct out out = out_of(b, sizeof b);
    upstream_hs_ask_export_name(&d->hs, &out, name);
    asked(d, &out, true);
}
