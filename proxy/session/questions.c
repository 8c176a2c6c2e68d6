// SPDX-License-Identifier: BSD-3-Clause
// What upstream is asked for each option of the client, and what its answers become.
#include "negotiate.h"

#include <base/text.h>
#include <stdio.h>
#include <stdlib.h>
#include <wire/names.h>

static const struct bytes base_allocation = {(const uint8_t *)"base:allocation", 15};

// Answers to the client ---------------------------------------------------------------------

void
negotiation_send(struct session *s, const struct out *out)
{
    if (out->len)
        stream_send_copy(s->client, out->p, out->len);
}

static void
answer_ack(struct session *s)
{
    uint8_t b[64];
    struct out out = out_of(b, sizeof b);
    s->negotiation->option_waits = false;
    client_hs_ack(&s->negotiation->hs, &out);
    negotiation_send(s, &out);
}

static void
answer_error(struct session *s, uint32_t error, struct bytes text)
{
    uint8_t b[ANSWER_SIZE];
    struct out out = out_of(b, sizeof b);
    struct negotiation *n = s->negotiation;
    session_log(s, LOG_LEVEL_INFO, "%s refused: %s: %.*s", nbd_option_name(n->hs.option.id),
                nbd_reply_name(error), (int)(text.len < 400 ? text.len : 400), text.p);
    if (n->hs.option.id == NBD_OPT_EXPORT_NAME) { // there is no error reply to it
        session_end(s, END_REFUSED_EXPORT);
        return;
    }
    n->option_waits = false;
    client_hs_error(&n->hs, &out, error, text);
    negotiation_send(s, &out);
}

// What upstream said, sanitised. TLS_REQD must not be said by a server whose client cannot have TLS
// (spec: "NOTLS mode"), and EXT_HEADER_REQD not where extended headers are not offered.
static void
pass_error(struct session *s, const struct upstream_answer *a)
{
    char text[2048];
    text_escape(text, sizeof text, a->text);
    uint32_t error = a->reply;
    if (error == NBD_REP_ERR_TLS_REQD || error == NBD_REP_ERR_EXT_HEADER_REQD)
        error = NBD_REP_ERR_POLICY;
    answer_error(s, error, bytes_str(text));
}

static void
list_name(struct session *s, struct bytes name)
{
    uint8_t b[ANSWER_SIZE];
    struct out out = out_of(b, sizeof b);
    client_hs_put_server(&s->negotiation->hs, &out, name, (struct bytes){0});
    negotiation_send(s, &out);
}

// What LIST shows when upstream cannot be asked: the names that the configuration knows.
static void
list_configured(struct session *s)
{
    const struct nbd_uri *u = &s->listener->upstream->uri;
    struct bytes of_uri = bytes_of(u->export, u->export_len);
    bool listed = false;
    for (unsigned i = 0; i < s->settings->n_exports; i++) {
        const struct export_settings *e = &s->settings->exports[i];
        if (!export_is_for(e, s->listener))
            continue;
        list_name(s, e->name);
        listed |= bytes_equal(e->name, of_uri);
    }
    if (of_uri.len && !listed)
        list_name(s, of_uri);
    answer_ack(s);
}

void
negotiation_unreachable(struct session *s)
{
    struct negotiation *n = s->negotiation;
    char text[700];
    snprintf(text, sizeof text, "upstream %s: %s", s->listener->upstream->name, n->failure);
    switch (n->hs.option.id) {
    case NBD_OPT_LIST: list_configured(s); break;
    // Clients take only UNSUP as "no, but go on" (qemu up to 4.2 gives up on any other error).
    case NBD_OPT_STRUCTURED_REPLY: answer_error(s, NBD_REP_ERR_UNSUP, bytes_str(text)); break;
    case NBD_OPT_EXPORT_NAME: session_end(s, END_UPSTREAM_UNREACHABLE); break;
    default: answer_error(s, NBD_REP_ERR_PLATFORM, bytes_str(text)); break;
    }
}

// Questions to upstream ---------------------------------------------------------------------

// The export part of the upstream's URI stands for the empty name.
static struct bytes
upstream_name(const struct session *s, struct bytes name)
{
    const struct nbd_uri *u = &s->listener->upstream->uri;
    return name.len ? name : bytes_of(u->export, u->export_len);
}

static bool
asks_for_allocation(struct bytes queries)
{
    struct bytes q;
    while (client_option_query(&queries, &q))
        if (bytes_equal(q, base_allocation))
            return true;
    return false;
}

void
negotiation_forget_contexts(struct session *s)
{
    struct negotiation *n = s->negotiation;
    n->contexts_set = n->contexts_of_client = false;
    s->n_contexts = 0;
    s->allocation = -1;
    s->allocation_hidden = false;
}

static void
ask_set_meta(struct session *s, struct bytes name, bool of_client)
{
    struct negotiation *n = s->negotiation;
    const struct client_option *o = &n->hs.option;
    negotiation_forget_contexts(s);
    memcpy(n->contexts_name, name.p, name.len);
    n->contexts_name_len = name.len;
    n->question = of_client ? ASK_SET_META : ASK_SET_HIDDEN;
    s->allocation_hidden = !of_client || !asks_for_allocation(o->queries);
    dialog_ask_meta(&n->dialog, NBD_OPT_SET_META_CONTEXT, name, of_client ? o->n_queries : 0,
                    of_client ? o->queries : (struct bytes){0},
                    s->allocation_hidden ? base_allocation : (struct bytes){0});
}

