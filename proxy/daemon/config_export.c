// SPDX-License-Identifier: BSD-3-Clause
// [export] sections. A section that names no upstream and is for listeners of several becomes one
// export_settings for each, since what it does not override comes from there.
#include "config_parts.h"

#include "config_values.h"
#include "memory.h"

#include <stdlib.h>
#include <string.h>

struct listener_list {
    const struct listener_settings **list;
    unsigned n;
};

static bool
has(const struct listener_list *ls, const struct listener_settings *l)
{
    for (unsigned i = 0; i < ls->n; i++)
        if (ls->list[i] == l)
            return true;
    return false;
}

static void
add_named(struct listener_list *ls, const struct settings *s, const struct config_value *v,
          struct faults *faults)
{
    char *copy = need_copy(v->text), *rest;
    for (char *name = strtok_r(copy, " \t", &rest); name; name = strtok_r(NULL, " \t", &rest)) {
        const struct listener_settings *l = config_find_listener(s, name, v->line, faults);
        if (l && has(ls, l))
            fault_at(faults, v->line, "listen: %s is named twice", name);
        else if (l)
            ls->list[ls->n++] = l;
    }
    free(copy);
}

// The section's listeners; where it names none, those of its upstream, or all that have one. The
// list is the caller's to free().
static struct listener_list
find_listeners(const struct settings *s, const struct config_section *section,
               const struct upstream_settings *upstream, struct faults *faults)
{
    const struct config_value *v = &section->values[KEY_EXPORT_LISTEN];
    struct listener_list ls = {need_zeroed(s->n_listeners, sizeof *ls.list), 0};
    if (*v->text) {
        add_named(&ls, s, v, faults);
        return ls;
    }
    for (unsigned i = 0; i < s->n_listeners; i++) {
        const struct upstream_settings *u = s->listeners[i].upstream;
        if (upstream ? u == upstream : u != NULL)
            ls.list[ls.n++] = &s->listeners[i];
    }
    return ls;
}

// A name in memory of its own. Two quotes are the empty name, as in [export ""].
struct bytes
config_name(const struct config_value *v, const char *key, struct faults *faults)
{
    char *name = need_copy(strcmp(v->text, "\"\"") == 0 ? "" : v->text);
    size_t len = strlen(name);
    if (!percent_decode(name, &len))
        fault_at(faults, v->line, "%s: %% and two hexadecimal digits would be right, %%25 for %%",
                 key);
    else if (memchr(name, '\0', len))
        fault_at(faults, v->line, "%s: %%00 cannot be in a name: without it would be right", key);
    return bytes_of(name, len);
}

void
config_name_free(struct bytes name)
{
    free((void *)(uintptr_t)name.p);
}

static struct bytes
copy_of(struct bytes b)
{
    char *copy = need_zeroed(b.len + 1, 1);
    if (b.len)
        memcpy(copy, b.p, b.len);
    return bytes_of(copy, b.len);
}

static bool
share_listener(const struct export_settings *a, const struct export_settings *b)
{
    for (unsigned i = 0; i < a->n_listeners; i++)
        for (unsigned j = 0; j < b->n_listeners; j++)
            if (a->listeners[i] == b->listeners[j])
                return true;
    return false;
}

static bool
is_taken(const struct settings *s, const struct export_settings *e)
{
    for (unsigned i = 0; i < s->n_exports; i++)
        if (bytes_equal(s->exports[i].name, e->name) && share_listener(&s->exports[i], e))
            return true;
    return false;
}

// Takes those out of the list that go to the same upstream as the first, or all where the section
// names the upstream.
static void
take_one_upstream(struct export_settings *e, struct listener_list *ls,
                  const struct upstream_settings *given)
{
    unsigned left = 0;
    e->upstream = given ? given : ls->list[0]->upstream;
    e->listeners = need_zeroed(ls->n, sizeof *e->listeners);
    for (unsigned i = 0; i < ls->n; i++) {
        if (given || ls->list[i]->upstream == e->upstream)
            e->listeners[e->n_listeners++] = ls->list[i];
        else
            ls->list[left++] = ls->list[i];
    }
    ls->n = left;
}

// What a section says, whatever the upstream.
struct words {
    struct bytes name, upstream_name, description;
};

static struct words
read_words(const struct config_section *section, struct faults *faults)
{
    const struct config_value *name = &section->values[KEY_EXPORT_NAME];
    const struct config_value *theirs = &section->values[KEY_EXPORT_UPSTREAM_EXPORT];
    const struct config_value *description = &section->values[KEY_EXPORT_DESCRIPTION];
    struct words w = {0};
    w.name = *name->text ? config_name(name, "name", faults) : copy_of(bytes_str(section->name));
    w.upstream_name =
        *theirs->text ? config_name(theirs, "upstream-export", faults) : copy_of(w.name);
    if (*description->text)
        w.description = copy_of(bytes_str(description->text));
    return w;
}

