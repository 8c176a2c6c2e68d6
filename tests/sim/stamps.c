// SPDX-License-Identifier: BSD-3-Clause
#include "stamps.h"

#include <string.h>

static uint64_t
word(uint32_t stamp, uint64_t offset)
{
    return stamp ? (uint64_t)stamp * UINT64_C(0x9e3779b97f4a7c15) ^ offset : 0;
}

void
stamp_fill(uint32_t stamp, uint64_t offset, uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i += 8) {
        uint64_t w = word(stamp, offset + i);
        memcpy(p + i, &w, 8);
    }
}

bool
stamp_holds(const uint8_t *p, uint64_t offset, uint32_t stamp)
{
    for (size_t i = 0; i < SECTOR; i += 8) {
        uint64_t w = word(stamp, offset + i);
        if (memcmp(p + i, &w, 8) != 0)
            return false;
    }
    return true;
}

bool
stamps_among(const struct stamps *s, const uint8_t *p, uint64_t offset)
{
    for (unsigned i = 0; i < s->n && s->n < ANYTHING; i++)
        if (stamp_holds(p, offset, s->v[i]))
            return true;
    return s->n == ANYTHING;
}

void
stamps_add(struct stamps *s, uint32_t stamp)
{
    if (s->n == ANYTHING)
        return;
    for (unsigned i = 0; i < s->n; i++)
        if (s->v[i] == stamp)
            return;
    if (s->n == STAMPS)
        s->n = ANYTHING;
    else
        s->v[s->n++] = stamp;
}

void
stamps_add_all(struct stamps *s, const struct stamps *more)
{
    if (more->n == ANYTHING)
        s->n = ANYTHING;
    for (unsigned i = 0; i < more->n && s->n < ANYTHING; i++)
        stamps_add(s, more->v[i]);
}

void
stamps_set(struct stamps *s, uint32_t stamp)
{
    *s = (struct stamps){.n = 1, .v = {stamp}};
}
