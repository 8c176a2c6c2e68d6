// SPDX-License-Identifier: BSD-3-Clause
// How long past turns worked: enough of it to answer "was there a long one since then?".
#include "ring_inside.h"

#define AT(b, i) (&(b)->turn[((b)->first + (i)) % BUSY_TURNS])

void
busy_note(struct busy *b, nstime end, nstime worked)
{
    // A shorter and earlier one never again matters.
    while (b->count && AT(b, b->count - 1)->worked <= worked)
        b->count--;
    if (b->count == BUSY_TURNS) {
        // Forget the second, let the first stand for both: rather too busy than too quiet.
        AT(b, 1)->worked = AT(b, 0)->worked;
        b->first = (b->first + 1) % BUSY_TURNS;
        b->count--;
    }
    AT(b, b->count)->end = end;
    AT(b, b->count)->worked = worked;
    b->count++;
}

bool
ring_was_busy(const struct ring *r, nstime since, nstime limit)
{
    const struct busy *b = &r->busy;
    for (uint32_t i = 0; i < b->count; i++)
        if (AT(b, i)->end > since)
            return AT(b, i)->worked > limit;
    return false;
}
