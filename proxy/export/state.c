// SPDX-License-Identifier: BSD-3-Clause
// What of an export outlives the process: slow verdicts, models, pins. Files are the daemon's
// business; here it goes in and out.
#include "inside.h"

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

// A copy, at the head of the list; NULL: out of memory.
static struct restored *
keep(struct registry *r, const struct export_state *s, nstime ago, nstime now)
{
    struct restored *copy = calloc(1, sizeof *copy);
    if (!copy)
        return NULL;
    copy->state = *s;
    copy->state.address = copy->state.name = (struct bytes){0};
    if (!copy_bytes(&copy->state.address, s->address) || !copy_bytes(&copy->state.name, s->name)) {
        restored_free(copy);
        return NULL;
    }
    copy->ago = ago;
    copy->at = copy->pinned_at = now;
    copy->next = r->restored;
    return r->restored = copy;
}

bool
registry_restore(struct registry *r, const struct export_state *s, nstime ago, nstime now)
{
    return keep(r, s, ago, now);
}

static nstime
age_of(const struct restored *s, nstime now)
{
    return s->ago + (now > s->at ? now - s->at : 0);
}

// Of another size, or with other flags, it is another storage: but the administrator meant the
// name. False: something had to be dropped.
static bool
take(struct export *e, const struct restored *s, nstime now)
{
    bool same = s->state.size == e->size && !flags_differ(s->state.flags, e->flags), all = true;
    atomic_store(&e->pin, s->state.pin);
    e->pinned_at = s->pinned_at;
    e->changed = s->changed;
    for (int i = 0; i < 2; i++)
        if (s->state.known[i])
            all &= same &&
                   zero_class_restore(&e->classes[i], &s->state.classes[i], age_of(s, now), now);
    return all;
}

unsigned
registry_dropped(const struct registry *r)
{
    return atomic_load(&r->state_dropped);
}

void
state_take(struct export *e, nstime now)
{
    for (struct restored **p = &e->registry->restored; *p; p = &(*p)->next) {
        struct restored *s = *p;
        if (!bytes_equal(s->state.address, e->address) || !bytes_equal(s->state.name, e->name))
            continue;
        if (!take(e, s, now))
            atomic_fetch_add(&e->registry->state_dropped, 1);
        *p = s->next;
        restored_free(s);
        return;
    }
}

static bool
is_worth_saving(const struct export_state *s)
{
    return s->known[0] || s->known[1] || s->pin != ZERO_UNKNOWN;
}

static struct export_state
state_of(struct export *e, nstime now)
{
    struct export_state s = {
        .address = e->address,
        .name = e->name,
        .size = e->size,
        .flags = e->flags,
        .pin = export_pin(e),
    };
    for (int i = 0; i < 2; i++)
        s.known[i] = zero_class_save(&e->classes[i], now, &s.classes[i]);
    return s;
}

uint64_t
registry_save(struct registry *r, uint64_t since, nstime now,
              void (*each)(void *ctx, const struct export_state *s, bool worth), void *ctx)
{
    struct export_state s;
    pthread_mutex_lock(&r->mutex);
    r->saved = since;
    uint64_t changes = atomic_load(&r->state_changes); // one that comes now is seen next time, too
    for (struct export *e = r->exports; e; e = e->next) {
        pthread_mutex_lock(&e->mutex);
        if (e->changed > since) {
            s = state_of(e, now);
            each(ctx, &s, is_worth_saving(&s));
        }
        pthread_mutex_unlock(&e->mutex);
    }
    for (struct restored *one = r->restored; one; one = one->next) {
        if (one->changed <= since)
            continue;
        s = one->state;
        s.age = age_of(one, now);
        each(ctx, &s, is_worth_saving(&s));
    }
    pthread_mutex_unlock(&r->mutex);
    return changes;
}

// Orders of the administrator -------------------------------------------------------------

static const enum zero_verdict pins[] = {
    [EXPORT_PIN_FAST] = ZERO_FAST, [EXPORT_PIN_SLOW] = ZERO_SLOW, [EXPORT_UNPIN] = ZERO_UNKNOWN};

enum zero_verdict
export_pin(const struct export *e)
{
    return atomic_load_explicit(&e->pin, memory_order_relaxed);
}

static void
obey(struct export *e, enum export_order order, nstime now)
{
    pthread_mutex_lock(&e->mutex);
    if (order == EXPORT_FORGET) {
        export_forget(e);
        zero_native_begin(&e->native[0]);
        zero_native_begin(&e->native[1]);
        e->no_space = false;
    } else {
        atomic_store(&e->pin, pins[order]);
        e->pinned_at = now;
    }
    state_changed(e);
    e->unpinned = e->changed;
    pthread_mutex_unlock(&e->mutex);
}

// One that is not open.
static bool
obey_later(struct registry *r, struct bytes address, struct bytes name, enum export_order order,
           nstime now)
{
    struct restored *s = r->restored;
    while (s && !(bytes_equal(s->state.address, address) && bytes_equal(s->state.name, name)))
        s = s->next;
    if (!s)
        s = keep(r, &(struct export_state){.address = address, .name = name}, 0, now);
    if (!s)
        return false;
    if (order == EXPORT_FORGET) {
        s->state.known[0] = s->state.known[1] = false;
    } else {
        s->state.pin = pins[order];
        s->pinned_at = now;
    }
    s->changed = atomic_fetch_add(&r->state_changes, 1) + 1;
    return true;
}

bool
registry_order(struct registry *r, struct bytes address, struct bytes name, enum export_order order,
               nstime now)
{
    bool good = true;
    pthread_mutex_lock(&r->mutex);
    struct export *e = r->exports;
    while (e && !(bytes_equal(e->address, address) && bytes_equal(e->name, name)))
        e = e->next;
    if (e)
        obey(e, order, now);
    else
        good = obey_later(r, address, name, order, now);
    pthread_mutex_unlock(&r->mutex);
    return good;
}

void
registry_known(struct registry *r, void (*each)(void *ctx, const struct export_known *k), void *ctx)
{
    pthread_mutex_lock(&r->mutex);
    for (struct export *e = r->exports; e; e = e->next) {
        pthread_mutex_lock(&e->mutex);
        struct export_known k = {e->upstream, e->address, e->name, export_pin(e), e->pinned_at};
        pthread_mutex_unlock(&e->mutex);
        each(ctx, &k);
    }
    for (struct restored *s = r->restored; s; s = s->next)
        each(ctx, &(struct export_known){NULL, s->state.address, s->state.name, s->state.pin,
                                         s->pinned_at});
    pthread_mutex_unlock(&r->mutex);
}
