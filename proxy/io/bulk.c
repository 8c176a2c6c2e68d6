// SPDX-License-Identifier: BSD-3-Clause
// Large buffers for streams that move bulk. Mapping and clearing one costs as much as sending it,
// so used ones are kept a moment; the one used last is taken first.
#include "memory.h"
#include "ring_inside.h"

#include <stdlib.h>
#include <sys/mman.h>

static struct buf *
bulk_new(struct ring *r)
{
    struct bulk *k = &r->bulk;
    struct buf *b = k->count < BULK_BUFS ? malloc(sizeof *b) : NULL;
    if (!b)
        return NULL;
    void *p = mmap(NULL, BULK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        free(b);
        return NULL;
    }
    *b = (struct buf){.data = p, .cap = BULK_SIZE, .refs = 1, .kind = BUF_BULK, .ring = r};
    k->count++;
    trim_soon(r);
    return b;
}

static void
bulk_free(struct bulk *k, struct buf *b)
{
    memory_is_ours(b->data, b->cap);
    munmap(b->data, b->cap);
    free(b);
    k->count--;
}

struct buf *
bulk_claim(struct ring *r)
{
    struct bulk *k = &r->bulk;
    struct buf *b = k->free;
    if (!b)
        return bulk_new(r);
    k->free = b->next;
    if (--k->idle < k->low)
        k->low = k->idle;
    b->refs = 1;
    memory_is_ours(b->data, b->cap);
    return b;
}

void
bulk_put(struct buf *b)
{
    struct bulk *k = &b->ring->bulk;
    memory_is_nobodys(b->data, b->cap);
    b->next = k->free;
    k->free = b;
    k->idle++;
}

bool
bulk_trim(struct ring *r, uint32_t *budget)
{
    struct bulk *k = &r->bulk;
    struct buf **p = &k->free;
    for (uint32_t keep = k->idle - k->low; keep > 0; keep--)
        p = &(*p)->next;
    while (k->low > 0) {
        if (!*budget)
            return false;
        --*budget;
        struct buf *b = *p;
        *p = b->next;
        k->idle--;
        k->low--;
        bulk_free(k, b);
    }
    return true;
}

bool
bulk_observe(struct ring *r)
{
    r->bulk.low = r->bulk.idle;
    return r->bulk.count > 0;
}

void
bulk_close(struct ring *r)
{
    struct bulk *k = &r->bulk;
    while (k->free) {
        struct buf *b = k->free;
        k->free = b->next;
        bulk_free(k, b);
    }
}
