// SPDX-License-Identifier: BSD-3-Clause
// All that is known about how fast one class zeroes. A class is an export (address, credentials,
// name, size, flags) with or without NO_HOLE. Pure: the caller keeps it, locks it, and passes time.
#ifndef ZERO_CLASS_H
#define ZERO_CLASS_H

#include <base/time.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zero/rules.h>

enum zero_verdict { ZERO_UNKNOWN, ZERO_SLOW, ZERO_FAST };

// Where a verdict comes from; interface.md has the words.
enum zero_source {
    ZERO_FROM_NOTHING,
    ZERO_FROM_PROBE,
    ZERO_FROM_TRAFFIC,
    ZERO_FROM_SAVED,
    ZERO_FROM_PIN,
    ZERO_FROM_UPSTREAM,
};

// t(n) = a + b*n, in nanoseconds, each including the FLUSH that follows.
struct zero_cost {
    double a, b;
};

struct zero_model {
    struct zero_cost write, zero;
    double ratio; // s, the ratio of the slopes
};

// What a probe found, for the class to believe or not.
struct zero_finding {
    enum zero_verdict verdict; // UNKNOWN: undecided, it teaches nothing
    bool has_model;            // costs were measured, whatever the verdict
    struct zero_model model;
    unsigned samples;
    bool error; // an operation failed: no probe for 30 min
};

// A request shorter than this carries no probe: its range has no room for the levels that decide.
#define ZERO_PROBE_FROM     (16u << 20)
#define ZERO_PROBES_AN_HOUR 5u

// Requests up to 1 MiB are sampled by A/B, a cell for each power of two from 512 bytes on; a length
// between two powers belongs to the larger.
#define ZERO_CELL_SMALLEST 9u
#define ZERO_CELL_LARGEST  20u
#define ZERO_CELLS         (ZERO_CELL_LARGEST - ZERO_CELL_SMALLEST + 1)
#define ZERO_SMALL         (1u << ZERO_CELL_LARGEST)
#define ZERO_CELL_SAMPLES  8u // of each arm

enum zero_arm { ZERO_ARM_ZERO, ZERO_ARM_WRITE };

struct zero_cell {
    enum zero_verdict verdict;
    nstime until;       // when a verdict ends
    nstime since;       // when it was made
    nstime refuse_for;  // the next refusal: 60 s doubling to 1 h
    uint8_t n[2];       // samples that counted, by arm
    uint8_t tries;      // requests served without knowing, counted or not
    uint8_t against;    // forwarded zeroes in a row that were no longer fast
    double zero, write; // medians in ns, when there is a verdict from enough samples
    nstime sample[2][ZERO_CELL_SAMPLES];
};

struct zero_class {
    enum zero_verdict verdict; // of the large sizes
    enum zero_source source;
    nstime since, until;     // made at; ends at (0: never)
    nstime refuse_for;       // the next SLOW: 60 s doubling to 30 min
    struct zero_model model; // valid while has_model
    bool has_model;
    unsigned samples;
    unsigned agreeing; // FAST findings in a row (two make a verdict)
    unsigned dear;  // findings in a row by which writing costs less than zeroing (two are believed)
    unsigned cheap; // and by which it does not
    nstime probes[ZERO_PROBES_AN_HOUR]; // when the last ones began (0: none)
    unsigned next_probe;
    nstime no_probe_before; // after an errored one
    nstime watch_from;      // re-checking of forwarded zeroes: when the second in work began,
    nstime watch_to;        // the last zero in it ended,
    nstime watch_busy;      // how much of it zeroes were in flight,
    double watch_allowed;   // and how much they may have been
    nstime next_flush;      // when a forwarded zero is next followed by a timed FLUSH
    struct zero_cell cells[ZERO_CELLS];
};

void zero_class_begin(struct zero_class *c);
// Everything learnt is void: address, size or flags changed, or the upstream dropped everyone. What
// limits probing stays: a flapping upstream must not be probed at every return.
void zero_class_forget(struct zero_class *c);

enum zero_advice {
    ZERO_FORWARD, // known fast at this size
    ZERO_REFUSE,  // known slow, or unknown and not to be found out now: ENOTSUP
    ZERO_PROBE,   // unknown, and this request is one that could carry a probe, as far as the class
                  // can tell (size, hourly allowance); without a probe: ENOTSUP
    ZERO_SAMPLE,  // unknown and small: serve it by zero_class_next_arm(), if all is quiet; else
                  // ENOTSUP
};

// A FAST_ZERO request of `length` bytes has come (decisions 5 to 7 of docs/zeroing.md, policy
// measure).
enum zero_advice zero_class_judge(struct zero_class *c, const struct zero_rules *r, uint64_t length,
                                  nstime now);

