// SPDX-License-Identifier: BSD-3-Clause
// Latencies in fixed memory: 64 linear steps an octave, so that a value is known to within 0.8 %.
// From 1 us (all below count as that) to 2^37 ns (137 s; all above count as that). One thread
// writes; histograms are packed, copied and merged for statistics.
#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include <base/time.h>
#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_SHIFT_LOW  10
#define HISTOGRAM_SHIFT_HIGH 37
#define HISTOGRAM_STEPS      64
#define HISTOGRAM_BUCKETS    ((HISTOGRAM_SHIFT_HIGH - HISTOGRAM_SHIFT_LOW) * HISTOGRAM_STEPS)

struct histogram {
    uint64_t count;
    nstime max, sum;
    uint32_t first, last; // of the buckets that are not empty; while there is one
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *h, nstime value);
void histogram_merge(struct histogram *into, const struct histogram *from);
// Empties it: takes as long as the buckets that were in use are many.
void histogram_clear(struct histogram *h);

// A copy in few words, only of the buckets in use. 0 words: it is empty, and cannot be merged.
size_t histogram_packed_words(const struct histogram *h);
void histogram_pack(const struct histogram *h, uint64_t *words);
void histogram_merge_packed(struct histogram *into, const uint64_t *words);

// The value that the share q (0 to 1) of all values does not exceed; 0 if there are none. Never
// above `max`.
nstime histogram_quantile(const struct histogram *h, double q);

// How many values were at most `value`; exact to within 0.8 % of it.
uint64_t histogram_count_to(const struct histogram *h, nstime value);

#endif
