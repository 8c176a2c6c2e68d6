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
    sparse_begin(&d->cells, size / DISK_BLOCK, sizeof(struct disk_cell));
}

static void
let_go(struct disk_block *b)
{
    if (b && --b->refs == 0)
        free(b);
}

// The stored cell at or behind block `*i`, below block `end`; or NULL.
static struct disk_cell *
next_cell(const struct disk *d, uint64_t *i, uint64_t end)
{
    *i = sparse_next(&d->cells, *i, end);
    return *i < end ? sparse_peek(&d->cells, *i) : NULL;
}

void
disk_end(struct disk *d)
{
    struct disk_cell *c;
    for (uint64_t i = 0; (c = next_cell(d, &i, d->cells.items)); i++) {
        let_go(c->now);
        let_go(c->safe);
    }
    sparse_end(&d->cells);
}

// The next part of a range, which lies in one block.
static size_t
part(uint64_t offset, uint64_t n)
{
    size_t left = DISK_BLOCK - (size_t)(offset % DISK_BLOCK);
    return n < left ? (size_t)n : left;
}

static void
read_from(const struct disk *d, bool safe, uint64_t offset, uint8_t *p, size_t n)
{
    for (size_t some; n; offset += some, p += some, n -= some) {
        some = part(offset, n);
        const struct disk_cell *c = sparse_peek(&d->cells, offset / DISK_BLOCK);
        const struct disk_block *b = !c ? NULL : safe ? c->safe : c->now;
        if (b)
            memcpy(p, b->data + offset % DISK_BLOCK, some);
        else
            memset(p, 0, some);
    }
}

void
disk_read(const struct disk *d, uint64_t offset, uint8_t *p, size_t n)
{
    read_from(d, false, offset, p, n);
}

void
disk_read_safe(const struct disk *d, uint64_t offset, uint8_t *p, size_t n)
{
    read_from(d, true, offset, p, n);
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
        struct disk_cell *c = sparse_at(&d->cells, offset / DISK_BLOCK);
        memcpy(own(&c->now, some == DISK_BLOCK)->data + offset % DISK_BLOCK, p, some);
        c->dirty = c->allocated = true;
    }
}

// What was never touched stays as it is, a hole.
void
disk_zero(struct disk *d, uint64_t offset, uint64_t n, bool hole)
{
    uint64_t end = offset + n, last = (end + DISK_BLOCK - 1) / DISK_BLOCK;
    struct disk_cell *c;
    for (uint64_t i = offset / DISK_BLOCK; (c = next_cell(d, &i, last)); i++) {
        uint64_t from = i * DISK_BLOCK > offset ? i * DISK_BLOCK : offset;
        size_t some = part(from, end - from);
        if (some == DISK_BLOCK) {
            let_go(c->now);
            c->now = NULL;
            c->allocated = !hole;
        } else if (c->now) {
            memset(own(&c->now, false)->data + from % DISK_BLOCK, 0, some);
        }
        c->dirty = true;
    }
}

void
disk_flush(struct disk *d)
{
    struct disk_cell *c;
    for (uint64_t i = 0; (c = next_cell(d, &i, d->cells.items)); i++) {
        if (!c->dirty)
            continue;
        let_go(c->safe);
        c->safe = c->now;
        if (c->safe)
            c->safe->refs++;
        c->dirty = false;
    }
}

void
disk_flush_fails(struct disk *d)
{
    struct disk_cell *c;
    for (uint64_t i = 0; (c = next_cell(d, &i, d->cells.items)); i++)
        c->dirty = false;
}

void
disk_make_safe(struct disk *d, uint64_t offset, uint64_t n)
{
    uint8_t bytes[DISK_BLOCK];
    uint64_t end = offset + n, last = (end + DISK_BLOCK - 1) / DISK_BLOCK;
    struct disk_cell *c;
    for (uint64_t i = offset / DISK_BLOCK; (c = next_cell(d, &i, last)); i++) {
        uint64_t from = i * DISK_BLOCK > offset ? i * DISK_BLOCK : offset;
        size_t some = part(from, end - from);
        disk_read(d, from, bytes, some);
        memcpy(own(&c->safe, some == DISK_BLOCK)->data + from % DISK_BLOCK, bytes, some);
    }
}

static void
state_of(const struct disk_cell *c, bool *zero, bool *hole)
{
    *zero = !c || !c->now;
    *hole = *zero && (!c || !c->allocated);
}

uint64_t
disk_extent(const struct disk *d, uint64_t offset, uint64_t n, bool *zero, bool *hole)
{
    uint64_t i = offset / DISK_BLOCK, end = offset + n, last = (end + DISK_BLOCK - 1) / DISK_BLOCK;
    state_of(sparse_peek(&d->cells, i), zero, hole);
    for (i++; i * DISK_BLOCK < end; i++) {
        bool z, h;
        if (*hole)
            i = sparse_next(&d->cells, i, last);
        if (i == last)
            break;
        state_of(sparse_peek(&d->cells, i), &z, &h);
        if (z != *zero || h != *hole)
            break;
    }
    uint64_t to = i * DISK_BLOCK < end ? i * DISK_BLOCK : end;
    return to - offset;
}

uint64_t
disk_next_stored(const struct disk *d, uint64_t offset)
{
    uint64_t i = offset / DISK_BLOCK;
    const struct disk_cell *c;
    while ((c = next_cell(d, &i, d->cells.items)) && !c->now && !c->safe)
        i++;
    return i * DISK_BLOCK > offset ? i * DISK_BLOCK : offset;
}
