// SPDX-License-Identifier: BSD-3-Clause
// What the administrator says about zeroing an export (interface.md: the keys of [upstream] and
// [export]), as the pure code of this room needs it.
#ifndef ZERO_RULES_H
#define ZERO_RULES_H

#include <base/time.h>
#include <stdbool.h>
#include <stdint.h>

enum zero_policy { ZERO_MEASURE, ZERO_TRUST, ZERO_ALWAYS, ZERO_NEVER, ZERO_OFF };

struct zero_rules {
    enum zero_policy policy;
    double ratio;         // R: fast-zero-ratio
    bool probe;           // probe = auto
    nstime probe_time;    // the most that one probe may delay a request
    uint64_t probe_bytes; // the most that one probe may write
    bool cheapest;        // write-zeroes = cheapest: plain zeroes may be served by writing
    uint32_t max_zero;    // the longest plain WRITE_ZEROES sent upstream
};

#endif
