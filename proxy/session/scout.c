// SPDX-License-Identifier: BSD-3-Clause
#include "scout.h"

#include <stdlib.h>
#include <string.h>
#include <wire/codec.h>

struct scout {
    struct dialog dialog;
    void (*done)(void *ctx, bool known, uint64_t size, uint16_t flags);
    void *ctx;
    size_t name_len;
    uint8_t name[];
};

static void
reap(struct timer *t)
{
    free((char *)t - offsetof(struct scout, dialog.timer));
}

// The dialog is closed, but its loop is still up the stack: freed in the ring's own time.
static void
finish(struct scout *s, bool known, uint64_t size, uint16_t flags)
{
    s->done(s->ctx, known, size, flags);
    s->dialog.timer.fire = reap;
    timer_set(s->dialog.ring, &s->dialog.timer, ring_now(s->dialog.ring));
}

static void
ready(void *ctx)
{
    struct scout *s = ctx;
    dialog_ask_info(&s->dialog, NBD_OPT_GO, bytes_of(s->name, s->name_len), (struct bytes){0});
}

static void
item(void *ctx, const struct upstream_item *i)
{
    (void)ctx;
    (void)i; // the machine keeps what INFO_EXPORT says
}

static void
answer(void *ctx, const struct upstream_answer *a)
{
    struct scout *s = ctx;
    const struct upstream_export e = s->dialog.hs.export;
    if (a->reply != NBD_REP_ACK) {
        dialog_close(&s->dialog);
        finish(s, false, 0, 0);
        return;
    }
    uint8_t disc[REQUEST_SIZE];
    request_encode(disc, &(struct request){.type = NBD_CMD_DISC});
    struct stream *st = dialog_release(&s->dialog);
    stream_send_copy(st, disc, sizeof disc);
    stream_close(st, STREAM_FINISH);
    finish(s, true, e.size, e.flags);
}

static void
failed(void *ctx, const char *what, bool breach)
{
    (void)what;
    (void)breach;
    finish(ctx, false, 0, 0);
}

static void
news(void *ctx)
{
    struct scout *s = ctx;
    dialog_pump(&s->dialog);
}

static const struct dialog_handler scout_handler = {
    .ready = ready, .item = item, .answer = answer, .failed = failed, .news = news};

struct scout *
scout_send(struct ring *ring, const struct upstream_settings *upstream, struct bytes name,
           void (*done)(void *ctx, bool known, uint64_t size, uint16_t flags), void *ctx)
{
    struct scout *s = calloc(1, sizeof *s + name.len);
    if (!s)
        return NULL;
    s->done = done;
    s->ctx = ctx;
    s->name_len = name.len;
    if (name.len)
        memcpy(s->name, name.p, name.len);
    if (!dialog_open(&s->dialog, ring, upstream, 0, &scout_handler, s)) {
        free(s);
        return NULL;
    }
    return s;
}

void
scout_recall(struct scout *s)
{
    if (!s)
        return;
    dialog_close(&s->dialog);
    free(s);
}
