// SPDX-License-Identifier: BSD-3-Clause
// What was found out, for all who show it.
#ifndef PROBE_RESULT_H
#define PROBE_RESULT_H

#include "arguments.h"
#include "greeting.h"
#include "runner.h"

#include <zero/class.h>

#define RESULT_RUNS 9 // the most that may be asked for

struct result_run {
    struct probe probe;
    struct zero_finding finding;
    bool failed;
    struct runner_failure failure;
};

// One class: holes allowed, or NO_HOLE.
struct result_class {
    bool no_hole;
    struct zero_class class;
    struct result_run runs[RESULT_RUNS]; // thorough until one is fast
    unsigned n_runs;
    nstime took; // of all
};

struct result {
    const struct arguments *asked;
    struct server_facts facts;
    struct zero_rules rules;
    struct range range; // that was measured in
    struct result_class classes[2];
    unsigned n_classes;
    nstime ended;      // ring time
    char trouble[900]; // why it ended early; "": it did not
    bool damaged;
    struct range damage; // may be zeroes now, or half of them
    char rescue[64];     // the file that has what it was; "": none
};

// Cost of one operation at one level, for reports.
struct result_level {
    uint32_t size;
    unsigned samples;                            // 0: nothing was measured
    double write, flush_write, zero, flush_zero; // medians, ns
    bool compared;
    struct probe_contrast contrast;
};
struct result_level result_level(const struct probe *p, unsigned level);

// Lines through all levels of a probe, by their medians: to show. `ratio` is that of the slopes;
// negative: none.
struct zero_model result_fit(const struct probe *p);

// What the daemon would answer a FAST_ZERO request of n bytes, knowing this.
enum zero_verdict result_judge(const struct result *r, const struct result_class *c, uint64_t n);

// Of a verdict that is SLOW: the largest level, if it is larger than the one that decided and says
// FAST. Something may have disturbed the measurement. 0: none.
uint32_t result_contradicted(const struct probe *p);

// Words. All return buf.
#define RESULT_WORDS 600
const char *result_time(double ns, char *buf, size_t cap); // "1.23 ms"
// "fast", "fast from 84K on", "slow", "unknown".
const char *result_headline(const struct result *r, const struct result_class *c, char *buf,
                            size_t cap);
// The size from which on it is fast; 0: it is not, or not only from some size on.
uint64_t result_fast_from(const struct result *r, const struct result_class *c);
const char *result_why(const struct result *r, const struct result_class *c, char *buf, size_t cap);
const char *result_flags(uint16_t flags, char *buf, size_t cap); // "FLUSH FUA TRIM"
const char *result_failure(const struct runner_failure *f, char *buf, size_t cap);
const char *result_class_name(const struct result_class *c); // "no hole"

#endif
