// SPDX-License-Identifier: BSD-3-Clause
#include "votes.h"

#define AGREEING 2u // as the daemon asks for: one FAST may be an accident

unsigned
votes_for(const struct result_class *c, enum zero_verdict verdict)
{
    unsigned n = 0;
    for (unsigned i = 0; i < c->n_runs; i++)
        n += c->runs[i].finding.verdict == verdict;
    return n;
}

bool
votes_doubted(const struct probe *p)
{
    if (p->verdict != ZERO_SLOW)
        return false;
    if (p->why == PROBE_WHY_FLAT)
        return true;
    for (unsigned level = 1; level < probe_levels(p); level++)
        if (probe_level_leans_fast(p, level))
            return true;
    return false;
}

// Votes against FAST: SLOW, and nothing in it to doubt that.
static unsigned
firm(const struct result_class *c)
{
    unsigned n = 0;
    for (unsigned i = 0; i < c->n_runs; i++)
        n += c->runs[i].finding.verdict == ZERO_SLOW && !votes_doubted(&c->runs[i].probe);
    return n;
}

bool
votes_again(const struct result_class *c, unsigned repeat)
{
    const struct result_run *last = &c->runs[c->n_runs - 1];
    unsigned fast = votes_for(c, ZERO_FAST), against = firm(c), left = repeat - c->n_runs;
    if (last->finding.verdict == ZERO_UNKNOWN || c->n_runs >= repeat)
        return false;
    if (against > fast || fast + left < AGREEING)
        return false; // slow
    return fast < AGREEING || fast == against;
}

enum zero_verdict
votes_verdict(const struct result_class *c)
{
    unsigned fast = votes_for(c, ZERO_FAST);
    if (fast >= AGREEING && fast > firm(c))
        return ZERO_FAST;
    return votes_for(c, ZERO_SLOW) ? ZERO_SLOW : ZERO_UNKNOWN;
}

const struct result_run *
votes_shown(const struct result_class *c)
{
    for (unsigned i = 0; i < c->n_runs; i++)
        if (c->runs[i].finding.verdict == c->class.verdict)
            return &c->runs[i];
    return &c->runs[0];
}
