// SPDX-License-Identifier: BSD-3-Clause
#include <base/histogram.h>

// The octave is the position of the highest bit, the step the six bits below it.
static unsigned
bucket_of(nstime value)
{
    if (value < UINT64_C(1) << HISTOGRAM_SHIFT_LOW)
        return 0;
    if (value >= UINT64_C(1) << HISTOGRAM_SHIFT_HIGH)
        return HISTOGRAM_BUCKETS - 1;
    unsigned octave = 63u - (unsigned)__builtin_clzll(value);
    unsigned step = (unsigned)(value >> (octave - 6)) & (HISTOGRAM_STEPS - 1);
    return (octave - HISTOGRAM_SHIFT_LOW) * HISTOGRAM_STEPS + step;
}

static nstime
bucket_middle(unsigned bucket)
{
    unsigned octave = bucket / HISTOGRAM_STEPS + HISTOGRAM_SHIFT_LOW;
    nstime width = UINT64_C(1) << (octave - 6);
    nstime low = (UINT64_C(1) << octave) + (bucket % HISTOGRAM_STEPS) * width;
    return low + width / 2;
}

void
histogram_add(struct histogram *h, nstime value)
{
    h->count++;
    h->sum += value;
    if (value > h->max)
        h->max = value;
    h->buckets[bucket_of(value)]++;
}

void
histogram_merge(struct histogram *into, const struct histogram *from)
{
    into->count += from->count;
    into->sum += from->sum;
    if (from->max > into->max)
        into->max = from->max;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        into->buckets[i] += from->buckets[i];
}

nstime
histogram_quantile(const struct histogram *h, double q)
{
    if (h->count == 0)
        return 0;
    uint64_t rank = (uint64_t)(q * (double)h->count);
    if (rank >= h->count)
        return h->max;
    uint64_t seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen > rank) {
            nstime v = bucket_middle(i);
            return v < h->max ? v : h->max;
        }
    }
    return h->max;
}

uint64_t
histogram_count_to(const struct histogram *h, nstime value)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS && bucket_middle(i) <= value; i++)
        count += h->buckets[i];
    return count;
}
