// SPDX-License-Identifier: BSD-3-Clause
// The budget of probe-time is predictive: nothing starts that would not fit together with its
// write-back, because a write-back is never cut short.
#include "parts.h"

// A zero was never seen to be worse than nine times as slow as a write (ext4 under nbd-server); so
// an O(1) zero with a large fixed cost is not taken for one that grows with the size.
#define ZERO_WORST 10.0
// A round trip longer than this leaves no time for a verdict anyway.
#define TRIP_MOST (10.0 * NS_PER_MS)

// Predictions take what was slowest, disturbed or not: a request waits for all of it.
void
budget_saw(struct probe *p, enum probe_op op, nstime took)
{
    struct probe_seen *s = &p->seen[p->level][op];
    if (!s->any || took < s->least)
        s->least = took;
    if (!s->any || took > s->most)
        s->most = took;
    s->any = true;
    if (p->quickest == 0 || took < p->quickest)
        p->quickest = took;
}

// From one size alone: all but `trip`, the way there and back, grows with the size.
static double
scaled(double most, double trip, unsigned from, unsigned to)
{
    if (trip > most)
        trip = most;
    return trip + (most - trip) * probe_sizes[to] / probe_sizes[from];
}

// From 64 KiB to 1 MiB is a long way to look ahead, and where the upstream is far most of the 64
// KiB cost is the way. The quickest operation is the best guess at that, on the high side: credited
// only so far, and only here.
static double
first_guess(const struct probe *p, enum probe_op op, double most, unsigned to, double write)
{
    double trip = (double)p->quickest;
    if (trip > TRIP_MOST)
        trip = TRIP_MOST;
    double guess = scaled(most, trip, 0, to);
    double worst = most + ZERO_WORST * write;
    return op == PROBE_OP_ZERO && worst < guess ? worst : guess;
}

// Along the line through the last two sizes; noise must bend it neither down nor beyond proportion.
static double
extended(const struct probe_seen *small, const struct probe_seen *s, unsigned from, unsigned to)
{
    double most = (double)s->most, rise = most - (double)small->least;
    double slope = rise > 0 ? rise / (probe_sizes[from] - probe_sizes[from - 1]) : 0;
    double line = most + slope * (probe_sizes[to] - probe_sizes[from]);
    double proportion = scaled(most, 0, from, to);
    return line < proportion ? line : proportion;
}

static double
predict(const struct probe *p, enum probe_op op)
{
    unsigned level = p->level;
    unsigned from = level;
    while (from > 0 && !p->seen[from][op].any)
        from--;
    const struct probe_seen *s = &p->seen[from][op];
    if (!s->any) // the very first chunk: writing it back takes about what reading it took
        return (double)p->seen[level][PROBE_OP_READ].most;
    if (from == level)
        return (double)s->most;
    if (from > 0 && p->seen[from - 1][op].any)
        return extended(&p->seen[from - 1][op], s, from, level);
    double write = op == PROBE_OP_ZERO ? predict(p, PROBE_OP_WRITE) : 0;
    return first_guess(p, op, (double)s->most, level, write);
}

bool
budget_fits(const struct probe *p, enum probe_op first, nstime now)
{
    double end = (double)now;
    for (unsigned op = first; op < PROBE_OPS; op++)
        end += predict(p, (enum probe_op)op);
    if (p->mode == PROBE_TEACH)
        end += predict(p, PROBE_OP_ZERO); // it is zeroed once more at the end
    return end <= (double)p->deadline;
}
