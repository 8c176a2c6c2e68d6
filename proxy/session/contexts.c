// SPDX-License-Identifier: BSD-3-Clause
#include "negotiate.h"

#include <stdlib.h>

// The id of base:allocation where it is ours.
#define OUR_CONTEXT 1u

static const struct bytes base_allocation = {(const uint8_t *)"base:allocation", 15};

static bool
matches_allocation(struct bytes query, bool listing)
{
    return bytes_equal(query, base_allocation) ||
           (listing && bytes_equal(query, bytes_str("base:")));
}

static bool
asks_for_allocation(struct bytes queries, bool listing)
{
    struct bytes q;
    while (client_option_query(&queries, &q))
        if (matches_allocation(q, listing))
            return true;
    return false;
}

static bool
begins_with(struct bytes b, const char *prefix)
{
    size_t n = strlen(prefix);
    return b.len >= n && memcmp(b.p, prefix, n) == 0;
}

static bool
all_of_base(struct bytes queries)
{
    struct bytes q;
    while (client_option_query(&queries, &q))
        if (!begins_with(q, "base:"))
            return false;
    return true;
}

// ext, "Metadata querying": some contexts have 64 bits of status, and a client without extended
// headers must not be given one (NBD_OPT_SET_META_CONTEXT). An upstream that speaks compact headers
// sees to that itself. One that has them extended, for it insists on that, takes us for a client
// that knows how to use all it has, and does not say how wide a context is; so of these only
// namespaces are passed on that are known to be of 32 bits: the specification's and qemu's.
static bool
may_be_wide(const struct negotiation *n, struct bytes name)
{
    return n->hs.format != FORMAT_EXTENDED && !begins_with(name, "base:") &&
           !begins_with(name, "qemu:");
}

// To the client: the other errors of this kind are between upstream and us.
static void
answer_too_wide(struct session *s)
{
    answer_error(s, NBD_REP_ERR_EXT_HEADER_REQD, "these contexts need extended headers");
}

// Contexts need chunks (spec: NBD_OPT_SET_META_CONTEXT).
static bool
can_ask(const struct negotiation *n)
{
    return n->dialog.hs.format != FORMAT_SIMPLE && !n->no_contexts;
}

// Does this error say that there are no contexts, rather than that this question was wrong? UNSUP
// is what servers without them say, of whatever export. PLATFORM and POLICY may be of the export
// that was asked about: the next may have some. What we offer instead gives nothing away.
static bool
has_none(uint32_t reply)
{
    return reply == NBD_REP_ERR_UNSUP || reply == NBD_REP_ERR_PLATFORM ||
           reply == NBD_REP_ERR_POLICY;
}

static void
free_bytes(struct bytes *b)
{
    free((void *)(uintptr_t)b->p);
    *b = (struct bytes){0};
}

void
contexts_clear(struct agreement *a)
{
    free_bytes(&a->queries);
    free_bytes(&a->told);
    free_bytes(&a->heard);
    *a = (struct agreement){0};
}

static void
clear_session(struct session *s)
{
    s->n_contexts = 0;
    s->allocation = -1;
    s->allocation_hidden = false;
}

void
contexts_forget(struct session *s)
{
    contexts_clear(&s->negotiation->contexts);
    clear_session(s);
}

void
contexts_disconnected(struct session *s)
{
    s->negotiation->contexts.current = false;
    clear_session(s);
}

// A new agreement, on the export of the option that waits.
static void
begin(struct session *s)
{
    struct negotiation *n = s->negotiation;
    struct agreement *a = &n->contexts;
    contexts_forget(s);
    a->upstream = n->route.upstream;
    a->name_len = n->route.name.len;
    if (a->name_len)
        memcpy(a->name, n->route.name.p, a->name_len);
}

static bool
is_for_route(const struct negotiation *n)
{
    const struct agreement *a = &n->contexts;
    return a->upstream == n->route.upstream && a->upstream &&
           bytes_equal(bytes_of(a->name, a->name_len), n->route.name);
}

// Telling the client ----------------------------------------------------------------------

static void
put_context(struct session *s, uint32_t id, struct bytes name)
{
    uint8_t b[ANSWER_SIZE];
    struct out out = out_of(b, sizeof b);
    client_hs_put_context(&s->negotiation->hs, &out, id, name);
    negotiation_send(s, &out);
}

// Contexts are told only when upstream has agreed to all of them: what has been said cannot be
// taken back.
static bool
hear(struct bytes *heard, uint32_t id, struct bytes name)
{
    size_t len = heard->len + 8 + name.len;
    uint8_t *p = realloc((void *)(uintptr_t)heard->p, len);
    if (!p)
        return false;
    put_be32(p + heard->len, id);
    put_be32(p + heard->len + 4, (uint32_t)name.len);
    if (name.len)
        memcpy(p + heard->len + 8, name.p, name.len);
    *heard = bytes_of(p, len);
    return true;
}

