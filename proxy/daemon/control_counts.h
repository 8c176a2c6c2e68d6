// SPDX-License-Identifier: BSD-3-Clause
// What the control socket has counted, for statistics. Touched on the main ring's thread only.
#ifndef DAEMON_CONTROL_COUNTS_H
#define DAEMON_CONTROL_COUNTS_H

#include <stdint.h>

struct control_counts {
    unsigned conversations; // at the moment
    uint64_t requests;      // all lines that were answered
    uint64_t changes;       // of these, commands that may change something and were carried out
    uint64_t denied;        // who asked may not have it changed
    uint64_t malformed;     // no request, or one that makes no sense
    uint64_t refused;       // connections: too many
};

#endif
