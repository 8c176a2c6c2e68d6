// SPDX-License-Identifier: BSD-3-Clause
// Numbers for people.
#ifndef STAT_UNITS_H
#define STAT_UNITS_H

#include <stdint.h>

#define UNITS_TEXT 32

struct units_text {
    char s[UNITS_TEXT];
};

struct units_text units_size(uint64_t bytes);      // 512, 64K, 1.5M, 3.2G
struct units_text units_count(uint64_t n);         // 99999, 123k, 4.5M
struct units_text units_duration(int64_t seconds); // 45s, 12min, 3h12min, 5d4h
struct units_text units_latency(uint64_t us);      // 850us, 1.2ms, 35ms, 2.5s, 12min
// Of so many a second; a negative one is not known: "-".
struct units_text units_rate(double per_second);      // 0, 0.2, 35, 12k
struct units_text units_size_rate(double per_second); // 0, 0.2, 512, 1.5M

#endif