bool
negotiation_contexts_for(const struct negotiation *n, struct bytes name)
{
    return n->contexts_set && bytes_equal(bytes_of(n->contexts_name, n->contexts_name_len), name);
}

static void
ask_go(struct session *s, struct bytes name)
{
    struct negotiation *n = s->negotiation;
    // Contexts hold for the name they were set for only (spec: NBD_OPT_SET_META_CONTEXT). Those
    // that the client has set for another name stay: this GO may fail, and the next be for that
    // name.
    if (n->structured && !n->contexts_of_client && !negotiation_contexts_for(n, name)) {
        ask_set_meta(s, name, false);
        return;
    }
    n->has_name = n->has_description = false;
    if (n->no_go) {
        n->question = ASK_EXPORT_NAME;
        dialog_ask_export_name(&n->dialog, name);
        return;
    }
    n->question = ASK_GO;
    dialog_ask_info(&n->dialog, NBD_OPT_GO, name, n->hs.option.infos);
}

static void
ask_structured(struct session *s)
{
    s->negotiation->question = ASK_STRUCTURED;
    s->negotiation->asked_structured = true;
    dialog_ask_structured(&s->negotiation->dialog);
}

// Upstream is at our disposal and the client's option waits: what is to be asked first?
void
negotiation_ask(struct session *s)
{
    struct negotiation *n = s->negotiation;
    const struct client_option *o = &n->hs.option;
    struct bytes name = upstream_name(s, o->name);
    if (n->hs.structured && !n->asked_structured) { // a new connection after one that broke
        ask_structured(s);
        return;
    }
    switch (o->id) {
    case NBD_OPT_STRUCTURED_REPLY: ask_structured(s); break;
    case NBD_OPT_LIST:
        n->question = ASK_LIST;
        dialog_ask_list(&n->dialog);
        break;
    case NBD_OPT_LIST_META_CONTEXT:
        n->question = ASK_LIST_META;
        dialog_ask_meta(&n->dialog, o->id, name, o->n_queries, o->queries, (struct bytes){0});
        break;
    case NBD_OPT_SET_META_CONTEXT: ask_set_meta(s, name, true); break;
    case NBD_OPT_INFO:
        n->question = ASK_INFO;
        n->has_name = n->has_description = false;
        dialog_ask_info(&n->dialog, NBD_OPT_INFO, name, o->infos);
        break;
    default: ask_go(s, name); break; // GO, EXPORT_NAME
    }
}

// Answers from upstream ---------------------------------------------------------------------

static void
structured_answered(struct session *s, const struct upstream_answer *a)
{
    struct negotiation *n = s->negotiation;
    n->structured = a->reply == NBD_REP_ACK;
    if (n->hs.option.id == NBD_OPT_STRUCTURED_REPLY) {
        if (n->structured)
            answer_ack(s);
        else
            answer_error(s, NBD_REP_ERR_UNSUP, bytes_str("the upstream has no structured replies"));
    } else if (n->structured) {
        negotiation_ask(s);
    } else {
        answer_error(s, NBD_REP_ERR_PLATFORM,
                     bytes_str("the upstream no longer has structured replies"));
    }
}

static void
set_meta_answered(struct session *s, const struct upstream_answer *a)
{
    struct negotiation *n = s->negotiation;
    bool of_client = n->question == ASK_SET_META;
    if (a->reply != NBD_REP_ACK)
        negotiation_forget_contexts(s);
    n->contexts_set = a->reply == NBD_REP_ACK || !of_client;
    if (!of_client)
        ask_go(s, upstream_name(s, n->hs.option.name));
    else if (a->reply == NBD_REP_ACK)
        answer_ack(s);
    else
        pass_error(s, a);
}

static void
go_answered(struct session *s, const struct upstream_answer *a)
{
    struct negotiation *n = s->negotiation;
    n->export = n->dialog.hs.export;
    if (a->reply == NBD_REP_ACK) {
        settle_go(s);
    } else if (a->reply == NBD_REP_ERR_UNSUP && n->question == ASK_GO) {
        n->no_go = true;
        ask_go(s, upstream_name(s, n->hs.option.name));
    } else {
        pass_error(s, a);
    }
}

static void
scouted(void *ctx, bool known, uint64_t size, uint16_t flags)
{
    struct session *s = ctx;
    s->negotiation->scout = NULL;
    if (known) {
        s->negotiation->export.size = size;
        s->negotiation->export.flags = flags;
    }
    settle_info(s);
    stream_nudge(s->client);
}

static void
info_answered(struct session *s, const struct upstream_answer *a)
{
    struct negotiation *n = s->negotiation;
    n->export = n->dialog.hs.export;
    if (a->reply != NBD_REP_ACK) {
        pass_error(s, a);
        return;
    }
    if (n->export.size == 0)
        n->scout = scout_send(s->worker->ring, s->listener->upstream,
                              upstream_name(s, n->hs.option.name), scouted, s);
    if (!n->scout)
        settle_info(s);
}

