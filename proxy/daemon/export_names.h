// SPDX-License-Identifier: BSD-3-Clause
// Exports as people name them: [UPSTREAM/]EXPORT, be they open, saved by an earlier process, or
// only configured.
#ifndef DAEMON_EXPORT_NAMES_H
#define DAEMON_EXPORT_NAMES_H

#include <export/registry.h>
#include <session/settings.h>

struct export_match {
    char upstream[64];
    struct bytes address, name; // of its key; owned
};

struct export_matches {
    struct export_match *list;
    size_t n;
    bool short_of_memory; // and so some may be missing
};

// All that `name` may mean: as the upstream calls it, escaped or as it is; where there is none, as
// clients call it. `upstream` NULL: any.
void export_names_find(struct registry *r, const struct settings *s, const char *upstream,
                       const char *name, struct export_matches *m);
void export_matches_free(struct export_matches *m);

// Calls `each` for every pin of an export that has not been opened yet, described as far as is
// known: without .export, size and flags.
void export_names_pinned(struct registry *r, const struct settings *s,
                         void (*each)(void *ctx, const struct export_description *d), void *ctx);

#endif
