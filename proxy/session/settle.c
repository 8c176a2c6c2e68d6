// SPDX-License-Identifier: BSD-3-Clause
// The end of a handshake: what the client is told of the export, and what the session remembers of
// it.
#include "negotiate.h"

#include <base/text.h>
#include <stdio.h>
#include <stdlib.h>

#define LOCK_RETRY (5 * NS_PER_MS)

// The section of the configuration that speaks of the export the client named, or the upstream's.
static const struct policy *
policy_for(const struct session *s, struct bytes name)
{
    for (unsigned i = 0; i < s->settings->n_exports; i++) {
        const struct export_settings *e = &s->settings->exports[i];
        if (export_is_for(e, s->listener) && bytes_equal(e->name, name))
            return &e->policy;
    }
    return &s->listener->upstream->policy;
}

static uint16_t
flags_for_client(const struct session *s, const struct policy *p, uint16_t upstream)
{
    static const enum fast_zero_offer offers[] = {
        [ZERO_MEASURE] = FAST_ZERO_OFFER, [ZERO_TRUST] = FAST_ZERO_AS_UPSTREAM,
        [ZERO_ALWAYS] = FAST_ZERO_OFFER,  [ZERO_NEVER] = FAST_ZERO_OFFER,
        [ZERO_OFF] = FAST_ZERO_HIDE,
    };
    return advertised_flags(upstream, s->negotiation->hs.structured, p->read_only,
                            offers[p->zero.policy]);
}

static uint32_t
max_payload(const struct upstream_export *e)
{
    if (!e->has_block_size || e->maximum > MAX_PAYLOAD)
        return MAX_PAYLOAD;
    return e->maximum;
}

static void
put_block_size(struct session *s, struct out *out)
{
    const struct upstream_export *e = &s->negotiation->export;
    uint8_t b[12];
    uint32_t maximum = max_payload(e) < e->preferred ? e->preferred : max_payload(e);
    put_be32(b, e->minimum);
    put_be32(b + 4, e->preferred);
    put_be32(b + 8, maximum);
    client_hs_put_info(&s->negotiation->hs, out, NBD_INFO_BLOCK_SIZE, bytes_of(b, sizeof b));
}

static void
put_infos(struct session *s, struct out *out, uint16_t flags)
{
    struct negotiation *n = s->negotiation;
    client_hs_put_export(&n->hs, out, n->export.size, flags);
    if (n->has_name)
        client_hs_put_info(&n->hs, out, NBD_INFO_NAME, bytes_of(n->name, n->name_len));
    if (n->has_description)
        client_hs_put_info(&n->hs, out, NBD_INFO_DESCRIPTION,
                           bytes_of(n->description, n->description_len));
    if (n->export.has_block_size)
        put_block_size(s, out);
}

void
settle_info(struct session *s)
{
    struct negotiation *n = s->negotiation;
    uint8_t b[ANSWER_SIZE];
    struct out out = out_of(b, sizeof b);
    const struct policy *p = policy_for(s, n->hs.option.name);
    put_infos(s, &out, flags_for_client(s, p, n->export.flags));
    client_hs_ack(&n->hs, &out);
    n->option_waits = false;
    stream_send_copy(s->client, out.p, out.len);
}

static void
set_facts(struct session *s, const struct policy *p, struct bytes name)
{
    struct negotiation *n = s->negotiation;
    if (!negotiation_contexts_for(n, name)) {
        n->contexts_of_client = false;
        s->n_contexts = 0;
        s->allocation = -1;
    }
    const struct upstream_export *e = &n->export;
    bool bound = e->has_block_size && n->hs.option.id == NBD_OPT_GO &&
                 client_option_wants(&n->hs.option, NBD_INFO_BLOCK_SIZE);
    s->policy = p;
    s->facts = (struct export_facts){
        .size = e->size,
        .upstream_flags = e->flags,
        .flags = flags_for_client(s, p, e->flags),
        .minimum = bound ? e->minimum : 1,
        .preferred = e->has_block_size ? e->preferred : 0,
        .max_payload = max_payload(e),
        .structured = n->hs.structured,
        .contexts = n->contexts_of_client,
    };
}

