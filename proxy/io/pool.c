// SPDX-License-Identifier: BSD-3-Clause
// The pool that idle streams share: the kernel picks a buffer when bytes arrive (io_uring's ring of
// provided buffers), so a thousand idle connections hold none.
#include "memory.h"
#include "ring_inside.h"

#include <string.h>
#include <sys/mman.h>

// Offered at first; more when receives find none.
#define OFFERS_LEAST 16u

static void
push(struct pool *p, uint32_t id)
{
    p->stack[p->free++] = (uint16_t)id;
}

static bool
grow(struct ring *r)
{
    struct pool *p = &r->pool;
    if (p->count == POOL_BUFS)
        return false;
    uint8_t *at = p->memory + (size_t)p->count * POOL_SIZE;
    if (mprotect(at, (size_t)POOL_STEP * POOL_SIZE, PROT_READ | PROT_WRITE) < 0)
        return false;
    memory_is_nobodys(at, (size_t)POOL_STEP * POOL_SIZE);
    for (uint32_t i = POOL_STEP; i-- > 0;) {
        uint32_t id = p->count + i;
        p->bufs[id] = (struct buf){.data = at + (size_t)i * POOL_SIZE,
                                   .cap = POOL_SIZE,
                                   .kind = BUF_POOL,
                                   .id = id,
                                   .ring = r};
        push(p, id);
    }
    p->count += POOL_STEP;
    return true;
}

bool
pool_open(struct ring *r)
{
    struct pool *p = &r->pool;
    p->offers_most = OFFERS_LEAST;
    // Address space only; pages become usable, and are accounted, as the pool grows.
    void *memory = mmap(NULL, (size_t)POOL_BUFS * POOL_SIZE, PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return false;
    p->memory = memory;
    void *offers = mmap(NULL, POOL_OFFERED * sizeof(struct io_uring_buf), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (offers == MAP_FAILED)
        return false;
    p->offers = offers;
    io_uring_buf_ring_init(p->offers);
    struct io_uring_buf_reg reg = {
        .ring_addr = (uintptr_t)offers, .ring_entries = POOL_OFFERED, .bgid = POOL_GROUP};
    return io_uring_register_buf_ring(&r->uring, &reg, 0) == 0 && grow(r);
}

// After the kernel's ring has gone.
void
pool_close(struct ring *r)
{
    struct pool *p = &r->pool;
    if (p->memory) {
        memory_is_ours(p->memory, (size_t)POOL_BUFS * POOL_SIZE);
        munmap(p->memory, (size_t)POOL_BUFS * POOL_SIZE);
    }
    if (p->offers)
        munmap(p->offers, POOL_OFFERED * sizeof(struct io_uring_buf));
}

// As many as there are receives that may pick one, within a bound: a few offered again and again
// stay in the cache, many in turn would not.
void
pool_offer(struct ring *r)
{
    struct pool *p = &r->pool;
    uint32_t goal = p->selecting < p->offers_most ? p->selecting : p->offers_most;
    int n = 0;
    for (; p->offers_out < goal; p->offers_out++) {
        if (!p->free && !grow(r))
            break;
        uint32_t id = p->stack[--p->free];
        p->offered[id] = true;
        io_uring_buf_ring_add(p->offers, p->bufs[id].data + HEADROOM, POOL_SIZE - HEADROOM,
                              (unsigned short)id, io_uring_buf_ring_mask(POOL_OFFERED), n++);
    }
    if (n)
        io_uring_buf_ring_advance(p->offers, n);
    if (p->free < p->low)
        p->low = p->free;
}

struct buf *
pool_picked(struct ring *r, uint32_t id)
{
    struct pool *p = &r->pool;
    struct buf *b = &p->bufs[id];
    p->offers_out--;
    p->offered[id] = false;
    p->touched[id] = true;
    p->picks++;
    b->refs = 1;
    memory_is_ours(b->data, b->cap);
    trim_soon(r);
    return b;
}

struct buf *
pool_take(struct ring *r)
{
    struct pool *p = &r->pool;
    if (!p->free && !grow(r))
        return NULL;
    uint32_t id = p->stack[--p->free];
    struct buf *b = &p->bufs[id];
    if (p->free < p->low)
        p->low = p->free;
    p->touched[id] = true;
    p->picks++;
    b->refs = 1;
    memory_is_ours(b->data, b->cap);
    trim_soon(r);
    return b;
}

void
pool_missed(struct ring *r)
{
    struct pool *p = &r->pool;
    p->misses++;
    if (p->offers_out == 0 && p->offers_most < POOL_OFFERED)
        p->offers_most *= 2;
}

void
pool_put(struct buf *b)
{
    memory_is_nobodys(b->data, b->cap);
    push(&b->ring->pool, b->id);
}

bool
pool_has(const struct pool *p)
{
    return p->offers_out || p->free || p->count < POOL_BUFS;
}

bool
pool_scarce(const struct pool *p)
{
    return p->free + p->offers_out + (POOL_BUFS - p->count) < POOL_BUFS / 4;
}

static void
give_back(struct pool *p, uint32_t id)
{
    madvise(p->bufs[id].data, POOL_SIZE, MADV_DONTNEED);
    p->touched[id] = false;
}

// Nothing can arrive in an offered one meanwhile: with DEFER_TASKRUN the kernel receives only while
// this thread is inside io_uring_enter().
bool
pool_trim(struct ring *r, uint32_t *budget)
{
    struct pool *p = &r->pool;
    for (uint32_t i = 0; i < p->low; i++) {
        if (!p->touched[p->stack[i]])
            continue;
        if (!*budget)
            return false;
        --*budget;
        give_back(p, p->stack[i]);
    }
    for (uint32_t id = 0; !p->picks && id < p->count; id++) {
        if (!p->offered[id] || !p->touched[id])
            continue;
        if (!*budget)
            return false;
        --*budget;
        give_back(p, id);
    }
    return true;
}

// Begins a new span of observation. True if something may still have to be given back after it.
bool
pool_observe(struct ring *r)
{
    struct pool *p = &r->pool;
    if (!p->misses)
        p->offers_most = OFFERS_LEAST;
    bool busy = p->picks > 0;
    p->misses = p->picks = 0;
    p->low = p->free;
    if (busy)
        return true;
    for (uint32_t id = 0; id < p->count; id++)
        if (p->touched[id])
            return true;
    return false;
}

size_t
pool_bytes(const struct pool *p)
{
    size_t n = 0;
    for (uint32_t id = 0; id < p->count; id++)
        n += p->touched[id] ? POOL_SIZE : 0;
    return n;
}