static void
tell(struct session *s)
{
    struct agreement *a = &s->negotiation->contexts;
    free_bytes(&a->told);
    a->told = a->heard;
    a->heard = (struct bytes){0};
    struct cursor c = cursor_of(a->told.p, a->told.len);
    while (cursor_left(&c)) {
        uint32_t id = cursor_be32(&c);
        put_context(s, id, cursor_bytes(&c, cursor_be32(&c)));
    }
    answer_ack(s);
}

// LIST_META_CONTEXT -----------------------------------------------------------------------

static void
list_ours(struct session *s)
{
    const struct client_option *o = &s->negotiation->hs.option;
    if (!o->n_queries || asks_for_allocation(o->queries, true))
        put_context(s, 0, base_allocation);
    answer_ack(s);
}

void
contexts_list(struct session *s)
{
    struct negotiation *n = s->negotiation;
    const struct client_option *o = &n->hs.option;
    n->contexts_listed = n->wide_listed = false;
    if (!can_ask(n)) {
        list_ours(s);
        return;
    }
    n->question = ASK_LIST_META;
    dialog_ask_meta(&n->dialog, o->id, n->route.name, o->n_queries, o->queries, (struct bytes){0});
}

void
contexts_listed(struct session *s, const struct upstream_item *item)
{
    struct negotiation *n = s->negotiation;
    n->contexts_listed = true;
    n->wide_listed |= may_be_wide(n, item->name);
    put_context(s, item->context, item->name);
}

void
contexts_list_answered(struct session *s, const struct upstream_answer *a)
{
    const struct negotiation *n = s->negotiation;
    bool listed = n->contexts_listed, required = a->reply == NBD_REP_ERR_EXT_HEADER_REQD;
    // ext: contexts that need extended headers may be listed, and the client SHOULD be told by this
    // error that it cannot have them all; not where all are of "base:".
    bool wide = n->wide_listed && (required || n->dialog.hs.format == FORMAT_EXTENDED);
    bool good = a->reply == NBD_REP_ACK || (required && listed);
    if (good && wide)
        answer_too_wide(s);
    else if (good)
        answer_ack(s);
    else if (has_none(a->reply) && !listed)
        list_ours(s);
    else if (!required || !formats_required(s))
        answer_refused(s, a);
}

// SET_META_CONTEXT ------------------------------------------------------------------------

static void
ask(struct session *s, enum question q)
{
    struct negotiation *n = s->negotiation;
    struct agreement *a = &n->contexts;
    clear_session(s);
    free_bytes(&a->heard);
    a->too_many = a->too_wide = false;
    a->current = false;
    n->question = q;
    s->allocation_hidden = !asks_for_allocation(a->queries, false);
    dialog_ask_meta(&n->dialog, NBD_OPT_SET_META_CONTEXT, n->route.name, a->n_queries, a->queries,
                    s->allocation_hidden ? base_allocation : (struct bytes){0});
}

// All of it is data (spec: "base:allocation": a server without knowledge says so).
static void
agree_by_ourselves(struct session *s)
{
    struct agreement *a = &s->negotiation->contexts;
    a->by_us = true;
    free_bytes(&a->heard);
    if (asks_for_allocation(a->queries, false) && !hear(&a->heard, OUR_CONTEXT, base_allocation))
        session_end(s, END_NO_MEMORY);
    else
        tell(s);
}

void
contexts_set(struct session *s)
{
    struct negotiation *n = s->negotiation;
    const struct client_option *o = &n->hs.option;
    begin(s);
    uint8_t *copy = malloc(o->queries.len + 1);
    if (!copy) {
        session_end(s, END_NO_MEMORY);
        return;
    }
    if (o->queries.len)
        memcpy(copy, o->queries.p, o->queries.len);
    n->contexts.n_queries = o->n_queries;
    n->contexts.queries = bytes_of(copy, o->queries.len);
    if (can_ask(n))
        ask(s, ASK_SET_META);
    else
        agree_by_ourselves(s);
}

