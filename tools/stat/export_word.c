// SPDX-License-Identifier: BSD-3-Clause
#include "export_word.h"

#include "safe.h"
#include "sample.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const char *
unquoted(const char *name)
{
    return strcmp(name, "\"\"") == 0 ? "" : name;
}

// The part of the word behind "UPSTREAM/"; NULL if it does not begin so.
static const char *
behind(const char *word, const char *upstream)
{
    size_t len = strlen(upstream);
    return strncmp(word, upstream, len) == 0 && word[len] == '/' ? unquoted(word + len + 1) : NULL;
}

static void
set(struct export_word *t, const char *upstream, const char *name)
{
    export_word_free(t);
    t->upstream = upstream ? or_die(strdup(upstream)) : NULL;
    t->name = or_die(strdup(name));
}

void
export_word_find(struct export_word *t, const json_t *snapshot, const char *word)
{
    size_t i;
    json_t *e;
    bool bare = false;
    *t = (struct export_word){0};
    json_array_foreach(json_object_get(snapshot, "exports"), i, e)
    {
        const char *upstream = fact_text(e, "upstream"), *name = fact_text(e, "export");
        const char *rest = behind(word, upstream);
        if (rest && strcmp(rest, name) == 0) {
            set(t, upstream, name);
            return;
        }
        bare |= strcmp(unquoted(word), name) == 0;
    }
    set(t, NULL, unquoted(word));
    if (bare)
        return;
    json_array_foreach(json_object_get(snapshot, "upstreams"), i, e)
    {
        const char *upstream = fact_text(e, "name");
        const char *rest = behind(word, upstream);
        if (rest && (!t->upstream || strlen(upstream) > strlen(t->upstream)))
            set(t, upstream, rest);
    }
}

void
export_word_free(struct export_word *t)
{
    free(t->upstream);
    free(t->name);
    *t = (struct export_word){0};
}
