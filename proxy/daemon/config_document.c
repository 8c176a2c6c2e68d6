// SPDX-License-Identifier: BSD-3-Clause
#include "config_document.h"

#include "config_values.h"
#include "memory.h"

#include <base/text.h>
#include <stdlib.h>
#include <string.h>

static void
set_default(struct config_value *v, const struct config_key *key)
{
    char err[VALUE_ERROR];
    v->text = need_copy(key->initial);
    if (!value_parse(key, key->initial, &v->number, err, sizeof err))
        abort(); // the table contradicts itself; a unit test sees to it that it doesn't
}

struct config_section *
config_section_add(struct config_document *doc, enum section_kind kind, const char *name,
                   unsigned line)
{
    struct config_section *s = need_zeroed(1, sizeof *s);
    s->kind = kind;
    s->name = need_copy(name);
    s->line = line;
    for (enum config_key_id id = 0; id < CONFIG_KEYS; id++)
        if (config_key_in(id, kind))
            set_default(&s->values[id], &config_keys[id]);
    doc->sections = need_array(doc->sections, doc->n_sections + 1, sizeof(struct config_section *));
    doc->sections[doc->n_sections++] = s;
    return s;
}

struct config_section *
config_section_find(const struct config_document *doc, enum section_kind kind, const char *name)
{
    for (size_t i = 0; i < doc->n_sections; i++)
        if (doc->sections[i]->kind == kind && strcmp(doc->sections[i]->name, name) == 0)
            return doc->sections[i];
    return NULL;
}

void
config_document_clear(struct config_document *doc)
{
    for (size_t i = 0; i < doc->n_sections; i++) {
        struct config_section *s = doc->sections[i];
        for (enum config_key_id id = 0; id < CONFIG_KEYS; id++)
            free(s->values[id].text);
        free(s->name);
        free(s);
    }
    free(doc->sections);
    *doc = (struct config_document){0};
}

static void
say_unknown_key(enum section_kind kind, const char *key, unsigned line, struct faults *faults)
{
    char shown[128];
    text_escape(shown, sizeof shown, bytes_str(key));
    const char *near = config_key_nearest(kind, key);
    if (near)
        fault_at(faults, line, "unknown key \"%s\" in a [%s] section: did you mean \"%s\"?", shown,
                 section_names[kind], near);
    else
        fault_at(faults, line,
                 "unknown key \"%s\" in a [%s] section: nbdzero.conf(5) lists its keys", shown,
                 section_names[kind]);
}

static bool
is_default(const struct config_key *key, const char *text, uint64_t number)
{
    char err[VALUE_ERROR];
    uint64_t initial;
    if (key->type == VALUE_TEXT || key->type == VALUE_RANGE)
        return strcmp(text, key->initial) == 0;
    return value_parse(key, key->initial, &initial, err, sizeof err) && initial == number;
}

static void
check_only_default(const struct config_key *key, const char *text, uint64_t number, unsigned line,
                   struct faults *faults)
{
    if (!key->only_default || is_default(key, text, number))
        return;
    if (*key->initial)
        fault_at(faults, line, "%s = %s is not yet supported: %s = %s would be right", key->name,
                 text, key->name, key->initial);
    else
        fault_at(faults, line, "%s is not yet supported: leave it out or empty", key->name);
}

// inih begins a comment inside a line with ; only. "state-dir = /x # old" would be a strange path.
static bool
has_hash_comment(const char *value)
{
    return strstr(value, " #") || strstr(value, "\t#");
}

void
config_section_set(struct config_section *s, const char *name, const char *value, unsigned line,
                   struct faults *faults)
{
    enum config_key_id id = config_key_find(s->kind, name);
    if (id == CONFIG_KEYS) {
        say_unknown_key(s->kind, name, line, faults);
        return;
    }
    const struct config_key *key = &config_keys[id];
    struct config_value *v = &s->values[id];
    if (v->line) {
        fault_at(faults, line, "%s is given twice in this section, first in line %u: keep one",
                 name, v->line);
        return;
    }
    v->line = line;
    if (has_hash_comment(value)) {
        fault_at(faults, line,
                 "%s: # begins a comment only at the start of a line: ; would be right", name);
        return;
    }
    char err[VALUE_ERROR];
    uint64_t number;
    if (!value_parse(key, value, &number, err, sizeof err)) {
        fault_at(faults, line, "%s", err);
        return;
    }
    check_only_default(key, value, number, line, faults);
    free(v->text);
    v->text = need_copy(value);
    v->number = number;
}
