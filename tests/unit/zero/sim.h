// SPDX-License-Identifier: BSD-3-Clause
// A model upstream under a virtual clock: a disk whose contents and durability are known, costs
// given by formulas, faults on demand; and a driver that runs a probe against it and watches every
// step.
#ifndef SIM_H
#define SIM_H

#include <zero/probe.h>

#define SIM_UNIT   (64u << 10)
#define SIM_UNITS  1280u // 80 MiB
#define SIM_RANDOM 0xee  // what a scratch probe writes

// fix + step for every begun `step_bytes` + per_byte * n, in ns.
struct sim_cost {
    double fix, step;
    uint32_t step_bytes;
    double per_byte;
};

struct sim_truth {
    const char *name;
    struct sim_cost read, write, zero;
    double flush_fix;
    double flush_write, flush_zero; // ns for each byte written, zeroed since the last flush
    double first_touch;             // ns a byte, once for each unit (clones, thin volumes)
    double first_write;             // the same, only where a write comes first
    double zero_data;               // ns a byte, only where data is stored (not in holes)
    enum zero_verdict truth;
    bool fast_64k; // what the model must say of 64 KiB when the verdict is fast
};

enum sim_effect { SIM_NOTHING, SIM_HALF, SIM_ALL }; // of an operation that reports an error

struct sim {
    const struct sim_truth *t;
    struct zero_rules rules;
    nstime now;
    uint64_t random;
    double noise;           // 0: none
    unsigned unclean_every; // every n-th operation is disturbed; 0: none
    bool has_status, thorough;
    uint32_t preferred;

    // Faults: operations are counted from 1, guards and waits included.
    unsigned fail_at, fail_count; // so many from there on
    enum probe_want fail_only;    // with fail_only_set: count only operations of this kind
    bool fail_only_set;
    uint32_t error;
    enum sim_effect effect;
    bool zero_lies; // says it zeroed, and did not
    unsigned abort_at, gone_at, lost_at;
    nstime slow_first_flush, slow_guard; // how long those take
    unsigned slow_at;                    // this operation takes slow_by longer
    nstime slow_by;

    uint8_t disk[SIM_UNITS], durable[SIM_UNITS], original[SIM_UNITS]; // 0 = zeroes
    bool dirty[SIM_UNITS], hole[SIM_UNITS], touched[SIM_UNITS];
    double unflushed_write, unflushed_zero;

    // What happened.
    bool scratch; // the mode
    unsigned ops, matching, checks, flushes, writes, zeroes, guards, holes_zeroed;
    uint64_t bytes_written;
    nstime first_write_failure, last_write_start;
    uint8_t buffer[PROBE_LARGEST_CHUNK / SIM_UNIT];
    struct range buffered, guarded, zeroed;
    bool is_guarded, first_flush_done, flush_failed;
};

void sim_begin(struct sim *s, const struct sim_truth *t, uint64_t seed);
void sim_hole(struct sim *s, unsigned from, unsigned to);
uint64_t sim_random(struct sim *s);

// Runs a probe to its end and checks what must always hold: guards, bounds, alignment, budget of
// bytes, contents and durability as the ending says. `what` names the run in messages.
void sim_run(struct sim *s, struct probe *p, enum probe_mode mode, struct range range,
             const char *what);

// The cost of a zero of n bytes with nothing else going on.
nstime sim_zero_time(struct sim *s, uint64_t n);

#define MIB       (UINT64_C(1) << 20)
#define SIM_WHOLE ((struct range){.offset = 0, .length = SIM_UNITS * (uint64_t)SIM_UNIT})

#endif