static void
free_words(const struct words *w)
{
    config_name_free(w->name);
    config_name_free(w->upstream_name);
    config_name_free(w->description);
}

static void
fill(struct export_settings *e, const struct words *w, const struct config_section *section,
     struct faults *faults)
{
    struct bytes theirs = w->upstream_name;
    const struct upstream_settings *u = e->upstream;
    if (u && !theirs.len) // the export part of the URI replaces an empty name
        theirs = bytes_of(u->uri.export, u->uri.export_len);
    e->name = copy_of(w->name);
    e->upstream_name = copy_of(theirs);
    if (w->description.p)
        e->description = copy_of(w->description);
    if (u) // else that has been reported
        e->policy = u->policy;
    config_policy(&e->policy, section, false);
    config_scratch(&e->scratch, section, &e->policy, faults);
    if (u && !e->scratch.given && u->scratch.elsewhere)
        e->scratch =
            (struct scratch_settings){.elsewhere = true, .holder = copy_of(u->scratch.holder)};
}

// It names an upstream that is not there, which has been reported.
static bool
is_astray(const struct config_document *doc, const struct listener_settings *l)
{
    const struct config_section *section = config_section_find(doc, SECTION_LISTEN, l->name);
    return !l->upstream && *section->values[KEY_LISTEN_UPSTREAM].text;
}

static void
check_listeners_of(const struct config_section *section, const struct settings *s,
                   const struct config_document *doc, struct faults *faults,
                   const struct listener_list *ls, const struct upstream_settings *given)
{
    const struct config_value *listen = &section->values[KEY_EXPORT_LISTEN];
    bool astray = !given && *section->values[KEY_EXPORT_UPSTREAM].text;
    for (unsigned i = 0; i < s->n_listeners; i++)
        astray |= is_astray(doc, &s->listeners[i]);
    if (astray) // what follows from that is no fault of its own
        return;
    if (!ls->n && !*listen->text && s->n_listeners)
        fault_at(faults, section->line,
                 "[export %s] is for no listener, since none has %s: listen = NAME would be right",
                 section->name, given ? "that upstream" : "an upstream");
    for (unsigned i = 0; i < ls->n && !given; i++)
        if (!ls->list[i]->upstream)
            fault_at(faults, listen->line,
                     "listen: [listen %s] has no upstream, and [export %s] names none: upstream = "
                     "NAME would be right",
                     ls->list[i]->name, section->name);
}

static void
add_exports(struct settings *s, const struct config_section *section,
            const struct config_document *doc, struct faults *faults)
{
    const struct config_value *v = &section->values[KEY_EXPORT_UPSTREAM];
    const struct upstream_settings *given =
        *v->text ? config_find_upstream(s, v->text, v->line, faults) : NULL;
    struct listener_list ls = find_listeners(s, section, given, faults);
    struct words w = read_words(section, faults);
    bool taken = false, repeated = false; // faults of one section are told once
    struct faults ignored = {0};
    check_listeners_of(section, s, doc, faults, &ls, given);
    while (ls.n) {
        s->exports = need_array(s->exports, s->n_exports + 1, sizeof *s->exports);
        struct export_settings *e = &s->exports[s->n_exports];
        *e = (struct export_settings){0};
        take_one_upstream(e, &ls, given);
        fill(e, &w, section, repeated ? &ignored : faults);
        repeated = true;
        taken |= is_taken(s, e);
        s->n_exports++;
    }
    if (taken)
        fault_at(faults, section->line,
                 "[export %s]: an earlier section is for the same name and listener: keep one, or "
                 "tell them apart with listen = NAME",
                 section->name);
    faults_clear(&ignored);
    free(ls.list);
    free_words(&w);
}

static bool
is_named(const struct settings *s, const struct listener_settings *l)
{
    for (unsigned i = 0; i < s->n_exports; i++)
        if (export_is_for(&s->exports[i], l))
            return true;
    return false;
}

static void
check_listeners(const struct settings *s, const struct config_document *doc, struct faults *faults)
{
    size_t at = 0;
    for (unsigned i = 0; i < s->n_listeners; i++) {
        const struct config_section *section = config_next(doc, SECTION_LISTEN, &at);
        if (!*section->values[KEY_LISTEN_UPSTREAM].text && !is_named(s, &s->listeners[i]))
            fault_at(faults, section->line,
                     "[listen %s] serves nothing: upstream = NAME would be right, or an [export] "
                     "section with listen = %s",
                     section->name, section->name);
    }
}

void
config_exports(struct settings *s, const struct config_document *doc, struct faults *faults)
{
    const struct config_section *section;
    for (size_t at = 0; (section = config_next(doc, SECTION_EXPORT, &at));) {
        add_exports(s, section, doc, faults);
        config_policy_warn(section, faults);
    }
    check_listeners(s, doc, faults);
}
