// SPDX-License-Identifier: BSD-3-Clause
// Makes snapshots: asks every worker by letter for its report and waits for all answers, without
// blocking anybody. Whoever asks while one is under way shares it.
#ifndef DAEMON_COLLECTOR_H
#define DAEMON_COLLECTOR_H

#include "budget.h"
#include "listeners.h"
#include "workers.h"

#include <export/registry.h>
#include <jansson.h>

// Of a core, what making pictures may take in the long run: 0.4 %, with a second saved up. With the
// answers that is less than 1 % where ten a second are asked for (tests/bench/statistics).
#define PICTURES_BUDGET                                                                            \
    {                                                                                              \
        .part = 250, .most = NS_PER_SEC                                                            \
    }

struct collection;

struct snapshot_waiter {
    struct snapshot_waiter *next;
    // The picture, for the time of the call; NULL: out of memory.
    void (*done)(struct snapshot_waiter *w, json_t *snapshot);
};

struct collector {
    struct ring *ring; // the main one, on whose thread all of this is called
    struct workers *workers;
    struct listeners *listeners;
    struct registry *registry;
    const struct control_counts *control;
    nstime started;
    struct budget budget; // of the work for pictures, on all threads
    uint64_t pictures;    // that were made
    struct snapshot_waiter *waiting;
    struct collection *current;
    void (*idle)(void *ctx); // see collector_close()
    void *ctx;
};

// Pictures have cost more than they should: who can do with an older one had better.
bool collector_is_spent(struct collector *c);
// `done` is called later, never from within. False: out of memory, and it never will be.
bool collector_ask(struct collector *c, struct snapshot_waiter *w);
// No call comes to w after this. It need not be waiting.
void collector_forget(struct collector *c, struct snapshot_waiter *w);
// Calls `idle`, at once or later, when no letter of ours is under way. Nobody may ask after this.
void collector_close(struct collector *c, void (*idle)(void *ctx), void *ctx);

#endif
