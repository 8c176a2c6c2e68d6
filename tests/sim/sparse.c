// SPDX-License-Identifier: BSD-3-Clause
#include "sparse.h"

#include "world.h"
#include <stdlib.h>

void
sparse_begin(struct sparse *s, uint64_t items, size_t size)
{
    *s = (struct sparse){.items = items, .size = size};
    s->per = items > UINT64_C(1) << 20 ? 1024 : 256;
    s->n_chunks = (items + s->per - 1) / s->per;
    s->chunks = calloc((size_t)s->n_chunks, sizeof *s->chunks);
    expect(s->chunks, "out of memory");
}

void
sparse_end(struct sparse *s)
{
    for (uint64_t i = 0; i < s->n_chunks; i++)
        free(s->chunks[i]);
    free(s->chunks);
}

void *
sparse_peek(const struct sparse *s, uint64_t i)
{
    uint8_t *chunk = s->chunks[i / s->per];
    return chunk ? chunk + i % s->per * s->size : NULL;
}

void *
sparse_at(struct sparse *s, uint64_t i)
{
    uint8_t **chunk = &s->chunks[i / s->per];
    if (!*chunk)
        *chunk = calloc(s->per, s->size);
    expect(*chunk, "out of memory");
    return *chunk + i % s->per * s->size;
}

uint64_t
sparse_next(const struct sparse *s, uint64_t i, uint64_t end)
{
    while (i < end && !s->chunks[i / s->per])
        i = (i / s->per + 1) * s->per;
    return i < end ? i : end;
}
