// SPDX-License-Identifier: BSD-3-Clause
// What clients' ordinary traffic tells about an export, for nothing: long WRITEs and WRITE_ZEROES
// that ran alone, and the FLUSHes behind them. Pure; the caller keeps it, locks it, passes time.
//
// It is second-hand evidence: what it was that the client wrote, and whether the range was a hole
// before, nobody knows. So it may take "fast" away and make "unknown" slow, and never makes "fast"
// (docs/zeroing.md, "Passive learning").
#ifndef ZERO_TRAFFIC_H
#define ZERO_TRAFFIC_H

#include <base/time.h>
#include <stdbool.h>
#include <stdint.h>
#include <zero/class.h>
#include <zero/fit.h>

// Shorter operations are mostly fixed cost.
#define TRAFFIC_FROM (1u << 20)

enum traffic_op {
    TRAFFIC_WRITE,
    TRAFFIC_ZERO,
    TRAFFIC_ZERO_NO_HOLE,
    TRAFFIC_OPS,
};

struct traffic_sample {
    uint64_t n;
    nstime took, at;
};

// The last ones, oldest overwritten.
struct traffic_series {
    struct traffic_sample v[FIT_POINTS];
    unsigned count, next;
};

struct traffic {
    struct traffic_series ops[TRAFFIC_OPS], flushes[TRAFFIC_OPS];
};

// An operation of n bytes took `took` with nothing else in flight; shorter ones than TRAFFIC_FROM
// are not kept.
void traffic_saw(struct traffic *t, enum traffic_op op, uint64_t n, nstime took, nstime now);
// A FLUSH alone in flight took `took`, and all that it had to carry were n bytes by this operation.
void traffic_saw_flush(struct traffic *t, enum traffic_op op, uint64_t n, nstime took, nstime now);

// Of one connection: what the next FLUSH has to carry, by how it was written. Its cost belongs to
// an operation only where there was nothing else.
struct traffic_unflushed {
    uint64_t bytes[TRAFFIC_OPS];
    bool muddled; // something else, too
};
void traffic_changed(struct traffic_unflushed *u, enum traffic_op op, uint64_t n);
// Nobody knows what is there to be flushed: an operation failed, was flushed on its own, or is of
// another kind.
void traffic_muddled(struct traffic_unflushed *u);
// A FLUSH has succeeded, with nothing else in flight or not. True: all that it carried were *n
// bytes by *op.
bool traffic_flushed(struct traffic_unflushed *u, bool alone, enum traffic_op *op, uint64_t *n);

// Address, size or flags have changed.
void traffic_forget(struct traffic *t);

// What a WRITE of n bytes costs, its share of the FLUSH included; false: not known well enough.
bool traffic_write_time(const struct traffic *t, uint64_t n, nstime now, double *ns);

// Of one class. `model` and `samples` are set unless it says nothing.
enum traffic_says traffic_judge(const struct traffic *t, bool no_hole, const struct zero_rules *r,
                                nstime now, struct zero_model *model, unsigned *samples);

#endif
