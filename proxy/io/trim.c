// SPDX-License-Identifier: BSD-3-Clause
// Giving memory back: four times a second, what lay unused since the last look; in small steps, for
// unmapping takes the time of many messages. With nothing to give there is no timer.
#include "ring_inside.h"

#define LOOK_EVERY (250 * NS_PER_MS)
#define STEP_EVERY (5 * NS_PER_MS)
#define STEP       32u // buffers; about a millisecond

static void
look(struct timer *t)
{
    struct ring *r = (struct ring *)((char *)t - offsetof(struct ring, trim));
    uint32_t budget = STEP;
    if (!pool_trim(r, &budget) || !bulk_trim(r, &budget)) {
        timer_set(r, t, r->now + STEP_EVERY);
        return;
    }
    streams_trim(r);
    bool pool = pool_observe(r);
    bool bulk = bulk_observe(r);
    if (pool || bulk)
        timer_set(r, t, r->now + LOOK_EVERY);
}

void
trim_soon(struct ring *r)
{
    if (r->trim.when)
        return;
    r->trim.fire = look;
    timer_set(r, &r->trim, r->now + LOOK_EVERY);
}
