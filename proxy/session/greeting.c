// SPDX-License-Identifier: BSD-3-Clause
#include "greeting.h"

#include <base/text.h>
#include <io/tls.h>
#include <stdio.h>
#include <wire/names.h>

#define ALLOCATION "base:allocation"

static void ask(struct greeting *g, uint32_t option);

static void
note_tls(struct server_facts *f, const struct tls_facts *tls)
{
    if (!tls)
        return;
    snprintf(f->tls_version, sizeof f->tls_version, "%s", tls->version);
    snprintf(f->tls_cipher, sizeof f->tls_cipher, "%s", tls->cipher);
    snprintf(f->tls_peer, sizeof f->tls_peer, "%s", tls->peer);
}

static void
begun(struct greeting *g)
{
    struct stream *s = dialog_release(&g->dialog);
    note_tls(&g->facts, stream_tls(s));
    g->facts.style = g->dialog.hs.style;
    g->facts.format = g->dialog.hs.format;
    g->facts.export = g->dialog.hs.export;
    g->handler->done(g->ctx, s);
}

static void
refused(struct greeting *g, const struct upstream_answer *a)
{
    char text[600], what[800];
    text_escape(text, sizeof text, a->text);
    snprintf(what, sizeof what, "%s is refused: %s%s%s", nbd_option_name(g->asked),
             nbd_reply_name(a->reply), *text ? ": " : "", text);
    if (a->reply == NBD_REP_ERR_TLS_REQD)
        snprintf(what, sizeof what, "the server requires TLS: say nbds: instead of nbd:");
    dialog_close(&g->dialog);
    g->handler->failed(g->ctx, what);
}

static void
ask_format(struct greeting *g, enum wire_format f)
{
    g->tried = f;
    g->asked = f == FORMAT_EXTENDED ? NBD_OPT_EXTENDED_HEADERS : NBD_OPT_STRUCTURED_REPLY;
    dialog_ask_format(&g->dialog, f);
}

static void
ask(struct greeting *g, uint32_t option)
{
    uint8_t infos[6];
    struct bytes nothing = {0};
    g->asked = option;
    switch (option) {
    case NBD_OPT_LIST_META_CONTEXT:
        dialog_ask_meta(&g->dialog, option, g->name, 0, nothing, nothing);
        break;
    case NBD_OPT_SET_META_CONTEXT:
        dialog_ask_meta(&g->dialog, option, g->name, 0, nothing, bytes_str(ALLOCATION));
        break;
    case NBD_OPT_GO:
        put_be16(infos, NBD_INFO_NAME);
        put_be16(infos + 2, NBD_INFO_DESCRIPTION);
        put_be16(infos + 4, NBD_INFO_BLOCK_SIZE);
        dialog_ask_info(&g->dialog, option, g->name, bytes_of(infos, sizeof infos));
        break;
    default: dialog_ask_export_name(&g->dialog, g->name); break;
    }
}

static void
ready(void *ctx)
{
    struct greeting *g = ctx;
    switch (g->dialog.hs.style) {
    case UPSTREAM_FIXED: ask_format(g, FORMAT_EXTENDED); break;
    case UPSTREAM_NEWSTYLE: ask(g, NBD_OPT_EXPORT_NAME); break;
    case UPSTREAM_OLDSTYLE: begun(g); break;
    }
}

static void
note_context(struct server_facts *f, struct bytes name)
{
    if (f->n_contexts == FACTS_CONTEXTS)
        f->contexts_left++;
    else
        text_escape(f->contexts[f->n_contexts++], FACTS_TEXT, name);
}

static void
item(void *ctx, const struct upstream_item *i)
{
    struct greeting *g = ctx;
    struct server_facts *f = &g->facts;
    if (i->reply == NBD_REP_INFO && i->info == NBD_INFO_NAME) {
        text_escape(f->name, sizeof f->name, i->payload);
    } else if (i->reply == NBD_REP_INFO && i->info == NBD_INFO_DESCRIPTION) {
        f->has_description = true;
        text_escape(f->description, sizeof f->description, i->payload);
    } else if (i->reply == NBD_REP_META_CONTEXT && g->asked == NBD_OPT_LIST_META_CONTEXT) {
        note_context(f, i->name);
    } else if (i->reply == NBD_REP_META_CONTEXT && bytes_equal(i->name, bytes_str(ALLOCATION))) {
        f->has_allocation = true;
        f->allocation = i->context;
    }
}

static void
answer(void *ctx, const struct upstream_answer *a)
{
    struct greeting *g = ctx;
    bool ack = a->reply == NBD_REP_ACK;
    switch (g->asked) {
    case NBD_OPT_EXTENDED_HEADERS:
        if (!ack)
            ask_format(g, FORMAT_STRUCTURED);
        else
            ask(g, NBD_OPT_LIST_META_CONTEXT);
        break;
    case NBD_OPT_STRUCTURED_REPLY: ask(g, ack ? NBD_OPT_LIST_META_CONTEXT : NBD_OPT_GO); break;
    case NBD_OPT_LIST_META_CONTEXT:
        g->facts.lists_contexts = ack;
        ask(g, NBD_OPT_SET_META_CONTEXT);
        break;
    case NBD_OPT_SET_META_CONTEXT:
        g->facts.has_allocation = g->facts.has_allocation && ack;
        ask(g, NBD_OPT_GO);
        break;
    default:
        if (ack)
            begun(g);
        else if (a->reply == NBD_REP_ERR_UNSUP && g->asked == NBD_OPT_GO)
            ask(g, NBD_OPT_EXPORT_NAME);
        else
            refused(g, a);
    }
}

static void
failed(void *ctx, const char *what, enum dialog_end how)
{
    struct greeting *g = ctx;
    bool turned = g->asked == NBD_OPT_EXPORT_NAME && how == DIALOG_CLOSED;
    g->handler->failed(g->ctx, turned ? "the server does not serve this export" : what);
}

static void
news(void *ctx)
{
    struct greeting *g = ctx;
    dialog_pump(&g->dialog);
}

bool
greeting_begin(struct greeting *g, struct ring *ring, const struct upstream_settings *upstream,
               struct bytes name, const struct greeting_handler *handler, void *ctx)
{
    static const struct dialog_handler dialog_handler = {
        .ready = ready, .item = item, .answer = answer, .failed = failed, .news = news};
    g->name = name;
    g->handler = handler;
    g->ctx = ctx;
    return dialog_open(&g->dialog, ring, upstream, 0, ring_clock(ring) + upstream->connect_timeout,
                       &dialog_handler, g);
}

void
greeting_cancel(struct greeting *g)
{
    dialog_close(&g->dialog);
}