// Should this plain WRITE_ZEROES carry a probe with nothing to save? (16 MiB or more, unknown)
bool zero_class_wants_teaching(struct zero_class *c, const struct zero_rules *r, uint64_t length,
                               nstime now);

// A probe begins: counts against the hour.
void zero_class_probe_begins(struct zero_class *c, nstime now);
void zero_class_learn(struct zero_class *c, const struct zero_rules *r,
                      const struct zero_finding *f, nstime now);

// When whoever may measure whenever he likes should do so: `now` or later; 0: never, a verdict
// stands for good. Before FAST ends, so that clients meet no gap; when SLOW has ended.
nstime zero_class_due(struct zero_class *c, nstime now);
// What was found out about `from` goes for c, too: an administrator says that both are one storage.
// What c knows that is newer stays.
void zero_class_borrow(struct zero_class *c, const struct zero_class *from);

// Should a plain WRITE_ZEROES of this length be served by WRITE? Only where both are known.
bool zero_class_write_is_cheaper(struct zero_class *c, const struct zero_rules *r, uint64_t length,
                                 nstime now);

// What passive learning says of this class (zero/traffic.h): takes FAST away, makes unknown SLOW.
enum traffic_says {
    TRAFFIC_NOTHING,  // too little, too old, or it looks fast, which proves nothing
    TRAFFIC_NOT_FAST, // zeroing a byte costs more than the ratio allows: a fast verdict must go
    TRAFFIC_SLOW,     // by so much that it would be slow in a probe's eyes, too
};
// `model` and `samples` are looked at where it says SLOW.
void zero_class_traffic(struct zero_class *c, enum traffic_says says,
                        const struct zero_model *model, unsigned samples, nstime now);

// The sample to take next for a small request: call only after ZERO_SAMPLE; counts a try.
enum zero_arm zero_class_next_arm(struct zero_class *c, uint64_t length);
// It took `took`, its FLUSH included. `clean`: nothing disturbed the measurement, and no error.
void zero_class_sampled(struct zero_class *c, const struct zero_rules *r, uint64_t length,
                        enum zero_arm arm, nstime took, bool clean, nstime now);

// One piece of a forwarded zero took `took` (sent after FORWARD, or after a probe that ended
// PROCEED); may take the verdict back. An error is not a slow zero: don't report it; nor a piece
// that had to queue behind other commands than zeroes of its class. A piece that agrees prolongs
// the verdict.
void zero_class_zeroed(struct zero_class *c, const struct zero_rules *r, uint64_t length,
                       nstime took, nstime now);
// Once a minute: time a FLUSH behind the forwarded zero and report zero and FLUSH together (the
// zero alone where the FLUSH had writes of others to carry: that proves nothing). True once a
// minute.
bool zero_class_wants_flush(struct zero_class *c, nstime now);

// What outlives the process: SLOW, the model, and how long the next SLOW will be believed; never
// FAST. Times are what is left of them, for the next process has another clock.
struct zero_saved {
    bool slow;
    nstime slow_age, slow_left;
    nstime refuse_for;
    struct zero_model model; // valid while has_model
    bool has_model;
    unsigned samples;
};
// False: there is nothing worth saving.
bool zero_class_save(struct zero_class *c, nstime now, struct zero_saved *out);
// Could it have been saved? A file can hold anything.
bool zero_saved_is_sensible(const struct zero_saved *s);
// Into a class that has just begun; it was saved `ago`. False, and nothing is taken: it makes no
// sense.
bool zero_class_restore(struct zero_class *c, const struct zero_saved *s, nstime ago, nstime now);

// For people: one row for each thing known. Fills at most `max` rows, returns how many.
struct zero_row {
    uint64_t bytes_from, bytes_to; // inclusive; UINT64_MAX: no end
    enum zero_verdict verdict;
    enum zero_source source;
    nstime since;
    double ratio; // negative: none
    unsigned samples;
};
#define ZERO_ROWS (ZERO_CELLS + 2)
unsigned zero_class_rows(struct zero_class *c, const struct zero_rules *r, nstime now,
                         struct zero_row *rows, unsigned max);

const char *zero_verdict_name(enum zero_verdict v); // "fast", "slow", "unknown"
const char *zero_source_name(enum zero_source s);   // as interface.md spells them; "" for nothing

// Zero and write cost at n bytes, the zero counted with its pieces of at most `piece` bytes.
double zero_model_zero_time(const struct zero_model *m, uint64_t n, uint64_t piece);
double zero_model_write_time(const struct zero_model *m, uint64_t n);
// By enough that it is no accident.
bool zero_model_write_is_cheaper(const struct zero_model *m, uint64_t n, uint64_t piece);
bool zero_model_fast(const struct zero_model *m, const struct zero_rules *r, uint64_t n);

#endif
