// SPDX-License-Identifier: BSD-3-Clause
// Which export is meant by what was typed.
#ifndef STAT_TARGET_H
#define STAT_TARGET_H

#include <jansson.h>

struct target {
    char *upstream; // NULL: any
    char *name;
};

// `word` is [UPSTREAM/]EXPORT; both may hold slashes: what the daemon knows decides. An empty name,
// or "" with its quotes as tables show it, is the default export.
void target_find(struct target *t, const json_t *snapshot, const char *word);
void target_free(struct target *t);

#endif
