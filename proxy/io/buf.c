// SPDX-License-Identifier: BSD-3-Clause
// Buffers by reference, whatever their origin: the pool, the large ones, the heap.
#include "memory.h"
#include "ring_inside.h"

#include <stdlib.h>
#include <sys/mman.h>

// From here on a buffer is mapped by itself, so that freeing it gives it back to the system.
#define MAPPED_FROM (64u << 10)

static struct buf *
map_new(size_t size)
{
    struct buf *b = malloc(sizeof *b);
    if (!b)
        return NULL;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        free(b);
        return NULL;
    }
    *b = (struct buf){.data = p, .kind = BUF_MAPPED};
    return b;
}

static struct buf *
heap_new(size_t size)
{
    struct buf *b = malloc(sizeof *b + size);
    if (b)
        *b = (struct buf){.data = (uint8_t *)(b + 1), .kind = BUF_HEAP};
    return b;
}

struct buf *
buf_new(struct ring *r, size_t size)
{
    if (size > UINT32_MAX)
        return NULL;
    struct buf *b = size < MAPPED_FROM ? heap_new(size) : map_new(size);
    if (!b)
        return NULL;
    b->cap = (uint32_t)size;
    b->refs = 1;
    b->ring = r;
    r->heap_bytes += size;
    return b;
}

void
buf_ref(struct buf *b)
{
    b->refs++;
}

void
buf_unref(struct buf *b)
{
    if (--b->refs > 0)
        return;
    switch ((enum buf_kind)b->kind) {
    case BUF_POOL: pool_put(b); return;
    case BUF_BULK: bulk_put(b); return;
    case BUF_MAPPED: munmap(b->data, b->cap); break;
    case BUF_HEAP: break;
    }
    b->ring->heap_bytes -= b->cap;
    free(b);
}

size_t
ring_memory(const struct ring *r)
{
    return pool_bytes(&r->pool) + (size_t)r->bulk.count * BULK_SIZE + r->heap_bytes;
}
