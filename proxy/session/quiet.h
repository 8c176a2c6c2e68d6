// SPDX-License-Identifier: BSD-3-Clause
// When a measurement counts.
#ifndef SESSION_QUIET_H
#define SESSION_QUIET_H

#include <io/ring.h>

// It is spoilt by a turn of the loop that worked longer than this, or than this share of what is
// measured: moving the payload of a long WRITE is work, too, and belongs to its time.
#define BUSY_TURN  NS_PER_MS
#define BUSY_SHARE 4

static inline bool
ring_was_quiet(const struct ring *ring, nstime since, nstime took)
{
    nstime busy = took / BUSY_SHARE > BUSY_TURN ? took / BUSY_SHARE : BUSY_TURN;
    return !ring_was_busy(ring, since, busy);
}

#endif
