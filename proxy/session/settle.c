// SPDX-License-Identifier: BSD-3-Clause
// The end of a handshake: what the client is told of the export, and what the session remembers of
// it.
#include "negotiate.h"

#include <base/hash.h>
#include <base/text.h>
#include <stdio.h>
#include <stdlib.h>

#define LOCK_RETRY (5 * NS_PER_MS)

static uint16_t
flags_for_client(const struct negotiation *n)
{
    static const enum fast_zero_offer offers[] = {
        [ZERO_MEASURE] = FAST_ZERO_OFFER, [ZERO_TRUST] = FAST_ZERO_AS_UPSTREAM,
        [ZERO_ALWAYS] = FAST_ZERO_OFFER,  [ZERO_NEVER] = FAST_ZERO_OFFER,
        [ZERO_OFF] = FAST_ZERO_HIDE,
    };
    const struct policy *p = n->route.policy;
    return advertised_flags(n->export.flags, n->hs.format, p->read_only, offers[p->zero.policy]);
}

static uint32_t
max_payload(const struct upstream_export *e)
{
    if (!e->has_block_size || e->maximum > MAX_PAYLOAD)
        return MAX_PAYLOAD;
    return (uint32_t)align_down(e->maximum, e->minimum); // no request of whole blocks is longer
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

// What a section says of an export has precedence, where the client wants to know; what upstream
// says is passed on as it comes.
static void
put_name(struct session *s, struct out *out)
{
    struct negotiation *n = s->negotiation;
    const struct export_settings *e = n->route.section;
    if (e && (n->has_name || client_option_wants(&n->hs.option, NBD_INFO_NAME)))
        client_hs_put_info(&n->hs, out, NBD_INFO_NAME, e->name);
    else if (n->has_name)
        client_hs_put_info(&n->hs, out, NBD_INFO_NAME, bytes_of(n->name, n->name_len));
}

static void
put_description(struct session *s, struct out *out)
{
    struct negotiation *n = s->negotiation;
    const struct export_settings *e = n->route.section;
    bool wanted = n->has_description || client_option_wants(&n->hs.option, NBD_INFO_DESCRIPTION);
    if (e && e->description.p && wanted)
        client_hs_put_info(&n->hs, out, NBD_INFO_DESCRIPTION, e->description);
    else if (n->has_description)
        client_hs_put_info(&n->hs, out, NBD_INFO_DESCRIPTION,
                           bytes_of(n->description, n->description_len));
}

static void
put_infos(struct session *s, struct out *out, uint16_t flags)
{
    struct negotiation *n = s->negotiation;
    bool only_ours =
        n->route.policy->repair && !client_option_wants(&n->hs.option, NBD_INFO_BLOCK_SIZE);
    client_hs_put_export(&n->hs, out, n->export.size, flags);
    put_name(s, out);
    put_description(s, out);
    if (n->export.has_block_size && !only_ours)
        put_block_size(s, out);
}

void
settle_info(struct session *s)
{
    struct negotiation *n = s->negotiation;
    uint8_t b[ANSWER_SIZE];
    struct out out = out_of(b, sizeof b);
    put_infos(s, &out, flags_for_client(n));
    negotiation_send(s, &out);
    answer_ack(s);
}

static void
set_facts(struct session *s)
{
    const struct negotiation *n = s->negotiation;
    const struct upstream_export *e = &n->export;
    bool bound = e->has_block_size && n->hs.option.id == NBD_OPT_GO &&
                 client_option_wants(&n->hs.option, NBD_INFO_BLOCK_SIZE);
    bool promised = bound || (e->has_block_size && n->route.policy->repair);
    uint16_t flags = flags_for_client(n);
    s->policy = n->route.policy;
    s->facts = (struct export_facts){
        .size = e->size,
        .upstream_flags = e->flags,
        .flags = flags,
        .minimum = bound ? e->minimum : 1,
        .upstream_minimum = promised ? e->minimum : 1,
        .preferred = e->has_block_size ? e->preferred : 0,
        .max_payload = max_payload(e),
        .client_format = n->hs.format,
        .upstream_format = n->dialog.hs.format,
        .fua_by_flush = (flags & NBD_FLAG_SEND_FUA) && !(e->flags & NBD_FLAG_SEND_FUA),
    };
    contexts_settle(s);
}

static bool
open_export(struct session *s)
{
    const struct route *r = &s->negotiation->route;
    const struct upstream_settings *u = r->upstream;
    char where[ADDRESS_TEXT], address[ROUTE_PLACE_TEXT], text[256];
    address_text(&u->uri.address, where, sizeof where);
    route_place(&u->uri, address);
    s->storage = (struct storage){
        .address = hash_bytes(HASH_BEGIN, bytes_str(where)),
        .name = hash_bytes(HASH_BEGIN, r->name),
        .size = s->facts.size,
    };
    s->export = export_open(s->worker->registry,
                            &(struct export_key){
                                .upstream = u->name,
                                .address = bytes_str(address),
                                .name = r->name,
                                .dialled = s->storage.address,
                                .size = s->facts.size,
                                .flags = s->facts.upstream_flags,
                            },
                            session_now(s));
    if (!s->export)
        return false;
    const struct scratch_settings *scratch = r->section ? &r->section->scratch : &u->scratch;
    if (scratch->elsewhere)
        export_borrow(s->export, scratch->holder);
    export_note(s->export, s->facts.flags, &s->policy->zero);
    s->counters = export_counters_of(s->export, s->worker->index);
    s->export_text = strdup(text_escape(text, sizeof text, r->name));
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
    set_facts(s);
    if (!open_export(s)) {
        session_end(s, END_NO_MEMORY);
        return;
    }
    if (export_may_serve(s->export)) {
        finish_go(s);
        return;
    }
    n->question = ASK_NOTHING;
    n->lock_timer.fire = try_to_serve;
    timer_set(s->worker->ring, &n->lock_timer, session_now(s) + LOCK_RETRY);
}
