// SPDX-License-Identifier: BSD-3-Clause
// One word for what made a probe's verdict, or for why there is none.
#include <zero/probe.h>

#include <assert.h>

// Rules that decided first, from 1 on; then what ended a probe that decided nothing.
static const char *const reasons[PROBE_REASONS] = {
    "operation-failed",       // PROBE_WHY_NOTHING
    "zero-costs-as-write",    // PROBE_WHY_SLOPE_ANY
    "above-ratio",            // PROBE_WHY_SLOPE
    "paid-in-flush",          // PROBE_WHY_FLUSH
    "below-ratio",            // PROBE_WHY_CHEAP
    "below-ratio-at-end",     // PROBE_WHY_CHEAP_AT_END
    "nothing-to-compare",     // PROBE_WHY_FLAT
    "not-below-ratio-at-end", // PROBE_WHY_SLOPE_AT_END
    "one-zero-far-slower",    // PROBE_WHY_SPREAD
    "fixed-cost-eats-gain",   // PROBE_WHY_NO_GAIN
    "too-slow-to-measure",    // PROBE_WHY_NO_TIME
    "interrupted",            // PROBE_GOES_ON
    "ambiguous",              // PROBE_ALL_LEVELS
    "budget-spent",           // PROBE_NO_BUDGET
    "no-suitable-range",      // PROBE_NO_RANGE
    "disturbed",              // PROBE_DISTURBED
    "no-guard",               // PROBE_NO_GUARD
};

unsigned
probe_reason(const struct probe *p)
{
    if (p->failed)
        return PROBE_WHY_NOTHING;
    if (p->why != PROBE_WHY_NOTHING)
        return p->why;
    if (p->aborted)
        return PROBE_WHY_NO_TIME + 1 + PROBE_GOES_ON;
    return PROBE_WHY_NO_TIME + 1 + p->stop;
}

const char *
probe_reason_name(unsigned reason)
{
    assert(reason < PROBE_REASONS);
    return reasons[reason];
}
