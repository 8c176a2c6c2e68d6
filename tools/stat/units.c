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

struct units_text
units_latency(uint64_t us)
{
    static const struct {
        uint64_t unit;
        const char *name;
    } units[] = {{1000000, "s"}, {1000, "ms"}};
    struct units_text t;
    if (us >= 1000 * units[0].unit)
        return units_duration((int64_t)(us > INT64_MAX ? INT64_MAX / 1000000 : us / 1000000));
    snprintf(t.s, sizeof t.s, "%" PRIu64 "us", us);
    for (unsigned i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (us < units[i].unit)
            continue;
        // To the nearest tenth, and no tenths from ten on.
        uint64_t tenths = (us * 10 + units[i].unit / 2) / units[i].unit;
        if (tenths < 100 && tenths % 10)
            snprintf(t.s, sizeof t.s, "%" PRIu64 ".%" PRIu64 "%s", tenths / 10, tenths % 10,
                     units[i].name);
        else
            snprintf(t.s, sizeof t.s, "%" PRIu64 "%s", (us + units[i].unit / 2) / units[i].unit,
                     units[i].name);
        break;
    }
    return t;
}

static struct units_text
rate(double per_second, struct units_text (*whole)(uint64_t n))
{
    struct units_text t = {"-"};
    if (per_second >= 1e18)
        return whole((uint64_t)1e18);
    if (per_second >= 9.95)
        return whole((uint64_t)(per_second + 0.5));
    if (per_second >= 0.05)
        snprintf(t.s, sizeof t.s, "%.1f", per_second);
    else if (per_second > 0)
        snprintf(t.s, sizeof t.s, "<0.1");
    else if (per_second >= 0)
        snprintf(t.s, sizeof t.s, "0");
    return t;
}

struct units_text
units_rate(double per_second)
{
    return rate(per_second, units_count);
}

struct units_text
units_size_rate(double per_second)
{
    return rate(per_second, units_size);
}
