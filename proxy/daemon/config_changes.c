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

// "[proxy]", "[listen main]", "[export \xff]".
static char *
title(const struct config_section *s)
{
    char name[SHOWN];
    text_escape(name, sizeof name, bytes_str(s->name));
    return need_text("[%s%s%s]", section_names[s->kind], *name ? " " : "", name);
}

static void
tell(const struct telling *t, char *line)
{
    t->tell(t->ctx, line);
    free(line);
}

static void
tell_section(const struct telling *t, const struct config_section *s, const char *what)
{
    char *where = title(s);
    tell(t, need_text("%s: %s", where, what));
    free(where);
}

// 1024M and 1G are the same.
static bool
same(const struct config_key *key, const struct config_value *a, const struct config_value *b)
{
    if (key->type == VALUE_TEXT || key->type == VALUE_RANGE)
        return strcmp(a->text, b->text) == 0;
    return a->number == b->number;
}

static const char *
shown(char *buf, const char *text)
{
    text_escape(buf, SHOWN, bytes_str(text));
    return *text ? buf : "nothing";
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
compare(const struct telling *t, const struct config_section *old, struct config_section *next)
{
    char a[SHOWN], b[SHOWN];
    for (enum config_key_id id = 0; id < CONFIG_KEYS; id++) {
        const struct config_key *key = &config_keys[id];
        const struct config_value *before = &old->values[id];
        struct config_value *after = &next->values[id];
        if (!config_key_in(id, next->kind) || same(key, before, after))
            continue;
        if (key->fixed) {
            keep(key, before, after, t->warnings);
            continue;
        }
        char *where = title(next);
        tell(t, need_text("%s %s: %s -> %s", where, key->name, shown(a, before->text),
                          shown(b, after->text)));
        free(where);
    }
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
    for (size_t i = 0; i < next->n_sections; i++) {
        struct config_section *s = next->sections[i];
        const struct config_section *before = config_section_find(old, s->kind, s->name);
        if (before)
            compare(&t, before, s);
        else
            tell_section(&t, s, "new");
    }
    for (size_t i = 0; i < old->n_sections; i++)
        if (!config_section_find(next, old->sections[i]->kind, old->sections[i]->name))
            tell_section(&t, old->sections[i], "gone; connections that it has stay");
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
