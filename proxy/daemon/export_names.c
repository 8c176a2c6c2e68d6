// SPDX-License-Identifier: BSD-3-Clause
#include "export_names.h"

#include <base/text.h>
#include <session/routes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ESCAPED_NAME sizeof((struct export_description *)0)->name

// What is looked for.
struct search {
    const struct settings *settings;
    const char *upstream, *name;
    struct export_matches *found;
};

static bool
is_called(struct bytes name, const char *text)
{
    char escaped[ESCAPED_NAME];
    return bytes_equal(name, bytes_str(text)) ||
           strcmp(text_escape(escaped, sizeof escaped, name), text) == 0;
}

static bool
copy_of(struct bytes *to, struct bytes from)
{
    uint8_t *p = malloc(from.len + 1);
    if (p && from.len)
        memcpy(p, from.p, from.len);
    *to = bytes_of(p, p ? from.len : 0);
    return p;
}

static void
match_free(struct export_match *m)
{
    free((void *)(uintptr_t)m->address.p);
    free((void *)(uintptr_t)m->name.p);
}

static bool
is_found(const struct export_matches *m, struct bytes address, struct bytes name)
{
    for (size_t i = 0; i < m->n; i++)
        if (bytes_equal(m->list[i].address, address) && bytes_equal(m->list[i].name, name))
            return true;
    return false;
}

static void
add(struct search *s, const char *upstream, struct bytes address, struct bytes name)
{
    struct export_matches *m = s->found;
    struct export_match one = {0};
    if ((s->upstream && strcmp(s->upstream, upstream) != 0) || is_found(m, address, name))
        return;
    struct export_match *list = reallocarray(m->list, m->n + 1, sizeof *list);
    m->list = list ? list : m->list;
    if (!list || !copy_of(&one.address, address) || !copy_of(&one.name, name)) {
        match_free(&one);
        m->short_of_memory = true;
        return;
    }
    snprintf(one.upstream, sizeof one.upstream, "%s", upstream);
    list[m->n++] = one;
}

static void
add_at(struct search *s, const struct upstream_settings *u, struct bytes name)
{
    char place[ROUTE_PLACE_TEXT];
    add(s, u->name, bytes_str(route_place(&u->uri, place)), name);
}

static const struct upstream_settings *
upstream_at(const struct settings *s, struct bytes address, const char *preferred)
{
    const struct upstream_settings *found = NULL;
    for (unsigned i = 0; i < s->n_upstreams; i++) {
        char place[ROUTE_PLACE_TEXT];
        const struct upstream_settings *u = &s->upstreams[i];
        if (!bytes_equal(bytes_str(route_place(&u->uri, place)), address))
            continue;
        if (!found || (preferred && strcmp(u->name, preferred) == 0))
            found = u;
    }
    return found;
}

// One that the registry knows. What no upstream leads to any more goes by the name that its
// sessions know.
static void
look_at(void *ctx, const struct export_known *k)
{
    struct search *s = ctx;
    if (!is_called(k->name, s->name))
        return;
    const struct upstream_settings *u =
        upstream_at(s->settings, k->address, s->upstream ? s->upstream : k->upstream);
    if (u)
        add(s, u->name, k->address, k->name);
    else if (k->upstream)
        add(s, k->upstream, k->address, k->name);
}

static struct bytes
export_of_uri(const struct upstream_settings *u)
{
    return bytes_of(u->uri.export, u->uri.export_len);
}

static void
look_at_upstreams_names(struct search *s)
{
    for (unsigned i = 0; i < s->settings->n_exports; i++) {
        const struct export_settings *e = &s->settings->exports[i];
        if (is_called(e->upstream_name, s->name))
            add_at(s, e->upstream, e->upstream_name);
    }
    for (unsigned i = 0; i < s->settings->n_upstreams; i++) {
        const struct upstream_settings *u = &s->settings->upstreams[i];
        if (u->uri.export_len && is_called(export_of_uri(u), s->name))
            add_at(s, u, export_of_uri(u));
    }
}

static void
look_at_clients_names(struct search *s)
{
    for (unsigned i = 0; i < s->settings->n_exports; i++) {
        const struct export_settings *e = &s->settings->exports[i];
        if (is_called(e->name, s->name))
            add_at(s, e->upstream, e->upstream_name);
    }
    for (unsigned i = 0; !*s->name && i < s->settings->n_upstreams; i++)
        add_at(s, &s->settings->upstreams[i], export_of_uri(&s->settings->upstreams[i]));
}

void
export_names_find(struct registry *r, const struct settings *settings, const char *upstream,
                  const char *name, struct export_matches *m)
{
    struct search s = {settings, upstream, name, m};
    *m = (struct export_matches){0};
    registry_known(r, look_at, &s);
    look_at_upstreams_names(&s);
    if (!m->n)
        look_at_clients_names(&s);
}

void
export_matches_free(struct export_matches *m)
{
    for (size_t i = 0; i < m->n; i++)
        match_free(&m->list[i]);
    free(m->list);
    *m = (struct export_matches){0};
}

// Pins ------------------------------------------------------------------------------------

struct telling {
    const struct settings *settings;
    void (*each)(void *ctx, const struct export_description *d);
    void *ctx;
};

static const struct policy *
policy_of(const struct settings *s, const struct upstream_settings *u, struct bytes name)
{
    for (unsigned i = 0; i < s->n_exports; i++)
        if (s->exports[i].upstream == u && bytes_equal(s->exports[i].upstream_name, name))
            return &s->exports[i].policy;
    return &u->policy;
}

static bool
names_it(const struct settings *s, const struct upstream_settings *u, struct bytes name)
{
    bool names = u->uri.export_len && bytes_equal(export_of_uri(u), name);
    for (unsigned i = 0; i < s->n_exports; i++)
        names |= s->exports[i].upstream == u && bytes_equal(s->exports[i].upstream_name, name);
    return names;
}

// Of several names of one place the one that the configuration has for this export.
static const struct upstream_settings *
upstream_of(const struct settings *s, struct bytes address, struct bytes name)
{
    for (unsigned i = 0; i < s->n_upstreams; i++) {
        char place[ROUTE_PLACE_TEXT];
        const struct upstream_settings *u = &s->upstreams[i];
        if (bytes_equal(bytes_str(route_place(&u->uri, place)), address) && names_it(s, u, name))
            return u;
    }
    return upstream_at(s, address, NULL);
}

static void
tell_pin(void *ctx, const struct export_known *k)
{
    struct telling *t = ctx;
    if (k->upstream || k->pin == ZERO_UNKNOWN)
        return;
    const struct upstream_settings *u = upstream_of(t->settings, k->address, k->name);
    if (!u)
        return;
    struct export_description d = {
        .policy = policy_of(t->settings, u, k->name)->zero.policy,
        .pin = k->pin,
        .n_rows = {1, 1},
    };
    snprintf(d.upstream, sizeof d.upstream, "%s", u->name);
    text_escape(d.name, sizeof d.name, k->name);
    for (int i = 0; i < 2; i++)
        d.rows[i][0] = zero_row_of_pin(k->pin, k->pinned_at);
    t->each(t->ctx, &d);
}

void
export_names_pinned(struct registry *r, const struct settings *s,
                    void (*each)(void *ctx, const struct export_description *d), void *ctx)
{
    registry_known(r, tell_pin, &(struct telling){s, each, ctx});
}
