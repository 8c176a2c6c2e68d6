// SPDX-License-Identifier: BSD-3-Clause
// What upstream is asked for each option of the client, and whose its answers are.
#include "negotiate.h"

#include <stdio.h>
#include <wire/names.h>

void
negotiation_unreachable(struct session *s, const char *what)
{
    struct negotiation *n = s->negotiation;
    char text[700];
    snprintf(text, sizeof text, "upstream %s: %s", n->route.upstream->name, what);
    switch (n->hs.option.id) {
    case NBD_OPT_LIST: list_broken(s, text); break;
    case NBD_OPT_EXPORT_NAME: session_end(s, END_UPSTREAM_UNREACHABLE); break;
    default: answer_error(s, NBD_REP_ERR_PLATFORM, text); break;
    }
}

// An oldstyle server has one export, and that has no name.
static bool
is_served(struct session *s)
{
    struct negotiation *n = s->negotiation;
    if (n->dialog.hs.style != UPSTREAM_OLDSTYLE || !n->route.name.len)
        return true;
    answer_error(s, NBD_REP_ERR_UNKNOWN, "the upstream is oldstyle: it has no export of a name");
    return false;
}

void
negotiation_ask(struct session *s)
{
    struct negotiation *n = s->negotiation;
    n->question = ASK_NOTHING;
    if (!is_served(s) || formats_ask(s))
        return;
    switch (n->hs.option.id) {
    case NBD_OPT_LIST: list_ask(s); break;
    case NBD_OPT_LIST_META_CONTEXT: contexts_list(s); break;
    case NBD_OPT_SET_META_CONTEXT: contexts_set(s); break;
    case NBD_OPT_INFO: infos_ask(s); break;
    default: infos_go(s); break; // GO, EXPORT_NAME
    }
}

static void
dialog_item(void *ctx, const struct upstream_item *item)
{
    struct session *s = ctx;
    switch (s->negotiation->question) {
    case ASK_NOTHING:
    case ASK_FORMAT: break;
    case ASK_LIST: list_item(s, item); break;
    case ASK_LIST_META: contexts_listed(s, item); break;
    case ASK_SET_META:
    case ASK_SET_AGAIN:
    case ASK_SET_HIDDEN: contexts_item(s, item); break;
    case ASK_INFO:
    case ASK_GO:
    case ASK_EXPORT_NAME: infos_item(s, item); break;
    }
}

static void
dialog_answer(void *ctx, const struct upstream_answer *a)
{
    struct session *s = ctx;
    switch (s->negotiation->question) {
    case ASK_NOTHING: break;
    case ASK_FORMAT: formats_answered(s, a); break;
    case ASK_LIST: list_answered(s, a); break;
    case ASK_LIST_META: contexts_list_answered(s, a); break;
    case ASK_SET_META:
    case ASK_SET_AGAIN: contexts_set_answered(s, a); break;
    case ASK_SET_HIDDEN: contexts_hidden_answered(s, a); break;
    case ASK_INFO: infos_answered(s, a); break;
    case ASK_GO:
    case ASK_EXPORT_NAME: infos_go_answered(s, a); break;
    }
}

static void
dialog_ready(void *ctx)
{
    struct session *s = ctx;
    struct negotiation *n = s->negotiation;
    n->greeted = true;
    n->tried = n->shunned.upstream == n->route.upstream ? n->shunned.formats : 0;
    n->insists = n->no_go = n->no_contexts = false;
    negotiation_log_tls(s, "upstream", n->dialog.stream);
    if (n->option_waits)
        negotiation_ask(s);
}

static void
disconnected(struct session *s)
{
    struct negotiation *n = s->negotiation;
    n->dialled = n->greeted = false;
    n->question = ASK_NOTHING;
    contexts_disconnected(s);
}

void
negotiation_leave(struct session *s)
{
    dialog_close(&s->negotiation->dialog);
    disconnected(s);
}

// What broke in the middle of a question may go well the next time; who was not reached at all
// would be dialled once for every option of the client.
static void
note_unreached(struct negotiation *n, const char *what, nstime now)
{
    n->failed = n->route.upstream;
    n->failed_at = now;
    snprintf(n->failure, sizeof n->failure, "%s", what);
}

// Some servers close where others refuse. What was asked of our own accord, to serve the client
// better, must not keep it from being served at all: upstream is dialled again, and not asked that.
static bool
may_shun(const struct negotiation *n, enum question q, enum dialog_end how)
{
    return n->option_waits && (how == DIALOG_CLOSED || how == DIALOG_SILENT) &&
           (q == ASK_FORMAT || q == ASK_SET_HIDDEN);
}

static void
shun_question(struct session *s, enum question q)
{
    struct negotiation *n = s->negotiation;
    struct shunned *h = &n->shunned;
    if (h->upstream != n->route.upstream)
        *h = (struct shunned){.upstream = n->route.upstream};
    if (q == ASK_FORMAT)
        h->formats |= n->tried; // the last of them, and those it has refused
    else
        h->contexts = true;
    session_log(s, LOG_LEVEL_INFO, "upstream: dialled again, and not asked for %s any more",
                q == ASK_FORMAT ? "this format of replies" : "base:allocation");
    negotiation_dial(s, n->dialog.deadline);
}

static void
dialog_failed(void *ctx, const char *what, enum dialog_end how)
{
    struct session *s = ctx;
    struct negotiation *n = s->negotiation;
    // To close is all that a server can do about a name it does not know (spec:
    // NBD_OPT_EXPORT_NAME).
    enum question q = n->question;
    bool unknown = q == ASK_EXPORT_NAME && how == DIALOG_CLOSED, greeted = n->greeted;
    bool shunned = may_shun(n, q, how);
    // One that does not trust us leaves at the last question, too: then it is told.
    enum log_level level = shunned && how == DIALOG_SILENT ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN;
    session_log(s, unknown ? LOG_LEVEL_INFO : level, "upstream: %s", what);
    what = dialog_public(what, how);
    disconnected(s);
    settle_cancel(s);
    if (unknown) {
        answer_error(s, NBD_REP_ERR_UNKNOWN, "the upstream does not serve this export");
    } else if (shunned) {
        shun_question(s, q);
    } else if (n->option_waits) {
        if (!greeted)
            note_unreached(n, what, session_now(s));
        negotiation_unreachable(s, what);
    }
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
