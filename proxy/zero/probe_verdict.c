// SPDX-License-Identifier: BSD-3-Clause
// What the times of a probe say. Every constant here is measured (docs/zeroing.md): change one only
// with measurements of real servers at hand.
#include "parts.h"

const uint32_t probe_sizes[PROBE_LEVELS] = {64u << 10, 1u << 20, 4u << 20, PROBE_LARGEST_CHUNK};
const unsigned probe_repeats[PROBE_LEVELS] = {3, 3, 3, 1};

#define FAST_LEVEL 2 // 4 MiB: nothing is called fast on less

#define SLOPE_MIN   0.3               // of the 64K cost: dW below it drowns in noise
#define SLOW_ANY    0.80              // s above it is slow from 1 MiB on
#define SLOW_ABOVE  0.25              // s > R + this is slow from 4 MiB on
#define FLUSH_SLOW  0.20              // zero by writing: 0.3 to 1.4; bulk zero: at most 0.06
#define FLUSH_SHARE 0.25              // of dW: a smaller flush slope of writing says nothing,
#define FLUSH_MIN   (0.1 * NS_PER_MS) // nor does one this small
#define FAST_EARLY  0.83              // s < R * this is fast before the last level
#define SPREAD      0.50              // the slowest zero must be below this, too, or below
#define SPREAD_OVER 0.20              // R + this where the administrator set R higher
#define GAIN        0.9

// One level in numbers (ns): minima over its samples, for noise only adds.
struct summary {
    double w, z, z_most, fw, fz;
};

// What a level says against the 64 KiB one.
struct contrast {
    bool steep; // dW stands out from the fixed cost: the rest means something
    bool gain, has_fs;
    double dw, s, s_high, fs;
};

bool
level_complete(const struct probe *p, unsigned level)
{
    return p->levels[level].n == probe_repeats[level];
}

static void
lower(double *least, double v, bool first)
{
    if (first || v < *least)
        *least = v;
}

static struct summary
summarize(const struct probe_level *l)
{
    struct summary m = {0};
    for (unsigned i = 0; i < l->n; i++) {
        double fz = (double)l->took[PROBE_OP_FLUSH_ZERO][i];
        double fw = (double)l->took[PROBE_OP_FLUSH_WRITE][i];
        double z = (double)l->took[PROBE_OP_ZERO][i] + fz;
        lower(&m.w, (double)l->took[PROBE_OP_WRITE][i] + fw, i == 0);
        lower(&m.z, z, i == 0);
        lower(&m.fw, fw, i == 0);
        lower(&m.fz, fz, i == 0);
        if (z > m.z_most)
            m.z_most = z;
    }
    return m;
}

static double
not_below_zero(double v)
{
    return v > 0 ? v : 0;
}

static struct contrast
contrast(const struct summary *base, const struct summary *m)
{
    struct contrast k = {.dw = m->w - base->w, .gain = m->z < GAIN * m->w};
    if (k.dw <= 0)
        return k;
    k.steep = k.dw > SLOPE_MIN * base->w;
    k.s = not_below_zero(m->z - base->z) / k.dw;
    k.s_high = not_below_zero(m->z_most - base->z) / k.dw;
    double df = m->fw - base->fw;
    k.has_fs = df > FLUSH_SHARE * k.dw && df > FLUSH_MIN;
    if (k.has_fs)
        k.fs = not_below_zero(m->fz - base->fz) / df;
    return k;
}

// t(n) = a + b*n through 64 KiB and this level.
static void
keep_model(struct probe *p, unsigned level, const struct summary *base, const struct summary *m,
           const struct contrast *k)
{
    double size = probe_sizes[0], step = probe_sizes[level] - size;
    p->has_model = k->dw > 0;
    if (!p->has_model)
        return;
    struct zero_cost write = {.b = k->dw / step};
    struct zero_cost zero = {.b = not_below_zero(m->z - base->z) / step};
    write.a = not_below_zero(base->w - write.b * size);
    zero.a = not_below_zero(base->z - zero.b * size);
    p->model = (struct zero_model){.write = write, .zero = zero, .ratio = k->s};
}

static struct contrast
look_at(struct probe *p, unsigned level)
{
    struct summary base = summarize(&p->levels[0]);
    struct summary m = summarize(&p->levels[level]);
    struct contrast k = contrast(&base, &m);
    keep_model(p, level, &base, &m, &k);
    return k;
}

// All that FAST asks for besides the gain, with s below `limit`.
static bool
slopes_fast(const struct probe *p, const struct contrast *k, double limit)
{
    double spread = p->rules.ratio + SPREAD_OVER;
    if (spread < SPREAD)
        spread = SPREAD;
    return k->steep && k->s < limit && k->s_high < spread && (!k->has_fs || k->fs < FLUSH_SLOW);
}

enum zero_verdict
verdict_after_level(struct probe *p, unsigned level)
{
    if (level == 0)
        return ZERO_UNKNOWN;
    struct contrast k = look_at(p, level);
    if (!k.steep)
        return ZERO_UNKNOWN;
    if (k.s > SLOW_ANY)
        return ZERO_SLOW;
    if (level < FAST_LEVEL)
        return ZERO_UNKNOWN;
    if (k.s > p->rules.ratio + SLOW_ABOVE || (k.has_fs && k.fs >= FLUSH_SLOW))
        return ZERO_SLOW;
    if (k.gain && slopes_fast(p, &k, FAST_EARLY * p->rules.ratio))
        return ZERO_FAST;
    return ZERO_UNKNOWN;
}

enum zero_verdict
verdict_at_end(struct probe *p)
{
    bool cut = p->stop != PROBE_ALL_LEVELS && p->stop != PROBE_NO_BUDGET;
    if (p->stop == PROBE_NO_GUARD || !level_complete(p, 0))
        return ZERO_UNKNOWN;
    unsigned level = PROBE_LEVELS - 1;
    while (level >= FAST_LEVEL && !level_complete(p, level))
        level--;
    if (level < FAST_LEVEL) // a storage too slow to be measured in time is not called fast
        return cut ? ZERO_UNKNOWN : ZERO_SLOW;
    struct contrast k = look_at(p, level);
    if (!slopes_fast(p, &k, p->rules.ratio))
        return ZERO_SLOW;
    if (k.gain)
        return ZERO_FAST;
    // Only the fixed cost stands against it, and there was no room to see a larger size: the
    // request was too short to tell.
    return cut ? ZERO_UNKNOWN : ZERO_SLOW;
}
