// SPDX-License-Identifier: BSD-3-Clause
// How many lines a second may go to the log: a flood of bad clients must not fill a disk. A bucket
// of permissions that fills at a steady rate. Pure: time is passed in.
#ifndef DAEMON_LOG_BOUND_H
#define DAEMON_LOG_BOUND_H

#include <base/time.h>
#include <stdbool.h>

#define LOG_BURST      2000u // lines at once, after a quiet time
#define LOG_PER_SECOND 50u

struct log_bound {
    nstime last; // when `left` was right
    nstime left; // permissions, each worth the time in which one grows
};

void log_bound_begin(struct log_bound *b, nstime now);
bool log_bound_admit(struct log_bound *b, nstime now);

#endif
