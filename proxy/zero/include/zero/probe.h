// SPDX-License-Identifier: BSD-3-Clause
// The probe inside a request, as a machine: it asks for one operation, is told how that went and
// how long it took, and asks for the next. It holds no data: the caller keeps one chunk's bytes
// between PROBE_WANT_READ and PROBE_WANT_WRITE. Whatever happens, a chunk whose zero was sent is
// written back before the machine finishes, unless the upstream itself is gone (probe_lost()).
//
// Three modes. RESTORE: inside a FAST_ZERO request; contents and durability are as before when it
// ends. TEACH: inside a plain WRITE_ZEROES that will zero the range anyway; nothing to read or
// save, and PROBE_WANT_WRITE means zeroes. SCRATCH: in a range that may be overwritten; each chunk
// is first filled, PROBE_WANT_WRITE means random bytes, and there is a level of 64 MiB.
// docs/zeroing.md has the picture and the reasons.
#ifndef ZERO_PROBE_H
#define ZERO_PROBE_H

#include <base/range.h>
#include <base/time.h>
#include <stdbool.h>
#include <stdint.h>
#include <zero/class.h>
#include <zero/rules.h>

enum probe_mode { PROBE_RESTORE, PROBE_TEACH, PROBE_SCRATCH };

enum probe_want {
    PROBE_WANT_GUARD,  // hold everybody off [offset, length); every worker acknowledged. Not TEACH
    PROBE_WANT_STATUS, // does the chunk lie in one allocated extent? (REQ_ONE base:allocation)
    PROBE_WANT_READ,   // the chunk into the caller's buffer; tell whether it is all zero
    PROBE_WANT_ZERO,   // WRITE_ZEROES of the chunk
    PROBE_WANT_CHECK,  // READ of the given piece of the chunk, *not* into the buffer: all zero?
    PROBE_WANT_WRITE,  // the chunk back from the buffer (TEACH: zeroes; SCRATCH: random bytes)
    PROBE_WANT_FLUSH,
    PROBE_WANT_UNGUARD, // let the others go on (always succeeds, at once)
    PROBE_WANT_WAIT,   // nothing until `deadline`, then report success: a write-back is tried again
    PROBE_WANT_FINISH, // over: see probe_finding() and `ending`
};

// An operation longer than the upstream takes in one message (its maximum block size; max-zero) is
// split by the caller; `took` is then from the first submission to the last reaping, and the first
// error wins.
struct probe_step {
    enum probe_want want;
    uint64_t offset;
    uint32_t length;
    nstime deadline; // GUARD, first FLUSH: report failure by then (the caller gives up waiting); 0:
                     // none
};

// The two error numbers of the protocol that mean something to the machine (spec: "Error values").
#define PROBE_ENOSPC 28u // thin storage is full: no more probes until an administrator says so
#define PROBE_LATE   95u // NBD_ENOTSUP: GUARD or the first FLUSH was not done by its deadline

struct probe_outcome {
    uint32_t error; // NBD errno, 0 = good. GUARD, first FLUSH: PROBE_LATE = not by the deadline
    bool no;        // STATUS: a hole or zeroes or more than one extent. READ: all zero.
                    // CHECK: not all zero
    nstime took;    // submission to reaping
    bool clean;     // the measurement was not disturbed
};

// How the request that carried the probe is to be answered.
enum probe_ending {
    PROBE_REFUSED, // contents are as they were: ENOTSUP (TEACH: simply go on zeroing)
    PROBE_PROCEED, // found fast: zero the whole range
    PROBE_DAMAGED, // something could not be written back or flushed: EIO; see `damaged`
};

// The timed operations of one chunk, in their order.
enum probe_op {
    PROBE_OP_READ, // SCRATCH: the fill and its flush. Only to know how long a chunk will take
    PROBE_OP_ZERO,
    PROBE_OP_FLUSH_ZERO,
    PROBE_OP_WRITE,
    PROBE_OP_FLUSH_WRITE,
    PROBE_OPS,
};

#define PROBE_LEVELS  5
#define PROBE_REPEATS 3

// What was seen of one level, of samples that counted.
struct probe_level {
    unsigned n;
    nstime took[PROBE_OPS][PROBE_REPEATS];
};

// The cost of one operation at one level, disturbed or not: for predictions.
struct probe_seen {
    bool any;
    nstime least, most;
};

// Why no further chunk is taken.
enum probe_stop {
    PROBE_GOES_ON,
    PROBE_ALL_LEVELS, // the last level is complete
    PROBE_NO_BUDGET,  // probe-time or probe-bytes is spent
    PROBE_NO_RANGE,   // the request has no room for the next chunk
    PROBE_DISTURBED,  // too many samples did not count
    PROBE_NO_GUARD,   // the chunk could not be guarded in time
};

// What made the verdict: the rule of probe_verdict.c.
enum probe_why {
    PROBE_WHY_NOTHING,      // there is none; `stop` or `failed` says why
    PROBE_WHY_SLOPE_ANY,    // SLOW: a zeroed byte costs nearly what a written one costs
    PROBE_WHY_SLOPE,        // SLOW: it costs clearly more than R allows
    PROBE_WHY_FLUSH,        // SLOW: the zeroes are paid for in the flush
    PROBE_WHY_CHEAP,        // FAST: it costs clearly less than R
    PROBE_WHY_CHEAP_AT_END, // FAST: less than R, with nothing larger to come
    PROBE_WHY_FLAT,         // SLOW: writing more costs no more; there is nothing to compare with
    PROBE_WHY_SLOPE_AT_END, // SLOW: not less than R, with nothing larger to come
    PROBE_WHY_SPREAD,       // SLOW: one of the zeroes was far slower than the others
    PROBE_WHY_NO_GAIN,      // SLOW: the fixed cost of a zero eats what it saves
    PROBE_WHY_NO_TIME,      // SLOW: too slow for 4 MiB in time, or within the bytes
};

