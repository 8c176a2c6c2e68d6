// SPDX-License-Identifier: BSD-3-Clause
#include "scout.h"

#include <stdlib.h>
#include <string.h>

struct scout {
    struct dialog dialog;
    const struct scout_handler *handler;
    void *ctx;
    uint32_t asked; // the option
    bool tried_extended;
    uint8_t infos[2 * SCOUT_INFOS];
    size_t infos_len;
    size_t name_len;
    uint8_t name[];
};

static void
reap(struct timer *t)
{
    free((char *)t - offsetof(struct scout, dialog.timer));
}

// The dialog's loop may still be up the stack: freed in the ring's own time.
static void
finish(struct scout *s, const struct scout_report *r)
{
    s->handler->done(s->ctx, r);
    dialog_close(&s->dialog);
    s->dialog.timer.fire = reap;
    timer_set(s->dialog.ring, &s->dialog.timer, ring_now(s->dialog.ring));
}

static void
ask(struct scout *s, uint32_t option)
{
    struct bytes name = bytes_of(s->name, s->name_len);
    s->asked = option;
    if (option == NBD_OPT_GO)
        dialog_ask_info(&s->dialog, option, name, bytes_of(s->infos, s->infos_len));
    else if (option == NBD_OPT_EXPORT_NAME)
        dialog_ask_export_name(&s->dialog, name);
    else
        dialog_ask_format(&s->dialog, FORMAT_EXTENDED);
}

static void
ready(void *ctx)
{
    struct scout *s = ctx;
    switch (s->dialog.hs.style) {
    case UPSTREAM_FIXED: ask(s, NBD_OPT_GO); break;
    case UPSTREAM_NEWSTYLE: ask(s, NBD_OPT_EXPORT_NAME); break;
    case UPSTREAM_OLDSTYLE: // it has just taken the place of another server
        finish(s, &(struct scout_report){.end = SCOUT_FAILED, .what = "is oldstyle now"});
        break;
    }
}

static void
item(void *ctx, const struct upstream_item *i)
{
    struct scout *s = ctx;
    s->handler->item(s->ctx, i);
}

static void
answer(void *ctx, const struct upstream_answer *a)
{
    struct scout *s = ctx;
    if (s->asked == NBD_OPT_EXTENDED_HEADERS) {
        ask(s, NBD_OPT_GO);
    } else if (a->reply == NBD_REP_ACK) {
        finish(s, &(struct scout_report){.end = SCOUT_KNOWS, .export = s->dialog.hs.export});
    } else if (a->reply == NBD_REP_ERR_UNSUP && s->asked == NBD_OPT_GO) {
        ask(s, NBD_OPT_EXPORT_NAME);
    } else if (a->reply == NBD_REP_ERR_EXT_HEADER_REQD && !s->tried_extended) {
        s->tried_extended = true;
        ask(s, NBD_OPT_EXTENDED_HEADERS);
    } else {
        finish(s, &(struct scout_report){.end = SCOUT_REFUSED, .answer = *a});
    }
}

static void
failed(void *ctx, const char *what, enum dialog_end how)
{
    struct scout *s = ctx;
    bool turned = s->asked == NBD_OPT_EXPORT_NAME && how == DIALOG_CLOSED;
    finish(s, &(struct scout_report){
                  .end = turned ? SCOUT_TURNED : SCOUT_FAILED, .what = what, .how = how});
}

static void
news(void *ctx)
{
    struct scout *s = ctx;
    dialog_pump(&s->dialog);
}

static const struct dialog_handler scout_dialog_handler = {
    .ready = ready, .item = item, .answer = answer, .failed = failed, .news = news};

struct scout *
scout_send(struct ring *ring, const struct upstream_settings *upstream, struct bytes name,
           struct bytes infos, nstime deadline, const struct scout_handler *handler, void *ctx)
{
    struct scout *s = calloc(1, sizeof *s + name.len);
    if (!s)
        return NULL;
    s->handler = handler;
    s->ctx = ctx;
    s->name_len = name.len;
    if (name.len)
        memcpy(s->name, name.p, name.len);
    if (infos.len && infos.len <= sizeof s->infos)
        memcpy(s->infos, infos.p, s->infos_len = infos.len);
    if (!dialog_open(&s->dialog, ring, upstream, 0, deadline, &scout_dialog_handler, s)) {
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
