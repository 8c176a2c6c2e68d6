// SPDX-License-Identifier: BSD-3-Clause
// The probe inside a request, as a machine: it asks for one operation, is told how that went and how
// long it took, and asks for the next. It holds no data: the caller keeps one chunk's bytes between
// PROBE_READ and PROBE_WRITE. Whatever happens, a chunk whose zero was sent is written back before the
// machine finishes, unless the upstream itself is gone (probe_lost()).
//
// Two modes. RESTORE: inside a FAST_ZERO request; contents and durability are as before when it ends.
// TEACH: inside a plain WRITE_ZEROES that will zero the range anyway; nothing to read or save, and
// PROBE_WRITE means zeroes.
#ifndef ZERO_PROBE_H
#define ZERO_PROBE_H

#include <base/range.h>
#include <base/time.h>
#include <stdbool.h>
#include <stdint.h>
#include <zero/class.h>
#include <zero/rules.h>

enum probe_mode { PROBE_RESTORE, PROBE_TEACH };

enum probe_want {
    PROBE_WANT_GUARD,   // hold everybody off [offset, length); every worker acknowledged. RESTORE only
    PROBE_WANT_STATUS,  // does the chunk lie in one allocated extent? (REQ_ONE base:allocation)
    PROBE_WANT_READ,    // the chunk into the caller's buffer; tell whether it is all zero
    PROBE_WANT_ZERO,    // WRITE_ZEROES of the chunk
    PROBE_WANT_CHECK,   // READ of the given piece of the chunk, and is it all zero?
    PROBE_WANT_WRITE,   // the chunk back from the buffer (TEACH: zeroes)
    PROBE_WANT_FLUSH,
    PROBE_WANT_UNGUARD, // let the others go on (always succeeds, at once)
    PROBE_WANT_WAIT,    // nothing until `deadline`, then report success: a write-back is tried again
    PROBE_WANT_FINISH,  // over: see probe_finding() and `ending`
};

struct probe_step {
    enum probe_want want;
    uint64_t offset;
    uint32_t length;
    nstime deadline; // GUARD, first FLUSH: report failure by then (the caller gives up waiting); 0: none
};

struct probe_outcome {
    uint32_t error; // NBD errno, 0 = good. GUARD, FLUSH: NBD_ENOTSUP = not by the deadline
    bool no;        // STATUS: a hole or zeroes or more than one extent. READ, CHECK: READ: all zero;
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

#define PROBE_LEVELS  4
#define PROBE_REPEATS 4

struct probe {
    enum probe_mode mode;
    struct zero_rules rules;
    struct range range;     // of the request
    uint32_t align;         // chunks begin at multiples of this
    bool has_status;        // STATUS may be asked
    nstime began, deadline; // the budget of probe-time
    uint64_t written;       // bytes, of the budget of probe-bytes
    uint64_t next_offset;   // where the next chunk begins
    unsigned level, repeat; // in work
    unsigned phase;         // what was asked last
    struct range chunk;     // in work
    bool altered;           // its zero was sent and it is not yet written back
    bool guarded, checked, aborted, failed, no_space, flush_owed;
    nstime retry_until, retry_at;
    struct {
        unsigned n;                                           // samples that counted
        nstime z[PROBE_REPEATS], fz[PROBE_REPEATS];           // zero, its flush
        nstime w[PROBE_REPEATS], fw[PROBE_REPEATS];           // write, its flush
    } levels[PROBE_LEVELS];
    nstime slowest_zero_per_mib, slowest_write_per_mib, slowest_flush; // for predictions
    enum probe_ending ending;
    struct range damaged;
    enum zero_verdict verdict;
    unsigned samples;
};

// The sizes of the levels, how often each is run; the largest is the buffer the caller must provide.
#define PROBE_LARGEST_CHUNK (16u << 20)

// `preferred`: the upstream's preferred block size, or 0.
void probe_begin(struct probe *p, enum probe_mode mode, const struct zero_rules *r,
                 struct range range, uint32_t preferred, bool has_status, nstime now);

// What to do now. Idempotent until probe_report().
struct probe_step probe_next(struct probe *p, nstime now);
// How the last step went.
void probe_report(struct probe *p, const struct probe_outcome *o, nstime now);

// The client is gone, or the process is to end: finish the chunk in work (write it back), start no
// other. Never decides FAST afterwards.
void probe_abort(struct probe *p);
// The upstream connection is gone: nothing more can be done. Sets the ending: DAMAGED if the chunk in
// work was altered, or its write-back not yet flushed; else REFUSED.
void probe_lost(struct probe *p);

// After PROBE_WANT_FINISH or probe_lost().
struct zero_finding probe_finding(const struct probe *p);

#endif