static void
dialog_answer(void *ctx, const struct upstream_answer *a)
{
    struct session *s = ctx;
    switch (s->negotiation->question) {
    case ASK_NOTHING: break;
    case ASK_STRUCTURED: structured_answered(s, a); break;
    case ASK_LIST:
    case ASK_LIST_META:
        if (a->reply == NBD_REP_ACK)
            answer_ack(s);
        else
            pass_error(s, a);
        break;
    case ASK_SET_META:
    case ASK_SET_HIDDEN: set_meta_answered(s, a); break;
    case ASK_INFO: info_answered(s, a); break;
    case ASK_GO:
    case ASK_EXPORT_NAME: go_answered(s, a); break;
    }
}

static void
keep_text(bool *has, size_t *len, uint8_t *to, struct bytes text)
{
    *has = text.len <= MAX_STRING;
    if (!*has)
        return;
    *len = text.len;
    if (text.len)
        memcpy(to, text.p, text.len);
}

static bool
context_known(const struct session *s, uint32_t id)
{
    for (unsigned i = 0; i < s->n_contexts; i++)
        if (s->contexts[i] == id)
            return true;
    return false;
}

static void
context_item(struct session *s, const struct upstream_item *item, struct out *out)
{
    struct negotiation *n = s->negotiation;
    if (context_known(s, item->context)) // asked for twice; ids are unique towards the client
        return;
    bool allocation = bytes_equal(item->name, base_allocation);
    bool hidden = allocation && s->allocation_hidden;
    if (!allocation && n->question == ASK_SET_HIDDEN) {
        session_log(s, LOG_LEVEL_WARN, "upstream: a context that was not asked for");
        session_end(s, END_UPSTREAM_BREACH);
    } else if (s->n_contexts < MAX_CONTEXTS) {
        if (allocation)
            s->allocation = (int8_t)s->n_contexts;
        s->contexts[s->n_contexts++] = item->context;
        if (!hidden) {
            n->contexts_of_client = true;
            client_hs_put_context(&n->hs, out, item->context, item->name);
        }
    } else {
        // Chunks of a context we cannot remember would be taken for a breach.
        session_end(s, END_UPSTREAM_BREACH);
    }
}

static void
dialog_item(void *ctx, const struct upstream_item *item)
{
    struct session *s = ctx;
    struct negotiation *n = s->negotiation;
    uint8_t b[ANSWER_SIZE];
    struct out out = out_of(b, sizeof b);
    if (n->question == ASK_LIST && item->reply == NBD_REP_SERVER)
        client_hs_put_server(&n->hs, &out, item->name, item->description);
    else if (n->question == ASK_LIST_META && item->reply == NBD_REP_META_CONTEXT)
        client_hs_put_context(&n->hs, &out, item->context, item->name);
    else if (item->reply == NBD_REP_META_CONTEXT)
        context_item(s, item, &out);
    else if (item->reply == NBD_REP_INFO && item->info == NBD_INFO_NAME)
        keep_text(&n->has_name, &n->name_len, n->name, item->payload);
    else if (item->reply == NBD_REP_INFO && item->info == NBD_INFO_DESCRIPTION)
        keep_text(&n->has_description, &n->description_len, n->description, item->payload);
    if (session_alive(s))
        negotiation_send(s, &out);
}

static void
dialog_ready(void *ctx)
{
    struct session *s = ctx;
    struct negotiation *n = s->negotiation;
    n->structured = n->asked_structured = n->no_go = false;
    if (n->option_waits)
        negotiation_ask(s);
}

static void
dialog_failed(void *ctx, const char *what, bool breach)
{
    struct session *s = ctx;
    struct negotiation *n = s->negotiation;
    session_log(s, LOG_LEVEL_WARN, "upstream: %s", what);
    bool client_knows_ids = n->contexts_of_client;
    bool unknown_export = n->question == ASK_EXPORT_NAME && !breach;
    n->dialled = false;
    n->question = ASK_NOTHING;
    n->failed_at = session_now(s);
    snprintf(n->failure, sizeof n->failure, "%s", what);
    negotiation_forget_contexts(s);
    settle_cancel(s);
    if (client_knows_ids) {
        // Ids hold for one connection (spec: NBD_REP_META_CONTEXT); the client has been told
        // others.
        session_end(s, END_UPSTREAM_LOST);
        return;
    }
    if (n->option_waits && unknown_export)
        answer_error(s, NBD_REP_ERR_UNKNOWN, bytes_str("the upstream does not serve this export"));
    else if (n->option_waits)
        negotiation_unreachable(s);
    if (session_alive(s))
        stream_nudge(s->client);
}

static void
dialog_news(void *ctx)
{
    session_turn(ctx);
}

const struct dialog_handler negotiation_dialog_handler = {
    .ready = dialog_ready,
    .item = dialog_item,
    .answer = dialog_answer,
    .failed = dialog_failed,
    .news = dialog_news,
};
