// SPDX-License-Identifier: BSD-3-Clause
// [export] sections. A section that is for listeners of several upstreams becomes one
// export_settings for each upstream, since what it does not override comes from there.
#include "config_parts.h"

#include "config_values.h"
#include "memory.h"

#include <stdlib.h>
#include <string.h>

// The section's listeners, all of them where it names none. The caller's to free().
static const struct listener_settings **
find_listeners(const struct settings *s, const struct config_section *section, unsigned *n,
               struct faults *faults)
{
    const struct config_value *v = &section->values[KEY_EXPORT_LISTEN];
    const struct listener_settings **list = need_zeroed(s->n_listeners, sizeof *list);
    *n = 0;
    if (!*v->text)
        for (unsigned i = 0; i < s->n_listeners; i++)
            list[(*n)++] = &s->listeners[i];
    char *copy = need_copy(v->text), *rest;
    for (char *name = strtok_r(copy, " \t", &rest); name; name = strtok_r(NULL, " \t", &rest)) {
        const struct listener_settings *l = config_find_listener(s, name, v->line, faults);
        bool twice = false;
        for (unsigned i = 0; i < *n; i++)
            twice |= list[i] == l;
        if (l && twice)
            fault_at(faults, v->line, "listen: %s is named twice", name);
        else if (l)
            list[(*n)++] = l;
    }
    free(copy);
    return list;
}

// The export's name as clients ask for it, in memory of its own.
static struct bytes
export_name(const struct config_section *section, struct faults *faults)
{
    const struct config_value *v = &section->values[KEY_EXPORT_NAME];
    char *name = need_copy(*v->text ? v->text : section->name);
    size_t len = strlen(name);
    if (*v->text && !percent_decode(name, &len))
        fault_at(faults, v->line,
                 "name: %% and two hexadecimal digits would be right, %%25 for %%");
    return bytes_of(name, len);
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

// Takes those of list[0 .. n) that go to the same upstream as the first out of it; returns what is
// left.
static unsigned
take_one_upstream(struct export_settings *e, const struct listener_settings **list, unsigned n)
{
    const struct upstream_settings *upstream = list[0]->upstream;
    unsigned left = 0;
    e->listeners = need_zeroed(n, sizeof *e->listeners);
    for (unsigned i = 0; i < n; i++) {
        if (list[i]->upstream == upstream)
            e->listeners[e->n_listeners++] = list[i];
        else
            list[left++] = list[i];
    }
    return left;
}

static void
add_exports(struct settings *s, const struct config_section *section, struct faults *faults)
{
    unsigned n;
    bool taken = false;
    const struct listener_settings **list = find_listeners(s, section, &n, faults);
    struct bytes name = export_name(section, faults);
    while (n) {
        s->exports = need_array(s->exports, s->n_exports + 1, sizeof *s->exports);
        struct export_settings *e = &s->exports[s->n_exports];
        *e = (struct export_settings){0};
        char *copy = need_zeroed(name.len + 1, 1);
        memcpy(copy, name.p, name.len);
        e->name = bytes_of(copy, name.len);
        const struct upstream_settings *upstream = list[0]->upstream;
        n = take_one_upstream(e, list, n);
        if (upstream) // else that has been reported
            e->policy = upstream->policy;
        config_policy(&e->policy, section, false);
        taken |= is_taken(s, e);
        s->n_exports++;
    }
    if (taken)
        fault_at(faults, section->line,
                 "[export %s]: an earlier section is for the same name and listener: keep one, or "
                 "tell them apart with listen = NAME",
                 section->name);
    free(list);
    free((void *)(uintptr_t)name.p);
}

void
config_exports(struct settings *s, const struct config_document *doc, struct faults *faults)
{
    const struct config_section *section;
    for (size_t at = 0; (section = config_next(doc, SECTION_EXPORT, &at));) {
        add_exports(s, section, faults);
        config_policy_warn(section, faults);
    }
}
