// SPDX-License-Identifier: BSD-3-Clause
// A second, short connection that opens an export to learn what the first cannot say without
// opening it: INFO of servers that have no INFO, and of nbd-server, whose INFO says size 0 for
// every export.
#ifndef SESSION_SCOUT_H
#define SESSION_SCOUT_H

#include "dialog.h"

struct scout;

struct scout_report {
    enum scout_end {
        SCOUT_KNOWS,   // `export`
        SCOUT_REFUSED, // `answer` is upstream's error
        SCOUT_TURNED,  // upstream closed on EXPORT_NAME: it does not serve this export
        SCOUT_FAILED,  // `what`, by `how`
    } end;
    struct upstream_export export;
    struct upstream_answer answer;
    const char *what;
    enum dialog_end how;
};

struct scout_handler {
    void (*item)(void *ctx, const struct upstream_item *item); // an information on the export
    void (*done)(void *ctx, const struct scout_report *r);     // once; the scout is gone
};

// Says GO with these informations (at most SCOUT_INFOS), and EXPORT_NAME to a server without GO.
// NULL: out of memory.
#define SCOUT_INFOS 8
struct scout *scout_send(struct ring *ring, const struct upstream_settings *upstream,
                         struct bytes name, struct bytes infos, nstime deadline,
                         const struct scout_handler *handler, void *ctx);
// No call comes after this; NULL is fine. Not needed after `done`.
void scout_recall(struct scout *s);

#endif
