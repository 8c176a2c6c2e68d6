// SPDX-License-Identifier: BSD-3-Clause
// An array of a thousand million items of which few are ever touched: an item that is not stored is
// as fresh as all others.
#ifndef SIM_SPARSE_H
#define SIM_SPARSE_H

#include <stddef.h>
#include <stdint.h>

struct sparse {
    uint64_t items;
    size_t size; // of an item
    size_t per;  // items of a chunk
    uint64_t n_chunks;
    uint8_t **chunks;
};

void sparse_begin(struct sparse *s, uint64_t items, size_t size);
void sparse_end(struct sparse *s);
// The item, to be changed; all zero bytes when it is fresh.
void *sparse_at(struct sparse *s, uint64_t i);
// The item, or NULL: it is fresh.
void *sparse_peek(const struct sparse *s, uint64_t i);
// The first item from `i` on, below `end`, that is stored; `end` if there is none.
uint64_t sparse_next(const struct sparse *s, uint64_t i, uint64_t end);

#endif
