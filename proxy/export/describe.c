// SPDX-License-Identifier: BSD-3-Clause
// An export in numbers, for statistics.
#include "inside.h"

#include <base/text.h>
#include <stdlib.h>

struct export_counters *
export_counters_of(struct export *e, unsigned index)
{
    struct {
        struct export_counters counters;
        struct histogram latency[COUNTED_COMMANDS];
    } * both;
    if (!e->counters[index] && (both = calloc(1, sizeof *both))) {
        both->counters.latency = both->latency;
        e->counters[index] = &both->counters;
    }
    return e->counters[index];
}

void
registry_counters(struct registry *r, unsigned index,
                  void (*each)(void *ctx, struct export *e, const struct export_counters *c),
                  void *ctx)
{
    pthread_mutex_lock(&r->mutex);
    for (struct export *e = r->exports; e; e = e->next)
        if (e->counters[index])
            each(ctx, e, e->counters[index]);
    pthread_mutex_unlock(&r->mutex);
}

struct zero_row
zero_row_of_pin(enum zero_verdict pin, nstime since)
{
    return (struct zero_row){.bytes_from = 1,
                             .bytes_to = UINT64_MAX,
                             .verdict = pin,
                             .source = ZERO_FROM_PIN,
                             .since = since,
                             .ratio = -1};
}

// A pin comes first. One whose own FAST_ZERO is not believed at the moment has that for a verdict.
static unsigned
export_rows(struct export *e, bool no_hole, nstime now, struct zero_row *rows)
{
    if (export_pin(e) != ZERO_UNKNOWN) {
        rows[0] = zero_row_of_pin(export_pin(e), e->pinned_at);
        return 1;
    }
    if (!zero_native_refuses(&e->native[no_hole], now))
        return zero_class_rows(&e->classes[no_hole], &e->rules, now, rows, ZERO_ROWS);
    rows[0] = zero_native_row(&e->native[no_hole]);
    return 1;
}

static void
describe(struct export *e, nstime now, struct export_description *d)
{
    memcpy(d->upstream, e->upstream, sizeof d->upstream);
    text_escape(d->name, sizeof d->name, e->name);
    d->size = e->size;
    d->upstream_flags = e->flags;
    d->advertised_flags = e->advertised_flags;
    d->policy = e->rules.policy;
    d->pin = export_pin(e);
    d->serial = e->serial;
    d->connections = e->connections;
    memcpy(d->demotions, e->demotions, sizeof d->demotions);
    for (unsigned i = 0; i < 2; i++)
        d->n_rows[i] = export_rows(e, i, now, d->rows[i]);
}

void
registry_describe(struct registry *r, nstime now,
                  void (*each)(void *ctx, const struct export_description *d), void *ctx)
{
    struct export_description d;
    pthread_mutex_lock(&r->mutex);
    for (struct export *e = r->exports; e; e = e->next) {
        pthread_mutex_lock(&e->mutex);
        describe(e, now, &d);
        pthread_mutex_unlock(&e->mutex);
        each(ctx, &d);
    }
    pthread_mutex_unlock(&r->mutex);
}
