// SPDX-License-Identifier: BSD-3-Clause
#include <relay/slots.h>

#include <stdlib.h>

// A chunk is 256 slots, about 40 KiB; a thousand of them serve 2000 clients with 128 in flight
// each.
#define CHUNK_SLOTS 256u

struct slot_table {
    struct slot **chunks;
    uint32_t n_chunks, cap_chunks;
    struct slot *free;
};

struct slot_table *
slot_table_new(void)
{
    return calloc(1, sizeof(struct slot_table));
}

void
slot_table_free(struct slot_table *t)
{
    for (uint32_t i = 0; i < t->n_chunks; i++)
        free(t->chunks[i]);
    free(t->chunks);
    free(t);
}

static bool
grow_index(struct slot_table *t)
{
    if (t->n_chunks < t->cap_chunks)
        return true;
    uint32_t cap = t->cap_chunks ? 2 * t->cap_chunks : 8;
    struct slot **chunks = realloc(t->chunks, cap * sizeof *chunks);
    if (!chunks)
        return false;
    t->chunks = chunks;
    t->cap_chunks = cap;
    return true;
}

static bool
grow(struct slot_table *t)
{
    if (!grow_index(t))
        return false;
    struct slot *c = calloc(CHUNK_SLOTS, sizeof *c);
    if (!c)
        return false;
    for (uint32_t i = CHUNK_SLOTS; i-- > 0;) {
        c[i].index = t->n_chunks * CHUNK_SLOTS + i;
        c[i].generation = 1;
        c[i].next = t->free;
        t->free = &c[i];
    }
    t->chunks[t->n_chunks++] = c;
    return true;
}

struct slot *
slot_table_claim(struct slot_table *t, void *owner)
{
    if (!t->free && !grow(t))
        return NULL;
    struct slot *s = t->free;
    t->free = s->next;
    s->owner = owner;
    s->task = NULL;
    s->native_fast = s->fua = false;
    s->error = 0;
    s->next = s->prev = NULL;
    return s;
}

void
slot_table_release(struct slot_table *t, struct slot *s)
{
    s->owner = NULL;
    s->generation++;
    s->next = t->free;
    t->free = s;
}

struct slot *
slot_table_find(struct slot_table *t, uint64_t cookie, const void *owner)
{
    uint32_t index = (uint32_t)cookie;
    if (index / CHUNK_SLOTS >= t->n_chunks)
        return NULL;
    struct slot *s = &t->chunks[index / CHUNK_SLOTS][index % CHUNK_SLOTS];
    return s->owner == owner && s->generation == cookie >> 32 ? s : NULL;
}
