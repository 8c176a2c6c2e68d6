// SPDX-License-Identifier: BSD-3-Clause
// The model disk: what a READ sees now, and what would be left after a power cut. Blocks are shared
// between the two until one changes; a block that is nowhere stored reads as zero, and costs
// nothing.
#ifndef SIM_DISK_H
#define SIM_DISK_H

#include "sparse.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DISK_BLOCK 4096u

struct disk_block {
    unsigned refs;
    uint8_t data[DISK_BLOCK];
};

struct disk_cell {
    struct disk_block *now, *safe; // NULL: zeroes
    bool dirty;                    // `now` is to be made safe by the next flush
    bool allocated;                // zeroes that are stored, for block status
};

struct disk {
    uint64_t size;
    struct sparse cells; // of struct disk_cell, one a block
};

void disk_begin(struct disk *d, uint64_t size); // a multiple of DISK_BLOCK
void disk_end(struct disk *d);

void disk_read(const struct disk *d, uint64_t offset, uint8_t *p, size_t n);
void disk_read_safe(const struct disk *d, uint64_t offset, uint8_t *p, size_t n);
void disk_write(struct disk *d, uint64_t offset, const uint8_t *p, size_t n);
void disk_zero(struct disk *d, uint64_t offset, uint64_t n, bool hole);

void disk_flush(struct disk *d);
// What was dirty stays unsafe for ever, as with a kernel whose write-back failed.
void disk_flush_fails(struct disk *d);
void disk_make_safe(struct disk *d, uint64_t offset, uint64_t n); // FUA

// How far from `offset` on (at most n) everything is stored, or nothing is.
uint64_t disk_extent(const struct disk *d, uint64_t offset, uint64_t n, bool *zero, bool *hole);
// The first byte from `offset` on, by blocks, that is or was more than a zero that costs nothing;
// the disk's size if there is none.
uint64_t disk_next_stored(const struct disk *d, uint64_t offset);

#endif
