// SPDX-License-Identifier: BSD-3-Clause
// How many lines a second may go to the log: a flood of bad clients must not fill a disk. A bucket
// of permissions that fills at a steady rate; one of zeroes is full. Pure: time is passed in.
#ifndef BASE_LOG_BOUND_H
#define BASE_LOG_BOUND_H

#include <base/time.h>
#include <stdbool.h>

struct log_rate {
    unsigned burst; // lines at once, after a quiet time
    unsigned per_second;
};

// Of one place in the code, and of all of them: no kind of line may hide the others, and all
// together must not fill a disk.
#define LOG_RATE_SITE ((struct log_rate){.burst = 200, .per_second = 10})
#define LOG_RATE_ALL  ((struct log_rate){.burst = 2000, .per_second = 100})

struct log_bound {
    nstime last; // when `used` was right
    nstime used; // permissions that have not grown again, each worth the time in which one grows
};

bool log_bound_admit(struct log_bound *b, struct log_rate rate, nstime now);

#endif
