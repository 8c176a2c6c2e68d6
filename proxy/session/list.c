// SPDX-License-Identifier: BSD-3-Clause
#include "negotiate.h"

#include <base/hash.h>
#include <stdlib.h>

void
list_clear(struct listing *l)
{
    free(l->shown);
    free(l->names);
    *l = (struct listing){0};
}

static bool
begin(struct session *s)
{
    struct listing *l = &s->negotiation->listing;
    list_clear(l);
    l->shown = calloc(s->settings->n_exports + 1, sizeof *l->shown);
    if (!l->shown)
        session_end(s, END_NO_MEMORY);
    return l->shown;
}

static void
finish(struct session *s)
{
    list_clear(&s->negotiation->listing);
    answer_ack(s);
}

static void
put(uint64_t *names, uint32_t cap, uint64_t h)
{
    uint32_t i = (uint32_t)h & (cap - 1);
    while (names[i])
        i = (i + 1) & (cap - 1);
    names[i] = h;
}

static bool
grow(struct listing *l)
{
    uint32_t cap = l->cap ? 2 * l->cap : 64;
    uint64_t *names = calloc(cap, sizeof *names);
    if (!names)
        return false;
    for (uint32_t i = 0; i < l->cap; i++)
        if (l->names[i])
            put(names, cap, l->names[i]);
    free(l->names);
    l->names = names;
    l->cap = cap;
    return true;
}

// Has upstream listed it before? Where memory is short it may be listed again. An upstream that
// makes two names collide hides one of its own.
static bool
seen(struct listing *l, struct bytes name)
{
    uint64_t h = hash_bytes(HASH_BEGIN, name);
    h += !h; // 0 is a free place
    for (uint32_t i = (uint32_t)h & (l->cap - 1); l->cap && l->names[i]; i = (i + 1) & (l->cap - 1))
        if (l->names[i] == h)
            return true;
    if (2 * (l->n + 1) > l->cap && !grow(l))
        return false;
    put(l->names, l->cap, h);
    l->n++;
    return false;
}

static void
show(struct session *s, struct bytes name, struct bytes description)
{
    uint8_t b[ANSWER_SIZE];
    struct out out = out_of(b, sizeof b);
    s->negotiation->listing.any = true;
    client_hs_put_server(&s->negotiation->hs, &out, name, description);
    negotiation_send(s, &out);
}

static void
show_section(struct session *s, unsigned i, struct bytes description)
{
    const struct export_settings *e = &s->settings->exports[i];
    bool *shown = &s->negotiation->listing.shown[i];
    if (!*shown)
        show(s, e->name, e->description.p ? e->description : description);
    *shown = true;
}

// Sections for this listener that have not been shown yet, those of other upstreams among them.
static void
show_rest(struct session *s)
{
    for (unsigned i = 0; i < s->settings->n_exports; i++)
        if (export_is_for(&s->settings->exports[i], s->listener))
            show_section(s, i, (struct bytes){0});
}

static bool
passes_through(const struct session *s, struct bytes name)
{
    struct route r;
    return route_find(s->settings, s->listener, name, &r) && !r.section;
}

void
list_configured(struct session *s, bool lacking)
{
    struct listing *l = &s->negotiation->listing;
    const struct upstream_settings *u = s->listener->upstream;
    if (!l->shown && !begin(s))
        return;
    show_rest(s);
    struct bytes of_uri = u ? bytes_of(u->uri.export, u->uri.export_len) : (struct bytes){0};
    if (of_uri.len && passes_through(s, of_uri) && !seen(l, of_uri))
        show(s, of_uri, (struct bytes){0});
    // Such a server has an export, or nobody would have put a proxy before it.
    if (lacking && !l->any && passes_through(s, (struct bytes){0}))
        show(s, (struct bytes){0}, (struct bytes){0});
    finish(s);
}

void
list_broken(struct session *s, const char *what)
{
    if (s->negotiation->listing.any) {
        list_clear(&s->negotiation->listing);
        answer_error(s, NBD_REP_ERR_PLATFORM, what);
    } else {
        list_configured(s, false);
    }
}

void
list_ask(struct session *s)
{
    struct negotiation *n = s->negotiation;
    if (n->dialog.hs.style != UPSTREAM_FIXED) {
        list_configured(s, true);
        return;
    }
    if (!begin(s))
        return;
    n->question = ASK_LIST;
    dialog_ask_list(&n->dialog);
}

void
list_item(struct session *s, const struct upstream_item *item)
{
    if (seen(&s->negotiation->listing, item->name))
        return;
    for (unsigned i = 0; i < s->settings->n_exports; i++)
        if (route_shows(&s->settings->exports[i], s->listener, item->name))
            show_section(s, i, item->description);
    if (passes_through(s, item->name))
        show(s, item->name, item->description);
}

void
list_answered(struct session *s, const struct upstream_answer *a)
{
    struct listing *l = &s->negotiation->listing;
    if (a->reply == NBD_REP_ACK) {
        show_rest(s);
        finish(s);
    } else if (l->any) {
        list_clear(l);
        answer_refused(s, a);
    } else if (a->reply != NBD_REP_ERR_EXT_HEADER_REQD || !formats_required(s)) {
        session_log(s, LOG_LEVEL_DEBUG, "upstream refuses to list: the configured names are told");
        list_configured(s, true);
    }
}
