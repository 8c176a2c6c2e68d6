// SPDX-License-Identifier: BSD-3-Clause
// What the times of a probe say. Every constant here is measured (docs/zeroing.md): change one only
// with measurements of real servers at hand.
#include "parts.h"

const uint32_t probe_sizes[PROBE_LEVELS] = {64u << 10, 1u << 20, 4u << 20, PROBE_LARGEST_CHUNK,
                                            PROBE_LARGEST_SCRATCH};
const unsigned probe_repeats[PROBE_LEVELS] = {3, 3, 3, 1, 1};

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

// Where time ends within the 4 MiB level, one sample of it must do, if nothing can be mistaken:
#define LONG_PART 8    // its write takes at least this part of probe-time,
#define CLEAR     0.33 // s is below R * this here and at 1 MiB,
#define LINE_LESS 0.5  // and its write lies on the line through the 64K and the 1 MiB ones: no
#define LINE_MORE 1.5  // outlier, for noise in a lone write makes zeroes look cheap.

// One level in numbers (ns): minima over its samples, for noise only adds.
struct summary {
    double w, z, z_most, fw, fz;
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

static struct probe_contrast
contrast(const struct summary *base, const struct summary *m)
{
    struct probe_contrast k = {.dw = m->w - base->w, .gain = m->z < GAIN * m->w};
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
           const struct probe_contrast *k)
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

static struct probe_contrast
look_at(struct probe *p, unsigned level)
{
    struct summary base = summarize(&p->levels[0]);
    struct summary m = summarize(&p->levels[level]);
    struct probe_contrast k = contrast(&base, &m);
    keep_model(p, level, &base, &m, &k);
    return k;
}

// All that FAST asks for besides the gain, with s below `limit`: what of it is missing, or NOTHING.
static enum probe_why
against_fast(const struct probe *p, const struct probe_contrast *k, double limit)
{
    double spread = p->rules.ratio + SPREAD_OVER;
    if (spread < SPREAD)
        spread = SPREAD;
    if (!k->steep)
        return PROBE_WHY_FLAT;
    if (k->s >= limit)
        return PROBE_WHY_SLOPE_AT_END;
    if (k->s_high >= spread)
        return PROBE_WHY_SPREAD;
    return k->has_fs && k->fs >= FLUSH_SLOW ? PROBE_WHY_FLUSH : PROBE_WHY_NOTHING;
}

static bool
is_clear(const struct probe *p, const struct probe_contrast *k)
{
    return k->gain && against_fast(p, k, CLEAR * p->rules.ratio) == PROBE_WHY_NOTHING;
}

// A storage that writes so slowly that three samples of 4 MiB do not fit into probe-time: noise is
// small against what it takes, and those who copy to it gain most.
static bool
one_sample_tells(struct probe *p)
{
    if (p->stop != PROBE_NO_BUDGET || !level_complete(p, FAST_LEVEL - 1) ||
        p->levels[FAST_LEVEL].n == 0)
        return false;
    struct probe_contrast small = look_at(p, FAST_LEVEL - 1), k = look_at(p, FAST_LEVEL);
    double on_line = small.dw * (probe_sizes[FAST_LEVEL] - probe_sizes[0]) /
                     (probe_sizes[FAST_LEVEL - 1] - probe_sizes[0]);
    bool is_long = k.dw * LONG_PART > (double)p->rules.probe_time;
    bool is_on_line = k.dw > LINE_LESS * on_line && k.dw < LINE_MORE * on_line;
    return is_long && is_on_line && is_clear(p, &small) && is_clear(p, &k);
}

static enum zero_verdict
decide(struct probe *p, enum zero_verdict verdict, unsigned level, enum probe_why why)
{
    p->why = why;
    p->decided_level = level;
    return verdict;
}

// Where plain zeroes are to be served the cheaper way, and nothing needs to be written back, slow
// is not enough: by how much shows at the size of such requests. nbd-server's zeroes of 1 MiB on
// ext4 cost what writing costs, and those of 16 MiB three times as much.
static bool
weighs_costs(const struct probe *p, unsigned level)
{
    return p->rules.cheapest && p->mode == PROBE_TEACH && level < last_level(p);
}

enum zero_verdict
verdict_after_level(struct probe *p, unsigned level)
{
    if (level == 0)
        return ZERO_UNKNOWN;
    struct probe_contrast k = look_at(p, level);
    if (!k.steep || (k.s >= p->rules.ratio && weighs_costs(p, level)))
        return ZERO_UNKNOWN;
    if (k.s > SLOW_ANY)
        return decide(p, ZERO_SLOW, level, PROBE_WHY_SLOPE_ANY);
    if (level < FAST_LEVEL)
        return ZERO_UNKNOWN;
    if (k.s > p->rules.ratio + SLOW_ABOVE)
        return decide(p, ZERO_SLOW, level, PROBE_WHY_SLOPE);
    if (k.has_fs && k.fs >= FLUSH_SLOW)
        return decide(p, ZERO_SLOW, level, PROBE_WHY_FLUSH);
    if (k.gain && against_fast(p, &k, FAST_EARLY * p->rules.ratio) == PROBE_WHY_NOTHING)
        return decide(p, ZERO_FAST, level, PROBE_WHY_CHEAP);
    return ZERO_UNKNOWN;
}

enum zero_verdict
verdict_at_end(struct probe *p)
{
    bool cut = p->stop != PROBE_ALL_LEVELS && p->stop != PROBE_NO_BUDGET;
    if (p->stop == PROBE_NO_GUARD || !level_complete(p, 0))
        return ZERO_UNKNOWN;
    unsigned level = last_level(p);
    while (level >= FAST_LEVEL && !level_complete(p, level))
        level--;
    if (level < FAST_LEVEL && one_sample_tells(p))
        return decide(p, ZERO_FAST, FAST_LEVEL, PROBE_WHY_CHEAP_AT_END);
    if (level < FAST_LEVEL) { // a storage too slow to be measured in time is not called fast
        if (cut)
            return ZERO_UNKNOWN;
        return decide(p, ZERO_SLOW, level, PROBE_WHY_NO_TIME);
    }
    struct probe_contrast k = look_at(p, level);
    enum probe_why why = against_fast(p, &k, p->rules.ratio);
    if (why != PROBE_WHY_NOTHING)
        return decide(p, ZERO_SLOW, level, why);
    if (k.gain)
        return decide(p, ZERO_FAST, level, PROBE_WHY_CHEAP_AT_END);
    // Only the fixed cost stands against it, and there was no room to see a larger size: the
    // request was too short to tell.
    if (cut)
        return ZERO_UNKNOWN;
    return decide(p, ZERO_SLOW, level, PROBE_WHY_NO_GAIN);
}

bool
probe_compare(const struct probe *p, unsigned level, struct probe_contrast *k)
{
    if (level == 0 || !level_complete(p, 0) || !level_complete(p, level))
        return false;
    struct summary base = summarize(&p->levels[0]);
    struct summary m = summarize(&p->levels[level]);
    *k = contrast(&base, &m);
    return true;
}

static bool
level_gains(const struct probe *p, unsigned level, struct probe_contrast *k)
{
    return level >= FAST_LEVEL && probe_compare(p, level, k) && k->gain;
}

bool
probe_level_fast(const struct probe *p, unsigned level)
{
    struct probe_contrast k;
    return level_gains(p, level, &k) && against_fast(p, &k, p->rules.ratio) == PROBE_WHY_NOTHING;
}

bool
probe_level_leans_fast(const struct probe *p, unsigned level)
{
    struct probe_contrast k;
    if (!level_gains(p, level, &k))
        return false;
    k.s_high = k.s;
    return against_fast(p, &k, p->rules.ratio) == PROBE_WHY_NOTHING;
}

uint32_t
probe_level_size(unsigned level)
{
    return probe_sizes[level];
}

unsigned
probe_levels(const struct probe *p)
{
    return last_level(p) + 1;
}
