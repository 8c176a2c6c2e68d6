// SPDX-License-Identifier: BSD-3-Clause
// Who may probe now: one probe an upstream address, two a process, bytes reserved before they are
// written. Pure; the caller locks it.
#ifndef ZERO_PERMIT_H
#define ZERO_PERMIT_H

#include <stdbool.h>
#include <stdint.h>

#define PERMITS_A_PROCESS 2

struct permits {
    uint64_t address[PERMITS_A_PROCESS]; // hash of the upstream's address; 0 = free
    uint64_t bytes[PERMITS_A_PROCESS];
};

// `address` is not 0. False: not now.
bool permit_take(struct permits *p, uint64_t address, uint64_t bytes);
void permit_return(struct permits *p, uint64_t address);

#endif
