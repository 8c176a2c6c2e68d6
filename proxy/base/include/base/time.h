// SPDX-License-Identifier: BSD-3-Clause
// Time is a number that is passed in: nanoseconds of a monotonic clock. Nobody below io/ reads one.
#ifndef BASE_TIME_H
#define BASE_TIME_H

#include <stdint.h>

typedef uint64_t nstime;

#define NS_PER_US  UINT64_C(1000)
#define NS_PER_MS  UINT64_C(1000000)
#define NS_PER_SEC UINT64_C(1000000000)
#define NS_PER_MIN (60 * NS_PER_SEC)

#endif