// Readable by the caller: ending, damaged, flush_owed, no_space, written; for reports: level,
// levels, stop, why, decided. The rest is the machine's.
struct probe {
    enum probe_mode mode;
    struct zero_rules rules;
    struct range range;     // of the request
    uint32_t align;         // chunks begin at multiples of this
    bool has_status;        // STATUS may be asked
    bool thorough;          // go on when the verdict is known
    nstime began, deadline; // the budget of probe-time
    uint64_t written;       // bytes, of the budget of probe-bytes
    uint64_t next_offset;   // where the next chunk begins
    unsigned skips;         // chunks skipped in a row
    unsigned level, runs;   // level in work; its chunks so far, counted or not
    unsigned phase;         // see probe.c
    struct probe_step step; // what to do now
    enum probe_stop stop;

    struct range chunk;              // in work
    nstime took[PROBE_OPS];          // of its operations
    bool clean;                      // none of them was disturbed
    bool skip;                       // nothing stored there: not used
    bool altered;                    // its zero was sent; not yet written back and flushed
    nstime retry_until, retry_pause; // of a failed write-back

    bool checked; // the first zero did read as zeroes
    bool aborted; // start no other chunk
    nstime
        write_by;  // aborted because the client left: a write-back must start by then; 0: any time
    bool failed;   // an operation failed
    bool no_space; // one of them with ENOSPC
    bool flush_owed; // a FLUSH of ours failed: writers must hear of it
    struct probe_level levels[PROBE_LEVELS];
    struct probe_seen seen[PROBE_LEVELS][PROBE_OPS];
    nstime quickest; // the quickest operation: what a round trip costs at most; 0: none yet

    enum probe_ending ending;
    struct range damaged;
    enum zero_verdict verdict;
    enum probe_why why;
    nstime decided; // when; 0: not
    unsigned decided_level;
    bool has_model;
    struct zero_model model;
};

// The largest level is the buffer the caller must provide.
#define PROBE_LARGEST_CHUNK   (16u << 20)
#define PROBE_LARGEST_SCRATCH (64u << 20)

// `preferred`: the upstream's preferred block size, or 0.
void probe_begin(struct probe *p, enum probe_mode mode, const struct zero_rules *r,
                 struct range range, uint32_t preferred, bool has_status, nstime now);

// Right after probe_begin(): measure all levels that budget and range have room for, also when the
// verdict is known already. It stays what it was, and so does its model: the rest is to be looked
// at.
void probe_be_thorough(struct probe *p);

// What to do now. Idempotent until probe_report(). A ZERO that was handed out counts as sent.
struct probe_step probe_next(struct probe *p, nstime now);
// How the last step went.
void probe_report(struct probe *p, const struct probe_outcome *o, nstime now);

// The process is to end: finish the chunk in work (write it back), start no other. The step that
// was handed out stays to be reported. Never decides FAST afterwards.
void probe_abort(struct probe *p);
// The client is gone: as probe_abort(), but the write-back must start within PROBE_CLIENT_GONE of
// `now`, or the chunk is given up (DAMAGED). A caller whose operation in flight outlasts that
// closes the upstream connection and calls probe_lost().
#define PROBE_CLIENT_GONE NS_PER_SEC
void probe_client_gone(struct probe *p, nstime now);
// The upstream connection is gone: nothing more can be done. Sets the ending: DAMAGED if the chunk
// in work was altered, or its write-back not yet flushed; else REFUSED.
void probe_lost(struct probe *p);

// After PROBE_WANT_FINISH or probe_lost().
struct zero_finding probe_finding(const struct probe *p);

// Why the verdict is what it is, in one word: for statistics.
#define PROBE_REASONS (PROBE_WHY_NO_TIME + PROBE_NO_GUARD + 2u)
unsigned probe_reason(const struct probe *p);   // below PROBE_REASONS
const char *probe_reason_name(unsigned reason); // "zero-costs-as-write", ...

// For reports. What the levels are; how many this probe has.
uint32_t probe_level_size(unsigned level);
unsigned probe_levels(const struct probe *p);

// What a level says against the 64 KiB one, each cost with its flush, minima over samples.
struct probe_contrast {
    bool steep;    // dW stands out from the fixed cost: the rest means something
    bool gain;     // zeroing takes less than 0.9 of writing
    bool has_fs;   // flushing costs enough to be compared
    double dw;     // ns
    double s;      // dZ/dW
    double s_high; // the same of the slowest zero
    double fs;     // the same of the flushes alone
};
// False: the level (not 0) is not complete, or 64 KiB is not.
bool probe_compare(const struct probe *p, unsigned level, struct probe_contrast *k);
// Would this level alone, as the last one, say FAST?
bool probe_level_fast(const struct probe *p, unsigned level);
// Would it, but for one zero that was far slower than the others?
bool probe_level_leans_fast(const struct probe *p, unsigned level);

#endif
