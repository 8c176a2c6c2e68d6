// SPDX-License-Identifier: BSD-3-Clause
#include "phases.h"
#include <assert.h>

#define BIT(phase) (1u << (phase))

// From which phase one may go to which.
static const uint32_t moves[PHASES] = {
    [FIRST_FLUSH] = BIT(GUARD) | BIT(ZERO) | BIT(FINISH),
    [GUARD] = BIT(STATUS) | BIT(READ) | BIT(FILL) | BIT(UNGUARD),
    [STATUS] = BIT(READ) | BIT(UNGUARD),
    [READ] = BIT(ZERO) | BIT(UNGUARD),
    [FILL] = BIT(FLUSH_FILL) | BIT(UNGUARD),
    [FLUSH_FILL] = BIT(ZERO) | BIT(UNGUARD),
    [ZERO] = BIT(FLUSH_ZERO) | BIT(WRITE) | BIT(UNGUARD) | BIT(FINISH),
    [FLUSH_ZERO] = BIT(CHECK) | BIT(WRITE) | BIT(UNGUARD) | BIT(FINISH),
    [CHECK] = BIT(WRITE) | BIT(UNGUARD),
    [WRITE] = BIT(FLUSH_WRITE) | BIT(WAIT) | BIT(UNGUARD) | BIT(FINISH),
    [WAIT] = BIT(WRITE) | BIT(UNGUARD),
    [FLUSH_WRITE] = BIT(UNGUARD) | BIT(WAIT) | BIT(ZERO_AGAIN) | BIT(FINISH),
    [ZERO_AGAIN] = BIT(ZERO) | BIT(FINISH),
    [UNGUARD] = BIT(GUARD) | BIT(FINISH),
};

void
phase_enter(struct probe *p, enum phase phase, nstime deadline)
{
    static const enum probe_want wants[PHASES] = {
        [FIRST_FLUSH] = PROBE_WANT_FLUSH, [GUARD] = PROBE_WANT_GUARD,
        [STATUS] = PROBE_WANT_STATUS,     [READ] = PROBE_WANT_READ,
        [FILL] = PROBE_WANT_WRITE,        [FLUSH_FILL] = PROBE_WANT_FLUSH,
        [ZERO] = PROBE_WANT_ZERO,         [FLUSH_ZERO] = PROBE_WANT_FLUSH,
        [CHECK] = PROBE_WANT_CHECK,       [WRITE] = PROBE_WANT_WRITE,
        [WAIT] = PROBE_WANT_WAIT,         [FLUSH_WRITE] = PROBE_WANT_FLUSH,
        [ZERO_AGAIN] = PROBE_WANT_ZERO,   [UNGUARD] = PROBE_WANT_UNGUARD,
        [FINISH] = PROBE_WANT_FINISH,
    };
    p->phase = phase;
    p->step = (struct probe_step){.want = wants[phase],
                                  .offset = p->chunk.offset,
                                  .length = (uint32_t)p->chunk.length,
                                  .deadline = deadline};
}

void
phase_go_until(struct probe *p, enum phase phase, nstime deadline)
{
    assert(moves[p->phase] & BIT(phase));
    phase_enter(p, phase, deadline);
}

void
phase_go(struct probe *p, enum phase phase)
{
    phase_go_until(p, phase, 0);
}
