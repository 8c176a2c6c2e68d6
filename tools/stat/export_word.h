// SPDX-License-Identifier: BSD-3-Clause
// Which export is meant by what was typed.
#ifndef STAT_EXPORT_WORD_H
#define STAT_EXPORT_WORD_H

#include <jansson.h>

struct export_word {
    char *upstream; // NULL: any
    char *name;
};

// `word` is [UPSTREAM/]EXPORT; both may hold slashes: what the daemon knows decides. An empty name,
// or "" with its quotes as tables show it, is the default export.
void export_word_find(struct export_word *t, const json_t *snapshot, const char *word);
void export_word_free(struct export_word *t);

#endif
