// SPDX-License-Identifier: BSD-3-Clause
#include "config_section_line.h"

#include "memory.h"
#include "nearest.h"

#include <base/text.h>
#include <stdlib.h>
#include <string.h>

#define BRACKETS_BYTES 49 // what inih keeps of a section's name

static const char letters_of_names[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                       "0123456789._-";

static char *
trim(char *text)
{
    text += strspn(text, " \t");
    size_t len = strlen(text);
    while (len && strchr(" \t\r", text[len - 1]))
        text[--len] = '\0';
    return text;
}

// What stands between the brackets, in the line's own memory; "" after a fault.
static char *
inside_brackets(char *text, unsigned line, struct faults *faults)
{
    char *close = strchr(text, ']');
    if (!close) {
        fault_at(faults, line, "a section's line without ]: [%s] would be right",
                 "proxy, or listen, upstream or export and a name");
        return NULL;
    }
    char *behind = close + 1 + strspn(close + 1, " \t\r");
    if (*behind && !strchr("#;", *behind))
        fault_at(faults, line, "text behind the ] of a section: begin a new line for it");
    *close = '\0';
    size_t len = (size_t)(close - text - 1);
    if (len > BRACKETS_BYTES)
        fault_at(faults, line, "%zu bytes between [ and ]: at most %d would be right%s", len,
                 BRACKETS_BYTES,
                 strncmp(text + 1, "export", 6) == 0 ? "; a longer name goes into the key \"name\""
                                                     : "");
    return trim(text + 1);
}

static enum section_kind
find_kind(const char *word, unsigned line, struct faults *faults)
{
    enum section_kind kind = section_kind_find(word);
    if (kind < SECTION_KINDS)
        return kind;
    char shown[128];
    text_escape(shown, sizeof shown, bytes_str(word));
    struct nearest n = nearest_to(word);
    for (kind = 0; kind < SECTION_KINDS; kind++)
        nearest_offer(&n, section_names[kind]);
    if (n.best)
        fault_at(faults, line, "unknown section [%s]: did you mean [%s]?", shown, n.best);
    else
        fault_at(faults, line,
                 "unknown section [%s]: proxy, listen, upstream or export would be right", shown);
    return SECTION_KINDS;
}

static void
check_name(enum section_kind kind, const char *name, bool given, unsigned line,
           struct faults *faults)
{
    const char *word = section_names[kind];
    char shown[128];
    text_escape(shown, sizeof shown, bytes_str(name));
    if (kind == SECTION_PROXY && given)
        fault_at(faults, line, "[proxy] takes no name: without \"%s\" would be right", shown);
    else if (kind == SECTION_EXPORT && !given)
        fault_at(faults, line, "[export] needs a name: [export \"\"] for the default export");
    else if ((kind == SECTION_LISTEN || kind == SECTION_UPSTREAM) && !*name)
        fault_at(faults, line, "[%s] needs a name: [%s main], for example", word, word);
    else if ((kind == SECTION_LISTEN || kind == SECTION_UPSTREAM) &&
             name[strspn(name, letters_of_names)])
        fault_at(
            faults, line,
            "[%s %s]: letters, digits, dots, dashes and underscores would be right in the name",
            word, shown);
}

static void
check_duplicate(enum section_kind kind, const char *name, unsigned line,
                const struct config_document *doc, struct faults *faults)
{
    const struct config_section *first = config_section_find(doc, kind, name);
    // Two [export] of one name may be for different listeners: config_export.c sees to these.
    if (!first || kind == SECTION_EXPORT)
        return;
    fault_at(faults, line, "[%s%s%s] is there twice, first in line %u: keep one, or rename one",
             section_names[kind], *name ? " " : "", name, first->line);
}

void
section_line_read(struct section_line *s, const char *text, unsigned line,
                  const struct config_document *doc, struct faults *faults)
{
    char *copy = need_copy(text);
    *s = (struct section_line){.kind = SECTION_KINDS};
    char *word = inside_brackets(copy, line, faults);
    if (word) {
        char *name = word + strcspn(word, " \t");
        bool given = *name;
        if (given) {
            *name++ = '\0';
            name = trim(name);
        }
        s->kind = find_kind(word, line, faults);
        s->name = need_copy(strcmp(name, "\"\"") == 0 ? "" : name);
        if (s->kind < SECTION_KINDS) {
            check_name(s->kind, s->name, given, line, faults);
            check_duplicate(s->kind, s->name, line, doc, faults);
        }
    }
    free(copy);
}

void
section_line_clear(struct section_line *s)
{
    free(s->name);
}