static bool
open_export(struct session *s, struct bytes name)
{
    const struct upstream_settings *u = s->listener->upstream;
    char where[ADDRESS_TEXT], address[ADDRESS_TEXT + sizeof u->uri.user + 8], text[256];
    address_text(&u->uri.address, where, sizeof where);
    snprintf(address, sizeof address, "%s%s@%s", u->uri.tls ? "tls:" : "", u->uri.user, where);
    s->export = export_open(s->worker->registry, &(struct export_key){
                                                     .upstream = u->name,
                                                     .address = bytes_str(address),
                                                     .name = name,
                                                     .size = s->facts.size,
                                                     .flags = s->facts.upstream_flags,
                                                 });
    if (!s->export)
        return false;
    export_note(s->export, s->facts.flags, &s->policy->zero);
    s->counters = export_counters_of(s->export, s->worker->index);
    s->export_text = strdup(text_escape(text, sizeof text, name));
    return s->counters && s->export_text;
}

static void
warn_of_policy(const struct session *s)
{
    if (s->policy->zero.policy == ZERO_TRUST && !(s->facts.upstream_flags & NBD_FLAG_SEND_FLUSH))
        session_log(
            s, LOG_LEVEL_WARN,
            "fast-zero = trust, but the upstream has no FLUSH: what its fast zeroes cost later "
            "cannot be seen");
}

static void
finish_go(struct session *s)
{
    struct negotiation *n = s->negotiation;
    uint8_t b[ANSWER_SIZE];
    struct out out = out_of(b, sizeof b);
    n->option_waits = false;
    if (n->hs.option.id == NBD_OPT_EXPORT_NAME) {
        client_hs_export_name(&n->hs, &out, s->facts.size, s->facts.flags);
    } else {
        put_infos(s, &out, s->facts.flags);
        client_hs_ack(&n->hs, &out);
    }
    stream_send_copy(s->client, out.p, out.len);
    s->upstream = dialog_release(&n->dialog);
    n->dialled = false;
    warn_of_policy(s);
    session_transmit(s);
}

// Another process on the same state-dir may be probing the export: it must not meet writes of ours.
static void
try_to_serve(struct timer *t)
{
    struct negotiation *n =
        (struct negotiation *)((char *)t - offsetof(struct negotiation, lock_timer));
    struct session *s = n->dialog.ctx;
    if (!export_may_serve(s->export)) {
        timer_set(s->worker->ring, t, ring_clock(s->worker->ring) + LOCK_RETRY);
        return;
    }
    finish_go(s);
    stream_nudge(s->client);
}

void
settle_cancel(struct session *s)
{
    timer_cancel(s->worker->ring, &s->negotiation->lock_timer);
    scout_recall(s->negotiation->scout);
    s->negotiation->scout = NULL;
    if (s->export)
        export_close(s->export, true);
    s->export = NULL;
    s->counters = NULL;
    free(s->export_text);
    s->export_text = NULL;
}

void
settle_go(struct session *s)
{
    struct negotiation *n = s->negotiation;
    const struct client_option *o = &n->hs.option;
    const struct nbd_uri *u = &s->listener->upstream->uri;
    struct bytes name = o->name.len ? o->name : bytes_of(u->export, u->export_len);
    set_facts(s, policy_for(s, o->name), name);
    if (!open_export(s, name)) {
        session_end(s, END_NO_MEMORY);
        return;
    }
    if (export_may_serve(s->export)) {
        finish_go(s);
        return;
    }
    n->lock_timer.fire = try_to_serve;
    timer_set(s->worker->ring, &n->lock_timer, session_now(s) + LOCK_RETRY);
}
