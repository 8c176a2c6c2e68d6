// SPDX-License-Identifier: BSD-3-Clause
#include "dialog.h"

#include "words.h"
#include <base/text.h>
#include <session/health.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wire/codec.h>
#include <wire/names.h>

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
    d->open = d->asking = d->begun = d->securing = d->silent = false;
}

static void
fail(struct dialog *d, const char *what, enum dialog_end how)
{
    struct upstream_counters *counters = d->upstream->counters;
    bool greeted = d->open, insecure = how == DIALOG_INSECURE || how == DIALOG_SILENT;
    // In TLS 1.3 a server's judgement on our certificate comes after we have greeted it.
    if (!greeted || insecure) {
        atomic_fetch_add(&counters->failed, 1);
        upstream_note(d->upstream,
                      insecure || d->securing ? UPSTREAM_INSECURE : UPSTREAM_UNREACHED);
    }
    close_all(d, STREAM_ABORT);
    char text[ADDRESS_TEXT + 2 * TLS_TEXT], address[ADDRESS_TEXT];
    if (insecure || (d->upstream->tls && !greeted && how != DIALOG_UNREACHED)) {
        address_text(&d->upstream->uri.address, address, sizeof address);
        snprintf(text, sizeof text, "%s: %s", address, what);
        what = text;
    }
    d->handler->failed(d->ctx, what, how);
}

static void
late(struct timer *t)
{
    struct dialog *d = (struct dialog *)((char *)t - offsetof(struct dialog, timer));
    const char *what = "no answer within connect-timeout";
    if (d->securing)
        what = d->hs.secure ? "TLS: its handshake did not end within connect-timeout"
                            : "TLS: STARTTLS was not answered within connect-timeout";
    fail(d, what, DIALOG_LATE);
}

void
dialog_set_deadline(struct dialog *d, nstime deadline)
{
    d->deadline = deadline;
}

static void
greeted(struct dialog *d)
{
    timer_cancel(d->ring, &d->timer);
    d->open = true;
    atomic_fetch_add(&d->upstream->counters->reached, 1);
    upstream_note(d->upstream, UPSTREAM_FINE);
    d->handler->ready(d->ctx);
}

// spec: "TLS support": STARTTLS is the first option, and nothing but TLS will do: a server that
// refuses it, or somebody between it and us, is never spoken to in plaintext.
static void
ask_tls(struct dialog *d)
{
    uint8_t b[ASK_HEADER];
    struct out out = out_of(b, sizeof b);
    upstream_hs_ask_tls(&d->hs, &out);
    d->securing = true;
    stream_send_copy(d->stream, out.p, out.len);
}

// The deadline of the dialog's beginning holds for TLS, too.
static void
start_tls(struct dialog *d, const struct upstream_answer *a)
{
    char what[TLS_TEXT];
    if (a->reply != NBD_REP_ACK) {
        char text[200];
        text_escape(text, sizeof text, a->text);
        snprintf(what, sizeof what, "TLS: the server refuses STARTTLS: %s%s%s",
                 nbd_reply_name(a->reply), *text ? ": " : "", text);
        fail(d, what, DIALOG_INSECURE);
        return;
    }
    if (!stream_start_tls(d->stream, d->upstream->tls, what, sizeof what))
        fail(d, what, DIALOG_INSECURE);
}

static void
stream_ready(void *ctx)
{
    struct dialog *d = ctx;
    if (d->securing && stream_tls(d->stream)) {
        d->securing = false;
        d->silent = true;
        greeted(d);
    } else {
        d->handler->news(d->ctx);
    }
}

// In TLS 1.3 a server judges our certificate when we think that all is well, and many then leave
// without an alert.
static void
gone(struct dialog *d, const char *what)
{
    char why[TLS_TEXT], text[2 * TLS_TEXT];
    if (d->silent) {
        snprintf(text, sizeof text, "TLS: it left right after the handshake (%s): %s", what,
                 stream_tls_guess(d->stream, why, sizeof why));
        fail(d, text, DIALOG_SILENT);
        return;
    }
    fail(d, what, DIALOG_CLOSED);
}

static void
stream_broken(void *ctx)
{
    struct dialog *d = ctx;
    char what[STREAM_WORDS];
    bool tls = stream_tls_error(d->stream);
    stream_words(d->stream, what);
    if (tls)
        fail(d, what, DIALOG_INSECURE);
    else
        gone(d, what);
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
    upstream_hs_begin(&d->hs, d->scratch, d->upstream->tls);
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
    d->open = d->asking = d->begun = d->securing = d->silent = false;
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
        d->begun = d->hs.style == UPSTREAM_OLDSTYLE;
        if (d->upstream->tls)
            ask_tls(d);
        else
            greeted(d);
        break;
    case UPSTREAM_HS_ITEM: d->handler->item(d->ctx, &d->hs.item); break;
    case UPSTREAM_HS_ANSWER:
        if (d->securing) {
            start_tls(d, &d->hs.answer);
            break;
        }
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
        d->silent = d->silent && !used;
        stream_take(d->stream, used);
        if (out.len)
            stream_send_copy(d->stream, b, out.len);
        if (!used && event == UPSTREAM_HS_MORE)
            break;
        handle(d, event);
    }
    if (d->stream && stream_at_end(d->stream))
        gone(d, stream_truncated(d->stream) ? "TLS was cut off" : "closed the connection");
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
