// SPDX-License-Identifier: BSD-3-Clause
// Ranges of an export, in bytes. All sums are safe: an export is at most INT64_MAX long and ranges
// are checked against it before they get here.
#ifndef BASE_RANGE_H
#define BASE_RANGE_H

#include <stdbool.h>
#include <stdint.h>

struct range {
    uint64_t offset;
    uint64_t length;
};

static inline uint64_t
range_end(struct range r)
{
    return r.offset + r.length;
}

static inline bool
range_overlaps(struct range a, struct range b)
{
    return a.length && b.length && a.offset < range_end(b) && b.offset < range_end(a);
}

static inline bool
range_contains(struct range outer, struct range inner)
{
    return inner.offset >= outer.offset && range_end(inner) <= range_end(outer);
}

static inline bool
is_power_of_two(uint64_t v)
{
    return v && !(v & (v - 1));
}

// Both take a power of two.
static inline uint64_t
align_down(uint64_t v, uint64_t to)
{
    return v & ~(to - 1);
}

static inline uint64_t
align_up(uint64_t v, uint64_t to)
{
    return (v + to - 1) & ~(to - 1);
}

#endif
