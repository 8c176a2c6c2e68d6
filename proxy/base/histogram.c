// SPDX-License-Identifier: BSD-3-Clause
#include <base/histogram.h>

#include <string.h>

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

// Before the count is more than nought.
static void
widen(struct histogram *h, uint32_t first, uint32_t last)
{
    if (!h->count || first < h->first)
        h->first = first;
    if (!h->count || last > h->last)
        h->last = last;
}

void
histogram_add(struct histogram *h, nstime value)
{
    if (value > h->max)
        h->max = value;
    unsigned bucket = bucket_of(value);
    widen(h, bucket, bucket);
    h->buckets[bucket]++;
    h->count++;
    h->sum += value;
}

void
histogram_merge(struct histogram *into, const struct histogram *from)
{
    if (!from->count)
        return;
    widen(into, from->first, from->last);
    into->count += from->count;
    into->sum += from->sum;
    if (from->max > into->max)
        into->max = from->max;
    for (unsigned i = from->first; i <= from->last; i++)
        into->buckets[i] += from->buckets[i];
}

void
histogram_clear(struct histogram *h)
{
    if (h->count)
        memset(&h->buckets[h->first], 0, (h->last - h->first + 1) * sizeof h->buckets[0]);
    h->count = h->max = h->sum = 0;
    h->first = h->last = 0;
}

// Packing ---------------------------------------------------------------------------------

enum { AT_COUNT, AT_MAX, AT_SUM, AT_FIRST, AT_LAST, AT_BUCKETS };

size_t
histogram_packed_words(const struct histogram *h)
{
    return h->count ? AT_BUCKETS + h->last - h->first + 1 : 0;
}

void
histogram_pack(const struct histogram *h, uint64_t *words)
{
    words[AT_COUNT] = h->count;
    words[AT_MAX] = h->max;
    words[AT_SUM] = h->sum;
    words[AT_FIRST] = h->first;
    words[AT_LAST] = h->last;
    memcpy(words + AT_BUCKETS, &h->buckets[h->first],
           (h->last - h->first + 1) * sizeof h->buckets[0]);
}

void
histogram_merge_packed(struct histogram *into, const uint64_t *words)
{
    uint32_t first = (uint32_t)words[AT_FIRST], last = (uint32_t)words[AT_LAST];
    widen(into, first, last);
    into->count += words[AT_COUNT];
    into->sum += words[AT_SUM];
    if (words[AT_MAX] > into->max)
        into->max = words[AT_MAX];
    for (unsigned i = first; i <= last; i++)
        into->buckets[i] += words[AT_BUCKETS + i - first];
}

// Asking ----------------------------------------------------------------------------------

nstime
histogram_quantile(const struct histogram *h, double q)
{
    if (h->count == 0)
        return 0;
    uint64_t rank = (uint64_t)(q * (double)h->count);
    if (rank >= h->count)
        return h->max;
    uint64_t seen = 0;
    for (unsigned i = h->first; i <= h->last; i++) {
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
    for (unsigned i = h->first; i <= h->last && bucket_middle(i) <= value; i++)
        count += h->buckets[i];
    return count;
}
