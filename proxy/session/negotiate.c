// SPDX-License-Identifier: BSD-3-Clause
// The handshake from the client's side: options come in, one waits at a time.
#include "negotiate.h"

#include <stdlib.h>
#include <wire/names.h>

// Where nothing was reached, the next option within this time is told so, too.
#define RETRY_AFTER NS_PER_SEC

// Where the option goes. False: it has been answered, for nobody needs to be asked.
static bool
find_route(struct session *s)
{
    struct negotiation *n = s->negotiation;
    const struct client_option *o = &n->hs.option;
    const struct upstream_settings *own = s->listener->upstream;
    n->route = (struct route){.upstream = own};
    if (o->id == NBD_OPT_LIST && !own)
        list_configured(s, false);
    if (o->id == NBD_OPT_LIST)
        return own;
    if (route_find(s->settings, s->listener, o->name, &n->route))
        return true;
    answer_error(s, NBD_REP_ERR_UNKNOWN, "no such export here");
    return false;
}

void
negotiation_dial(struct session *s, nstime deadline)
{
    struct negotiation *n = s->negotiation;
    n->dialled =
        dialog_open(&n->dialog, s->worker->ring, n->route.upstream, s->settings->limits.keepalive,
                    deadline, &negotiation_dialog_handler, s);
    if (!n->dialled)
        session_end(s, END_NO_MEMORY);
}

static void
begin_option(struct session *s)
{
    struct negotiation *n = s->negotiation;
    n->option_waits = true;
    session_log(s, LOG_LEVEL_DEBUG, "option %s", nbd_option_name(n->hs.option.id));
    // It replaces what was set before, whatever becomes of it (spec: NBD_OPT_SET_META_CONTEXT).
    if (n->hs.option.id == NBD_OPT_SET_META_CONTEXT)
        contexts_forget(s);
    if (!find_route(s))
        return;
    const struct upstream_settings *u = n->route.upstream;
    nstime deadline = ring_clock(s->worker->ring) + u->connect_timeout;
    s->target = u;
    if (n->dialled && n->dialog.upstream != u)
        negotiation_leave(s);
    if (n->dialled) {
        dialog_set_deadline(&n->dialog, deadline);
        if (n->dialog.open)
            negotiation_ask(s);
    } else if (n->failed == u && session_now(s) < n->failed_at + RETRY_AFTER) {
        negotiation_unreachable(s, n->failure);
    } else {
        negotiation_dial(s, deadline);
    }
}

static void
handle_event(struct session *s, enum client_hs_event event)
{
    struct negotiation *n = s->negotiation;
    switch (event) {
    case CLIENT_HS_MORE: break;
    case CLIENT_HS_OPTION: begin_option(s); break;
    case CLIENT_HS_ANSWERED:
        session_log(s, LOG_LEVEL_DEBUG, "option %s: answered", nbd_option_name(n->hs.option.id));
        negotiation_tell_refusal(s);
        if (n->hs.option.id == NBD_OPT_SET_META_CONTEXT)
            contexts_forget(s);
        break;
    case CLIENT_HS_STARTTLS: break; // feed_client()
    case CLIENT_HS_ABORT: session_end(s, END_CLIENT_ABORT); break;
    case CLIENT_HS_BREACH:
        session_log(s, LOG_LEVEL_INFO, "client: %s", n->hs.breach);
        session_end(s, END_CLIENT_BREACH);
        break;
    }
}

static bool
feed_client(struct session *s)
{
    struct negotiation *n = s->negotiation;
    size_t len;
    const uint8_t *p = stream_peek(s->client, &len);
    if (!len || n->option_waits || stream_unsent(s->client) >= UNSENT_HIGH)
        return false;
    uint8_t b[CLIENT_HS_OUT];
    struct out out = out_of(b, sizeof b);
    enum client_hs_event event;
    size_t used = client_hs_feed(&n->hs, p, len, &out, &event);
    stream_take(s->client, used);
    if (event == CLIENT_HS_STARTTLS) {
        negotiation_secure(s, &out);
        return s->phase == PHASE_HANDSHAKE;
    }
    negotiation_send(s, &out);
    handle_event(s, event);
    return used || event != CLIENT_HS_MORE;
}

void
negotiation_turn(struct session *s)
{
    struct negotiation *n = s->negotiation;
    negotiation_look_secured(s);
    do {
        // Long lists wait until the client has taken what there is.
        if (n->dialled && n->dialog.stream && stream_unsent(s->client) < UNSENT_HIGH)
            dialog_pump(&n->dialog);
    } while (s->phase == PHASE_HANDSHAKE && feed_client(s));
    if (s->phase != PHASE_HANDSHAKE)
        return;
    if (s->worker->draining) {
        if (n->option_waits)
            answer_error(s, NBD_REP_ERR_SHUTDOWN, "the proxy is shutting down");
        session_end(s, END_DRAINED);
        return;
    }
    if (stream_ended(s->client) && !n->option_waits) { // an answer that is due is still given
        session_end(s, END_CLIENT_LEFT_EARLY);
        return;
    }
    size_t len;
    stream_peek(s->client, &len);
    stream_want(s->client, len && n->option_waits ? 0 : 1);
    if (n->dialled && n->dialog.stream)
        stream_want(n->dialog.stream, stream_unsent(s->client) < UNSENT_HIGH ? 1 : 0);
}

bool
negotiation_begin(struct session *s)
{
    struct negotiation *n = calloc(1, sizeof *n);
    if (!n)
        return false;
    s->negotiation = n;
    n->scratch = malloc(CLIENT_HS_SCRATCH);
    if (!n->scratch)
        return false;
    uint8_t b[64];
    struct out out = out_of(b, sizeof b);
    client_hs_begin(&n->hs, n->scratch, s->listener->tls, &out);
    negotiation_send(s, &out);
    return true;
}

void
negotiation_close(struct session *s)
{
    struct negotiation *n = s->negotiation;
    if (!n)
        return;
    timer_cancel(s->worker->ring, &n->lock_timer);
    scout_recall(n->scout);
    n->scout = NULL;
    dialog_close(&n->dialog);
    n->dialled = false;
}

void
negotiation_free(struct session *s)
{
    struct negotiation *n = s->negotiation;
    if (!n)
        return;
    negotiation_close(s);
    contexts_clear(&n->contexts);
    list_clear(&n->listing);
    free(n->scratch);
    free(n);
    s->negotiation = NULL;
}