bool
contexts_ready(struct session *s)
{
    struct negotiation *n = s->negotiation;
    struct agreement *a = &n->contexts;
    bool ours = is_for_route(n);
    if (ours && (a->current || a->by_us))
        return true;
    if (ours && a->told.len) { // by another connection
        if (can_ask(n))
            ask(s, ASK_SET_AGAIN);
        else
            answer_error(s, NBD_REP_ERR_PLATFORM, "the upstream no longer has metadata contexts");
        return false;
    }
    // Contexts hold for the name they were set for only (spec: NBD_OPT_SET_META_CONTEXT). Those
    // that the client has set for another stay: this GO may fail, and the next be for that name.
    bool shunned = n->shunned.upstream == n->route.upstream && n->shunned.contexts;
    if (a->told.len || !can_ask(n) || shunned)
        return true;
    begin(s);
    ask(s, ASK_SET_HIDDEN);
    return false;
}

static bool
is_known(const struct session *s, uint32_t id)
{
    for (unsigned i = 0; i < s->n_contexts; i++)
        if (s->contexts[i] == id)
            return true;
    return false;
}

void
contexts_item(struct session *s, const struct upstream_item *item)
{
    struct negotiation *n = s->negotiation;
    struct agreement *a = &n->contexts;
    if (is_known(s, item->context)) // asked for twice; ids are unique towards the client
        return;
    bool allocation = bytes_equal(item->name, base_allocation);
    bool hidden = allocation && s->allocation_hidden;
    if (!allocation && n->question == ASK_SET_HIDDEN) {
        session_log(s, LOG_LEVEL_WARN, "upstream: a context that was not asked for");
        session_end(s, END_UPSTREAM_BREACH);
        return;
    }
    // What has been told before was agreed on in compact headers, or found narrow.
    a->too_wide |= n->question == ASK_SET_META && n->dialog.hs.format == FORMAT_EXTENDED &&
                   may_be_wide(n, item->name);
    a->too_many |= s->n_contexts == MAX_CONTEXTS;
    if (a->too_many)
        return;
    if (allocation)
        s->allocation = (int8_t)s->n_contexts;
    s->contexts[s->n_contexts++] = item->context;
    if (!hidden && !hear(&a->heard, item->context, item->name))
        session_end(s, END_NO_MEMORY);
}

static void
changed(struct session *s)
{
    answer_error(s, NBD_REP_ERR_PLATFORM, "the upstream's metadata contexts have changed");
}

static void
agreed(struct session *s)
{
    struct negotiation *n = s->negotiation;
    struct agreement *a = &n->contexts;
    if (a->too_many || a->too_wide) {
        bool many = a->too_many;
        // Chunks of a context that we do not remember would be taken for a breach.
        negotiation_leave(s);
        contexts_forget(s);
        if (many)
            answer_error(s, NBD_REP_ERR_TOO_BIG,
                         "more metadata contexts than a connection may have");
        else
            answer_too_wide(s);
    } else if (n->question == ASK_SET_META) {
        a->current = true;
        tell(s);
    } else if (bytes_equal(a->heard, a->told)) {
        a->current = true;
        negotiation_ask(s);
    } else {
        changed(s);
    }
}

void
contexts_set_answered(struct session *s, const struct upstream_answer *a)
{
    struct negotiation *n = s->negotiation;
    bool first = n->question == ASK_SET_META, required = a->reply == NBD_REP_ERR_EXT_HEADER_REQD;
    if (a->reply == NBD_REP_ACK) {
        agreed(s);
    } else if (required && formats_required(s)) {
        // Either a context needs them, or upstream insists for everything: what it grants will
        // tell.
        return;
    } else if (!first) {
        changed(s);
    } else if (has_none(a->reply)) {
        n->no_contexts |= a->reply == NBD_REP_ERR_UNSUP;
        clear_session(s);
        agree_by_ourselves(s);
    } else {
        bool wide =
            required && n->hs.format != FORMAT_EXTENDED && !all_of_base(n->contexts.queries);
        contexts_forget(s); // a failed option replaces what was set, too
        if (wide)
            answer_too_wide(s);
        else
            answer_refused(s, a);
    }
}

void
contexts_hidden_answered(struct session *s, const struct upstream_answer *a)
{
    struct negotiation *n = s->negotiation;
    n->no_contexts |= a->reply == NBD_REP_ERR_UNSUP;
    if (a->reply != NBD_REP_ACK)
        clear_session(s);
    n->contexts.current = true;
    negotiation_ask(s);
}

void
contexts_settle(struct session *s)
{
    struct negotiation *n = s->negotiation;
    const struct agreement *a = &n->contexts;
    bool ours = is_for_route(n) && (a->current || a->by_us);
    if (!ours || a->by_us)
        clear_session(s);
    s->facts.contexts = ours && a->told.len;
    s->facts.status_by_us = s->facts.contexts && a->by_us;
    if (s->facts.status_by_us) {
        s->contexts[0] = OUR_CONTEXT;
        s->n_contexts = 1;
        s->allocation = 0;
    }
}
