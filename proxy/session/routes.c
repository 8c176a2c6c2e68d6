// SPDX-License-Identifier: BSD-3-Clause
#include <session/routes.h>

#include <stdio.h>

struct bytes
route_upstream_name(const struct upstream_settings *u, struct bytes name)
{
    return name.len ? name : bytes_of(u->uri.export, u->uri.export_len);
}

const char *
route_place(const struct nbd_uri *u, char buf[ROUTE_PLACE_TEXT])
{
    char where[ADDRESS_TEXT];
    address_text(&u->address, where, sizeof where);
    snprintf(buf, ROUTE_PLACE_TEXT, "%s%s@%s", u->tls ? "tls:" : "", u->user, where);
    return buf;
}

bool
route_shows(const struct export_settings *e, const struct listener_settings *l, struct bytes name)
{
    return e->upstream == l->upstream && bytes_equal(e->upstream_name, name) && export_is_for(e, l);
}

static const struct export_settings *
section_named(const struct settings *s, const struct listener_settings *l, struct bytes name)
{
    for (unsigned i = 0; i < s->n_exports; i++)
        if (bytes_equal(s->exports[i].name, name) && export_is_for(&s->exports[i], l))
            return &s->exports[i];
    return NULL;
}

static const struct export_settings *
section_showing(const struct settings *s, const struct listener_settings *l, struct bytes name)
{
    for (unsigned i = 0; i < s->n_exports; i++)
        if (route_shows(&s->exports[i], l, name))
            return &s->exports[i];
    return NULL;
}

// A section of that name is for other listeners only, and means our upstream.
static bool
kept_for_others(const struct settings *s, const struct listener_settings *l, struct bytes name)
{
    for (unsigned i = 0; i < s->n_exports; i++) {
        const struct export_settings *e = &s->exports[i];
        if (e->upstream == l->upstream && bytes_equal(e->name, name) && !export_is_for(e, l))
            return true;
    }
    return false;
}

static void
by_section(const struct export_settings *e, struct route *r)
{
    *r = (struct route){e->upstream, e->upstream_name, &e->policy, e};
}

bool
route_find(const struct settings *s, const struct listener_settings *l, struct bytes name,
           struct route *r)
{
    const struct export_settings *e = section_named(s, l, name);
    if (e) {
        by_section(e, r);
        return true;
    }
    const struct upstream_settings *u = l->upstream;
    if (!u || kept_for_others(s, l, name))
        return false;
    struct bytes there = route_upstream_name(u, name);
    // A rename hides the old name. The default export is no name: whoever asks for it gets it, as
    // the section that shows it has it.
    e = section_showing(s, l, there);
    if (e && name.len)
        return false;
    if (e) {
        by_section(e, r);
        return true;
    }
    if (kept_for_others(s, l, there))
        return false;
    *r = (struct route){u, there, &u->policy, NULL};
    return true;
}
