// SPDX-License-Identifier: BSD-3-Clause
#include "config_changes.h"

#include "memory.h"

#include <base/text.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN 256

struct telling {
    struct faults *warnings;
    void (*tell)(void *ctx, const char *line);
    void *ctx;
};

static const char *
shown(char *buf, const char *text)
{
    text_escape(buf, SHOWN, bytes_str(text));
    return *text ? buf : "nothing";
}

// What tells [export] sections of one name apart.
static const enum config_key_id marks[] = {KEY_EXPORT_NAME, KEY_EXPORT_LISTEN, KEY_EXPORT_UPSTREAM};
#define MARKS (sizeof marks / sizeof marks[0])

static bool
has_twin(const struct config_document *doc, const struct config_section *s)
{
    for (size_t i = 0; i < doc->n_sections; i++) {
        const struct config_section *o = doc->sections[i];
        if (o != s && o->kind == s->kind && strcmp(o->name, s->name) == 0)
            return true;
    }
    return false;
}

// "[proxy]", "[listen main]", "[export \xff]"; where there are others of that name "[export a]
// (listen = main)".
static char *
title(const struct config_document *doc, const struct config_section *s)
{
    char name[SHOWN], value[SHOWN];
    text_escape(name, sizeof name, bytes_str(s->name));
    char *text = need_text("[%s%s%s]", section_names[s->kind], *name ? " " : "", name);
    bool twin = s->kind == SECTION_EXPORT && has_twin(doc, s), first = true;
    for (size_t i = 0; twin && i < MARKS; i++) {
        if (!*s->values[marks[i]].text)
            continue;
        char *more =
            need_text("%.*s%s%s = %s)", (int)strlen(text) - !first, text, first ? " (" : ", ",
                      config_keys[marks[i]].name, shown(value, s->values[marks[i]].text));
        free(text);
        text = more;
        first = false;
    }
    return text;
}

static void
tell(const struct telling *t, char *line)
{
    t->tell(t->ctx, line);
    free(line);
}

static void
tell_section(const struct telling *t, const struct config_document *doc,
             const struct config_section *s, const char *what)
{
    char *where = title(doc, s);
    tell(t, need_text("%s: %s", where, what));
    free(where);
}

// What an [export] does not give it has from its upstream.
static bool
inherits(enum config_key_id id, const struct config_section *s)
{
    return s->kind == SECTION_EXPORT && config_key_in(id, SECTION_UPSTREAM) &&
           *config_keys[id].initial && !s->values[id].line;
}

// 1024M and 1G are the same.
static bool
same(enum config_key_id id, const struct config_section *a, const struct config_section *b)
{
    const struct config_value *v = &a->values[id], *w = &b->values[id];
    if (inherits(id, a) || inherits(id, b))
        return inherits(id, a) && inherits(id, b);
    if (config_keys[id].type == VALUE_TEXT || config_keys[id].type == VALUE_RANGE)
        return strcmp(v->text, w->text) == 0;
    return v->number == w->number;
}

static const char *
value(char *buf, enum config_key_id id, const struct config_section *s)
{
    return inherits(id, s) ? "as its upstream" : shown(buf, s->values[id].text);
}

static void
keep(const struct config_key *key, const struct config_value *old, struct config_value *next,
     struct faults *warnings)
{
    char a[SHOWN], b[SHOWN];
    warning_at(warnings, next->line, "%s = %s needs a restart: %s stays until then", key->name,
               shown(b, next->text), shown(a, old->text));
    free(next->text);
    next->text = need_copy(old->text);
    next->number = old->number;
}

static void
compare(const struct telling *t, const struct config_section *old, struct config_document *doc,
        struct config_section *next)
{
    char a[SHOWN], b[SHOWN];
    for (enum config_key_id id = 0; id < CONFIG_KEYS; id++) {
        const struct config_key *key = &config_keys[id];
        if (!config_key_in(id, next->kind) || same(id, old, next))
            continue;
        if (key->fixed) {
            keep(key, &old->values[id], &next->values[id], t->warnings);
            continue;
        }
        char *where = title(doc, next);
        tell(t,
             need_text("%s %s: %s -> %s", where, key->name, value(a, id, old), value(b, id, next)));
        free(where);
    }
}

// Which section was which ------------------------------------------------------------------

static bool
same_marks(const struct config_section *a, const struct config_section *b)
{
    for (size_t i = 0; a->kind == SECTION_EXPORT && i < MARKS; i++)
        if (strcmp(a->values[marks[i]].text, b->values[marks[i]].text) != 0)
            return false;
    return true;
}

// The first of that kind and name that nobody has been compared with; taken out of `left`.
static const struct config_section *
take(const struct config_section **left, size_t n, const struct config_section *s, bool exactly)
{
    for (size_t i = 0; i < n; i++) {
        const struct config_section *o = left[i];
        if (!o || o->kind != s->kind || strcmp(o->name, s->name) != 0 ||
            (exactly && !same_marks(o, s)))
            continue;
        left[i] = NULL;
        return o;
    }
    return NULL;
}

// [proxy] may be left out; then all its keys have their defaults.
static void
complete(struct config_document *doc)
{
    if (!config_section_find(doc, SECTION_PROXY, ""))
        config_section_add(doc, SECTION_PROXY, "", 0);
}

void
config_changes(struct config_document *old, struct config_document *next, struct faults *warnings,
               void (*call)(void *ctx, const char *line), void *ctx)
{
    struct telling t = {warnings, call, ctx};
    complete(old);
    complete(next);
    const struct config_section **left = need_zeroed(old->n_sections, sizeof *left);
    const struct config_section **before = need_zeroed(next->n_sections, sizeof *before);
    for (size_t i = 0; i < old->n_sections; i++)
        left[i] = old->sections[i];
    for (int exactly = 1; exactly >= 0; exactly--)
        for (size_t i = 0; i < next->n_sections; i++)
            if (!before[i])
                before[i] = take(left, old->n_sections, next->sections[i], exactly);
    for (size_t i = 0; i < next->n_sections; i++) {
        if (before[i])
            compare(&t, before[i], next, next->sections[i]);
        else
            tell_section(&t, next, next->sections[i], "new");
    }
    for (size_t i = 0; i < old->n_sections; i++)
        if (left[i])
            tell_section(&t, old, left[i], "gone; connections that it has stay");
    free(left);
    free(before);
}

bool
config_upstream_moved(const struct config_document *old, const struct config_document *next,
                      const char *name)
{
    const struct config_section *a = config_section_find(old, SECTION_UPSTREAM, name);
    const struct config_section *b = config_section_find(next, SECTION_UPSTREAM, name);
    return !a || !b ||
           strcmp(a->values[KEY_UPSTREAM_URI].text, b->values[KEY_UPSTREAM_URI].text) != 0;
}
