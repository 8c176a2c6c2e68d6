// SPDX-License-Identifier: BSD-3-Clause
// What the files of this room tell each other and nobody else.
#ifndef ZERO_PARTS_H
#define ZERO_PARTS_H

#include <zero/class.h>
#include <zero/probe.h>

// A fast verdict ends so long after the last zero that agreed.
#define CLASS_FAST_FOR (10 * NS_PER_MIN)
// SLOW is believed at once, so long, and double the next time.
#define CLASS_SLOW_FIRST NS_PER_MIN
#define CLASS_SLOW_MOST  (30 * NS_PER_MIN)

// class.c: ends what has run out. Every question to a class begins with it.
void class_settle(struct zero_class *c, nstime now);
// class.c: the verdict and what led to it are void; the next probe starts from nothing.
void class_doubt(struct zero_class *c);
// class.c: the limit now (`*limit` ns) and its double next time, up to `most`.
nstime class_double(nstime *limit, nstime most);

// cells.c. NULL: too long to be sampled.
struct zero_cell *cell_of(struct zero_class *c, uint64_t length);
void cell_begin(struct zero_cell *cell);
void cell_settle(struct zero_cell *cell, nstime now);
// May one more request be served without knowing? If not, it has a verdict now.
bool cell_may_sample(struct zero_cell *cell, nstime now);
// A zero was forwarded on this cell's own verdict.
void cell_zeroed(struct zero_cell *cell, nstime took);

// watch.c: the re-check begins anew.
void watch_begin(struct zero_class *c);

// probe_budget.c. The levels: size, and samples wanted.
extern const uint32_t probe_sizes[PROBE_LEVELS];
extern const unsigned probe_repeats[PROBE_LEVELS];
void budget_saw(struct probe *p, enum probe_op op, nstime took);
// Would everything from `first` to the end of the chunk be over by the deadline?
bool budget_fits(const struct probe *p, enum probe_op first, nstime now);

// probe_chunks.c. The last level of this probe's mode.
unsigned last_level(const struct probe *p);
// Takes the next chunk; false: there is none, and `stop` says why.
bool chunk_take(struct probe *p, nstime now);
// Nothing is stored in this one: it teaches nothing.
void chunk_skip(struct probe *p);
// The chunk was measured and is as it was. A verdict, or UNKNOWN: go on, or ask verdict_at_end()
// where `stop` is set.
enum zero_verdict chunk_count(struct probe *p);

// probe_verdict.c. Is a level complete?
bool level_complete(const struct probe *p, unsigned level);
// The level just completed decides, or UNKNOWN: go on. Keeps the model,
// and what decided.
enum zero_verdict verdict_after_level(struct probe *p, unsigned level);
// No further chunk is taken: what to make of what was seen.
enum zero_verdict verdict_at_end(struct probe *p);

#endif
