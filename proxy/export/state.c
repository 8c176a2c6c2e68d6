// SPDX-License-Identifier: BSD-3-Clause
// What of an export outlives the process: slow verdicts, models, pins. Files are the daemon's
// business; here it goes in and out.
#include "inside.h"

#include <base/text.h>
#include <stdlib.h>

void
state_changed(struct export *e)
{
    e->changed = atomic_fetch_add(&e->registry->state_changes, 1) + 1;
}

static void
restored_free(struct restored *s)
{
    free_bytes(s->state.address);
    free_bytes(s->state.name);
    free(s);
}

void
state_free(struct registry *r)
{
    while (r->restored) {
        struct restored *s = r->restored;
        r->restored = s->next;
        restored_free(s);
    }
}

bool
registry_restore(struct registry *r, const struct export_state *s, nstime ago, nstime now)
{
    struct restored *copy = calloc(1, sizeof *copy);
    if (!copy)
        return false;
    copy->state = *s;
    copy->state.address = copy->state.name = (struct bytes){0};
    if (!copy_bytes(&copy->state.address, s->address) || !copy_bytes(&copy->state.name, s->name)) {
        restored_free(copy);
        return false;
    }
    copy->ago = ago;
    copy->at = now;
    copy->next = r->restored;
    r->restored = copy;
    return true;
}

static nstime
age_of(const struct restored *s, nstime now)
{
    return s->ago + (now > s->at ? now - s->at : 0);
}

// Of another size, or with other flags, it is another storage: but the administrator meant the
// name.
static void
take(struct export *e, const struct restored *s, nstime now)
{
    atomic_store(&e->pin, s->state.pin);
    e->pinned_at = now;
    if (s->state.size != e->size || flags_differ(s->state.flags, e->flags))
        return;
    for (int i = 0; i < 2; i++)
        if (s->state.known[i])
            (void)zero_class_restore(&e->classes[i], &s->state.classes[i], age_of(s, now), now);
}

void
state_take(struct export *e, nstime now)
{
    for (struct restored **p = &e->registry->restored; *p; p = &(*p)->next) {
        struct restored *s = *p;
        if (!bytes_equal(s->state.address, e->address) || !bytes_equal(s->state.name, e->name))
            continue;
        take(e, s, now);
        *p = s->next;
        restored_free(s);
        return;
    }
}

static bool
save_one(struct export *e, nstime now, struct export_state *s)
{
    *s = (struct export_state){
        .address = e->address,
        .name = e->name,
        .size = e->size,
        .flags = e->flags,
        .pin = export_pin(e),
    };
    for (int i = 0; i < 2; i++)
        s->known[i] = zero_class_save(&e->classes[i], now, &s->classes[i]);
    return s->known[0] || s->known[1] || s->pin != ZERO_UNKNOWN;
}

uint64_t
registry_save(struct registry *r, uint64_t since, nstime now,
              void (*each)(void *ctx, const struct export_state *s, bool worth), void *ctx)
{
    pthread_mutex_lock(&r->mutex);
    uint64_t changes = atomic_load(&r->state_changes); // one that comes now is seen next time, too
    for (struct export *e = r->exports; e; e = e->next) {
        struct export_state s;
        pthread_mutex_lock(&e->mutex);
        if (e->changed > since) {
            bool worth = save_one(e, now, &s);
            each(ctx, &s, worth);
        }
        pthread_mutex_unlock(&e->mutex);
    }
    pthread_mutex_unlock(&r->mutex);
    return changes;
}

// Orders of the administrator -------------------------------------------------------------

enum zero_verdict
export_pin(const struct export *e)
{
    return atomic_load_explicit(&e->pin, memory_order_relaxed);
}

static bool
is_meant(const struct export *e, const char *upstream, const char *name)
{
    char shown[sizeof((struct export_description *)0)->name];
    return (!upstream || strcmp(e->upstream, upstream) == 0) &&
           strcmp(text_escape(shown, sizeof shown, e->name), name) == 0;
}

static void
obey(struct export *e, enum export_order order, nstime now)
{
    static const enum zero_verdict pins[] = {[EXPORT_PIN_FAST] = ZERO_FAST,
                                             [EXPORT_PIN_SLOW] = ZERO_SLOW,
                                             [EXPORT_UNPIN] = ZERO_UNKNOWN};
    pthread_mutex_lock(&e->mutex);
    if (order == EXPORT_FORGET) {
        export_forget(e);
        e->no_space = false;
    } else {
        atomic_store(&e->pin, pins[order]);
        e->pinned_at = now;
    }
    state_changed(e);
    pthread_mutex_unlock(&e->mutex);
}

unsigned
registry_order(struct registry *r, const char *upstream, const char *name, enum export_order order,
               nstime now)
{
    unsigned found = 0;
    struct export *meant = NULL;
    pthread_mutex_lock(&r->mutex);
    for (struct export *e = r->exports; e; e = e->next)
        if (is_meant(e, upstream, name)) {
            meant = e;
            found++;
        }
    if (found == 1)
        obey(meant, order, now);
    pthread_mutex_unlock(&r->mutex);
    return found;
}
