// SPDX-License-Identifier: BSD-3-Clause
// INFO, GO and EXPORT_NAME: how upstream is asked, as far as it knows them itself.
#include "negotiate.h"

#include <stdio.h>

static void
begin(struct session *s, enum question q)
{
    struct negotiation *n = s->negotiation;
    n->question = q;
    n->has_name = n->has_description = false;
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

void
infos_item(struct session *s, const struct upstream_item *item)
{
    struct negotiation *n = s->negotiation;
    if (item->reply != NBD_REP_INFO)
        return;
    if (item->info == NBD_INFO_NAME)
        keep_text(&n->has_name, &n->name_len, n->name, item->payload);
    else if (item->info == NBD_INFO_DESCRIPTION)
        keep_text(&n->has_description, &n->description_len, n->description, item->payload);
}

// To ask for block sizes is to promise to keep to them (spec: "Block size constraints"). Only the
// client can promise that, or we where we repair what it does not keep. INFO asks for the same as
// GO, so that what it says is what GO will say.
#define INFOS_ROOM (2u * SCOUT_INFOS)

static struct bytes
infos_wanted(const struct negotiation *n, uint8_t room[INFOS_ROOM])
{
    struct bytes infos = n->hs.option.infos;
    if (!n->route.policy->repair || client_option_wants(&n->hs.option, NBD_INFO_BLOCK_SIZE))
        return infos;
    if (infos.len)
        memcpy(room, infos.p, infos.len);
    put_be16(room + infos.len, NBD_INFO_BLOCK_SIZE);
    return bytes_of(room, infos.len + 2);
}

// A scout ---------------------------------------------------------------------------------

static void
scout_item(void *ctx, const struct upstream_item *item)
{
    infos_item(ctx, item);
}

// What `r` says of an export that it could not open.
static void
answer_unseen(struct session *s, const struct scout_report *r)
{
    switch (r->end) {
    case SCOUT_KNOWS: break;
    case SCOUT_REFUSED: answer_refused(s, &r->answer); break;
    case SCOUT_TURNED:
        answer_error(s, NBD_REP_ERR_UNKNOWN, "the upstream does not serve this export");
        break;
    case SCOUT_FAILED:
        session_log(s, LOG_LEVEL_WARN, "upstream: %s", r->what);
        negotiation_unreachable(s, dialog_public(r->what, r->how));
        break;
    }
}

static void
scouted(void *ctx, const struct scout_report *r)
{
    struct session *s = ctx;
    struct negotiation *n = s->negotiation;
    n->scout = NULL;
    if (r->end == SCOUT_KNOWS) {
        n->export = r->export;
        settle_info(s);
    } else {
        answer_unseen(s, r);
    }
    if (session_alive(s))
        stream_nudge(s->client);
}

static const struct scout_handler scout_for_all = {.item = scout_item, .done = scouted};

static void
size_scouted(void *ctx, const struct scout_report *r)
{
    struct session *s = ctx;
    struct negotiation *n = s->negotiation;
    n->scout = NULL;
    if (r->end == SCOUT_KNOWS) {
        n->export.size = r->export.size;
        n->export.flags = r->export.flags;
        settle_info(s);
    } else {
        answer_unseen(s, r);
    }
    if (session_alive(s))
        stream_nudge(s->client);
}

static void
ignore_item(void *ctx, const struct upstream_item *item)
{
    (void)ctx;
    (void)item;
}

static const struct scout_handler scout_for_size = {.item = ignore_item, .done = size_scouted};

// Where a server has one client at a time, the scout would wait for our own first connection: that
// one is left before, and dialled anew by the next option. Only contexts that the client has been
// told of keep it: on another connection their ids might be others.
static bool
send_scout(struct session *s, const struct scout_handler *handler)
{
    struct negotiation *n = s->negotiation;
    uint8_t room[INFOS_ROOM];
    if (!n->contexts.current || !n->contexts.told.len)
        negotiation_leave(s);
    n->scout = scout_send(s->worker->ring, n->route.upstream, n->route.name, infos_wanted(n, room),
                          n->dialog.deadline, handler, s);
    return n->scout;
}

static void
scout_all(struct session *s)
{
    begin(s, ASK_NOTHING);
    if (!send_scout(s, &scout_for_all))
        session_end(s, END_NO_MEMORY);
}

// Questions -------------------------------------------------------------------------------

void
infos_ask(struct session *s)
{
    struct negotiation *n = s->negotiation;
    uint8_t room[INFOS_ROOM];
    switch (n->dialog.hs.style) {
    case UPSTREAM_FIXED:
        begin(s, ASK_INFO);
        dialog_ask_info(&n->dialog, NBD_OPT_INFO, n->route.name, infos_wanted(n, room));
        break;
    case UPSTREAM_NEWSTYLE: scout_all(s); break;
    case UPSTREAM_OLDSTYLE:
        begin(s, ASK_NOTHING);
        n->export = n->dialog.hs.export;
        settle_info(s);
        break;
    }
}

void
infos_go(struct session *s)
{
    struct negotiation *n = s->negotiation;
    uint8_t room[INFOS_ROOM];
    if (!contexts_ready(s))
        return;
    if (n->dialog.hs.style == UPSTREAM_OLDSTYLE) {
        begin(s, ASK_NOTHING);
        n->export = n->dialog.hs.export;
        settle_go(s);
    } else if (n->dialog.hs.style == UPSTREAM_NEWSTYLE || n->no_go) {
        begin(s, ASK_EXPORT_NAME);
        dialog_ask_export_name(&n->dialog, n->route.name);
    } else {
        begin(s, ASK_GO);
        dialog_ask_info(&n->dialog, NBD_OPT_GO, n->route.name, infos_wanted(n, room));
    }
}

// Answers ---------------------------------------------------------------------------------

void
infos_answered(struct session *s, const struct upstream_answer *a)
{
    struct negotiation *n = s->negotiation;
    n->export = n->dialog.hs.export;
    if (a->reply == NBD_REP_ERR_UNSUP)
        scout_all(s);
    else if (a->reply == NBD_REP_ERR_EXT_HEADER_REQD && formats_required(s))
        return;
    else if (a->reply != NBD_REP_ACK)
        answer_refused(s, a);
    else if (n->export.size || !send_scout(s, &scout_for_size))
        settle_info(s);
}

void
infos_go_answered(struct session *s, const struct upstream_answer *a)
{
    struct negotiation *n = s->negotiation;
    n->export = n->dialog.hs.export;
    if (a->reply == NBD_REP_ACK) {
        settle_go(s);
    } else if (a->reply == NBD_REP_ERR_UNSUP && n->question == ASK_GO) {
        n->no_go = true;
        negotiation_ask(s);
    } else if (a->reply != NBD_REP_ERR_EXT_HEADER_REQD || !formats_required(s)) {
        answer_refused(s, a);
    }
}
