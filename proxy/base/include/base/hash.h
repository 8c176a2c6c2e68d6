// SPDX-License-Identifier: BSD-3-Clause
// FNV-1a, 64 bits: for tables and identities in which a collision does no harm. Not for what an
// enemy may choose to collide.
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <base/bytes.h>

#define HASH_BEGIN UINT64_C(0xcbf29ce484222325)

static inline uint64_t
hash_byte(uint64_t h, uint8_t b)
{
    return (h ^ b) * UINT64_C(0x100000001b3);
}

static inline uint64_t
hash_bytes(uint64_t h, struct bytes b)
{
    for (size_t i = 0; i < b.len; i++)
        h = hash_byte(h, b.p[i]);
    return h;
}

#endif
