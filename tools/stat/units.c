// SPDX-License-Identifier: BSD-3-Clause
#include "units.h"

#include <inttypes.h>
#include <stdio.h>

// Three digits and a letter, without the decimal where it says nothing.
static struct units_text
scaled(uint64_t n, uint64_t step, const char *letters)
{
    struct units_text t;
    uint64_t unit = 1;
    unsigned i = 0;
    while (letters[i] && n / unit >= step) {
        unit *= step;
        i++;
    }
    double value = (double)n / (double)unit;
    if (i == 0)
        snprintf(t.s, sizeof t.s, "%" PRIu64, n);
    else if (n % unit == 0 || value >= 99.95)
        snprintf(t.s, sizeof t.s, "%.0f%c", value, letters[i - 1]);
    else
        snprintf(t.s, sizeof t.s, "%.1f%c", value, letters[i - 1]);
    return t;
}

struct units_text
units_size(uint64_t bytes)
{
    return scaled(bytes, 1024, "KMGTPE");
}

struct units_text
units_count(uint64_t n)
{
    struct units_text t;
    if (n > 99999)
        return scaled(n, 1000, "kMGTPE");
    snprintf(t.s, sizeof t.s, "%" PRIu64, n);
    return t;
}

struct units_text
units_duration(int64_t seconds)
{
    struct units_text t;
    int64_t s = seconds < 0 ? 0 : seconds;
    if (s < 60)
        snprintf(t.s, sizeof t.s, "%" PRId64 "s", s);
    else if (s < 3600)
        snprintf(t.s, sizeof t.s, "%" PRId64 "min", s / 60);
    else if (s < 86400)
        snprintf(t.s, sizeof t.s, "%" PRId64 "h%" PRId64 "min", s / 3600, s / 60 % 60);
    else if (s >= 10000 * 86400) // a clock that was set, not an age
        snprintf(t.s, sizeof t.s, ">9999d");
    else if (s >= 100 * 86400)
        snprintf(t.s, sizeof t.s, "%" PRId64 "d", s / 86400);
    else
        snprintf(t.s, sizeof t.s, "%" PRId64 "d%" PRId64 "h", s / 86400, s / 3600 % 24);
    return t;
}
