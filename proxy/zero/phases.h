// SPDX-License-Identifier: BSD-3-Clause
// The phases of a probe, each with the operation it wants; the picture is in probe.c.
#ifndef ZERO_PHASES_H
#define ZERO_PHASES_H

#include <zero/probe.h>

enum phase {
    FIRST_FLUSH,
    GUARD,
    STATUS,
    READ,
    FILL,
    FLUSH_FILL,
    ZERO,
    FLUSH_ZERO,
    CHECK,
    WRITE,
    WAIT,
    FLUSH_WRITE,
    ZERO_AGAIN,
    UNGUARD,
    FINISH,
    PHASES,
};

// Begins a phase. `deadline` 0: none.
void phase_enter(struct probe *p, enum phase phase, nstime deadline);
// The same, as a move that the table allows.
void phase_go_until(struct probe *p, enum phase phase, nstime deadline);
void phase_go(struct probe *p, enum phase phase);

#endif
