// SPDX-License-Identifier: BSD-3-Clause
#include "disk.h"

#include "world.h"
#include <base/bytes.h>
#include <stdlib.h>
#include <string.h>

void
disk_begin(struct disk *d, uint64_t size)
{
    d->size = size;
    d->n = (size_t)(size / DISK_BLOCK);
    d->now = calloc(d->n, sizeof(struct disk_block *));
    d->safe = calloc(d->n, sizeof(struct disk_block *));
    d->dirty = calloc(d->n, 1);
    d->allocated = calloc(d->n, 1);
    expect(d->now && d->safe && d->dirty && d->allocated, "out of memory");
}

static void
let_go(struct disk_block *b)
{
    if (b && --b->refs == 0)
        free(b);
}

void
disk_end(struct disk *d)
{
    for (size_t i = 0; i < d->n; i++) {
        let_go(d->now[i]);
        let_go(d->safe[i]);
    }
    free(d->now);
    free(d->safe);
    free(d->dirty);
    free(d->allocated);
}

// The next part of a range, which lies in one block.
static size_t
part(uint64_t offset, size_t n)
{
    size_t left = DISK_BLOCK - (size_t)(offset % DISK_BLOCK);
    return n < left ? n : left;
}

static void
read_from(struct disk_block *const *blocks, uint64_t offset, uint8_t *p, size_t n)
{
    for (size_t some; n; offset += some, p += some, n -= some) {
        some = part(offset, n);
        const struct disk_block *b = blocks[offset / DISK_BLOCK];
        if (b)
            memcpy(p, b->data + offset % DISK_BLOCK, some);
        else
            memset(p, 0, some);
    }
}

void
disk_read(const struct disk *d, uint64_t offset, uint8_t *p, size_t n)
{
    read_from(d->now, offset, p, n);
}

void
disk_read_safe(const struct disk *d, uint64_t offset, uint8_t *p, size_t n)
{
    read_from(d->safe, offset, p, n);
}

// A block of one's own to write to; what it held is kept unless all of it will be overwritten.
static struct disk_block *
own(struct disk_block **at, bool whole)
{
    if (*at && (*at)->refs == 1)
        return *at;
    struct disk_block *b = malloc(sizeof *b);
    expect(b, "out of memory");
    b->refs = 1;
    if (!whole && *at)
        memcpy(b->data, (*at)->data, DISK_BLOCK);
    else if (!whole)
        memset(b->data, 0, DISK_BLOCK);
    let_go(*at);
    return *at = b;
}

void
disk_write(struct disk *d, uint64_t offset, const uint8_t *p, size_t n)
{
    for (size_t some; n; offset += some, p += some, n -= some) {
        some = part(offset, n);
        size_t i = (size_t)(offset / DISK_BLOCK);
        memcpy(own(&d->now[i], some == DISK_BLOCK)->data + offset % DISK_BLOCK, p, some);
        d->dirty[i] = d->allocated[i] = 1;
    }
}

void
disk_zero(struct disk *d, uint64_t offset, size_t n, bool hole)
{
    for (size_t some; n; offset += some, n -= some) {
        some = part(offset, n);
        size_t i = (size_t)(offset / DISK_BLOCK);
        if (some == DISK_BLOCK) {
            let_go(d->now[i]);
            d->now[i] = NULL;
            d->allocated[i] = !hole;
        } else if (d->now[i]) {
            memset(own(&d->now[i], false)->data + offset % DISK_BLOCK, 0, some);
        }
        d->dirty[i] = 1;
    }
}

void
disk_flush(struct disk *d)
{
    for (size_t i = 0; i < d->n; i++) {
        if (!d->dirty[i])
            continue;
        let_go(d->safe[i]);
        d->safe[i] = d->now[i];
        if (d->safe[i])
            d->safe[i]->refs++;
        d->dirty[i] = 0;
    }
}

void
disk_flush_fails(struct disk *d)
{
    memset(d->dirty, 0, d->n);
}

void
disk_make_safe(struct disk *d, uint64_t offset, size_t n)
{
    uint8_t bytes[DISK_BLOCK];
    for (size_t some; n; offset += some, n -= some) {
        some = part(offset, n);
        struct disk_block **at = &d->safe[offset / DISK_BLOCK];
        disk_read(d, offset, bytes, some);
        memcpy(own(at, some == DISK_BLOCK)->data + offset % DISK_BLOCK, bytes, some);
    }
}

uint32_t
disk_extent(const struct disk *d, uint64_t offset, uint32_t n, bool *zero, bool *hole)
{
    size_t first = (size_t)(offset / DISK_BLOCK), i = first;
    *zero = !d->now[first];
    *hole = *zero && !d->allocated[first];
    uint64_t end = offset + n;
    while (i * DISK_BLOCK < end && !d->now[i] == *zero && (!d->now[i] && !d->allocated[i]) == *hole)
        i++;
    uint64_t to = i * DISK_BLOCK < end ? i * DISK_BLOCK : end;
    return (uint32_t)(to - offset);
}

bool
disk_all_zero(const struct disk *d, uint64_t offset, size_t n)
{
    uint8_t bytes[DISK_BLOCK];
    for (size_t some; n; offset += some, n -= some) {
        some = part(offset, n);
        disk_read(d, offset, bytes, some);
        if (!bytes_all_zero(bytes, some))
            return false;
    }
    return true;
}
