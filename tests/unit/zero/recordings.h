// SPDX-License-Identifier: BSD-3-Clause
// What ordinary traffic has cost at real servers (recordings/, written by `record`), and how it is
// learnt from as session/learning.c and export/judging.c do.
#ifndef UNIT_ZERO_RECORDINGS_H
#define UNIT_ZERO_RECORDINGS_H

#include <zero/traffic.h>

#define RECORDINGS_MOST 64u

enum trace_command { TRACE_READ, TRACE_WRITE, TRACE_ZERO, TRACE_TRIM, TRACE_FLUSH };

struct trace_line {
    nstime at, took;
    enum trace_command command;
    bool fast, no_hole, fua, error;
    uint64_t n;
    unsigned others; // outstanding beside it, at some time
};

// Of zeroes without and with NO_HOLE; UNKNOWN: too near to the limit.
struct trace {
    char name[256];
    enum zero_verdict truth[2];
    double write, zero[2]; // ns a byte with the FLUSH, as measured when nothing else ran
    bool load;             // recorded on a busy machine
    bool asked, liar;      // its own FAST_ZERO was asked for, and is slow
    bool noisy;            // the header says why its numbers cannot be held against anybody
    struct trace_line *lines;
    unsigned count;
};

// All of them, by name. A line that makes no sense fails the test.
unsigned traces_read(struct trace *t);
void traces_free(struct trace *t, unsigned count);

struct replay {
    struct traffic traffic;
    struct traffic_unflushed unflushed;
    unsigned news;    // operations since it was last judged
    unsigned counted; // operations that had something to teach
};

// One more request has completed. True: it is time to judge.
bool replay_saw(struct replay *r, const struct trace_line *l);
nstime replay_now(const struct trace_line *l);

#endif
