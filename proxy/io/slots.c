// SPDX-License-Identifier: BSD-3-Clause
// Who is meant by an id: slots with generations.
#include "ring_inside.h"

#include <stdlib.h>

#define GENERATION_MAX 0xffffffu

static uint64_t
id_of(const struct slots *t, uint32_t index)
{
    return (uint64_t)t->v[index].generation << 32 | index;
}

static bool
grow(struct slots *t)
{
    uint32_t cap = t->cap ? 2 * t->cap : 64;
    struct slot *v = realloc(t->v, cap * sizeof *v);
    if (!v)
        return false;
    t->v = v;
    t->cap = cap;
    return true;
}

uint64_t
slot_claim(struct slots *t, enum slot_kind kind, void *object)
{
    uint32_t index;
    if (t->free) {
        index = t->free - 1;
        t->free = t->v[index].next_free;
    } else {
        if (t->count == t->cap && !grow(t))
            return 0;
        index = t->count++;
        t->v[index] = (struct slot){.generation = 1};
    }
    t->v[index].object = object;
    t->v[index].kind = kind;
    return id_of(t, index);
}

void
slot_release(struct slots *t, uint64_t id)
{
    uint32_t index = (uint32_t)id;
    struct slot *s = &t->v[index];
    s->object = NULL;
    s->kind = SLOT_FREE;
    s->generation = s->generation == GENERATION_MAX ? 1 : s->generation + 1;
    s->next_free = t->free;
    t->free = index + 1;
}

void
slot_move(struct slots *t, uint64_t id, void *object)
{
    t->v[(uint32_t)id].object = object;
}

void *
slot_find(const struct slots *t, uint64_t id, enum slot_kind kind)
{
    uint32_t index = (uint32_t)id;
    if (index >= t->count || t->v[index].kind != kind || id_of(t, index) != id)
        return NULL;
    return t->v[index].object;
}

void
slots_free(struct slots *t)
{
    free(t->v);
    *t = (struct slots){0};
}
