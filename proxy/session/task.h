// SPDX-License-Identifier: BSD-3-Clause
// A task: a request of the client that takes several steps upstream. One step is upstream at a
// time; it has a slot like any other request, and its reply comes back here instead of going to the
// client.
#ifndef SESSION_TASK_H
#define SESSION_TASK_H

#include "session.h"

#include <zero/probe.h>

struct task;

struct task_kind {
    const char *name;
    // The step is over with this error (mapped for the wire), 0 = good. The task goes on, or ends
    // itself.
    void (*stepped)(struct task *t, uint32_t error);
    // The upstream connection is gone; no step is upstream any more. Must answer and end the task.
    void (*lost)(struct task *t);
    // The client has left or must leave: end early where that is safe. May be NULL.
    void (*client_leaves)(struct task *t);
};

// What a WRITE step writes. READ: DATA keeps what it brings in the task's data.
enum step_source { STEP_NOTHING, STEP_ZEROES, STEP_DATA };

struct step {
    uint16_t type, flags;
    uint64_t offset;
    uint32_t length;
    enum step_source source;
    uint32_t data_at; // STEP_DATA, and READ: where in the task's data
};

struct task {
    struct task *next, *prev; // of the session's
    struct session *s;
    const struct task_kind *kind;
    struct request request; // as the client sent it
    nstime began;
    bool answered; // the client has its reply; the task only waits for its step

    // The step in work.
    struct step step;
    bool waiting;                         // it cannot be sent yet
    struct slot *slot;                    // it is upstream
    struct buf *data;                     // chunk of a probe, and of reads
    bool all_zero;                        // what a READ brought
    uint32_t extent_length, extent_flags; // what BLOCK_STATUS brought
    bool extent_known;
    nstime sent_at, took;
    uint64_t sent_count, sent_here;
    bool clean; // nothing disturbed the measurement
    bool alone; // nothing else was on this upstream connection

    struct timer timer;

    union {
        struct {
            uint64_t next, end;
            bool fast;     // of a known fast class
            bool altered;  // something has been zeroed
            bool by_write; // up to `write_until`, for its WRITE_ZEROES failed
            uint64_t write_until;
            bool flushing;
            nstime zero_took; // of the piece before the FLUSH
            uint32_t zero_length;
        } zero;
        struct {
            enum zero_arm arm;
            bool flushing;
            nstime took;
            bool clean;
        } sample;
        struct {
            enum zero_advice advice;
            unsigned reads;
            bool flushing;
        } blank;
        struct {
            struct probe *machine;
            struct guard_ask *ask; // the chunk's guard, asked for or held
            bool asking, held;
            struct guard guard;
            struct probe_step want; // in work, in parts of what upstream takes in one message
            uint32_t done;          // bytes of it
            unsigned status_parts;
            bool written_back;    // the chunk, since its zero
            nstime sent_at;       // its first part
            bool clean, all_zero; // of its parts so far
            nstime began;
            struct timer gone; // the client is: an operation that outlasts this is given up
        } probe;
    } u;
};

// tasks.c ---------------------------------------------------------------------------------
// A task for an admitted request, which it counts in flight. NULL: out of memory.
struct task *task_new(struct session *s, const struct request *r, const struct task_kind *kind,
                      nstime began);
// Takes a step as soon as it can be taken.
void task_step(struct task *t, const struct step *step);
// Answers the client, once; the task lives on until task_end().
void task_answer(struct task *t, uint32_t error);
// Ends it. It must have been answered. If a step is upstream it is only let go of when that is
// over.
void task_end(struct task *t);

// What comes back, from replies.c.
void task_data(struct task *t, uint64_t offset, const uint8_t *p, size_t n); // p NULL: zeroes
void task_extent(struct task *t, uint32_t length, uint32_t flags);
void task_reply(struct task *t, uint32_t error);

// For the session.
void tasks_run(struct session *s); // sends the steps that can be sent now
void tasks_client_leaves(struct session *s);
void tasks_upstream_lost(struct session *s); // answers and ends all
void tasks_drop(struct session *s);          // ends all, nobody is to be answered

// task_zero.c: zeroes [request] in pieces, by WRITE_ZEROES or WRITE; answers when all is done.
void task_zero_begin(struct session *s, const struct request *r, bool fast, nstime began);
// Turns a task of another kind into this one.
void task_becomes_zero(struct task *t, bool fast);

// task_sample.c: serves a small request by one arm of the A/B comparison.
void task_sample_begin(struct session *s, const struct request *r, nstime began);

// task_blank.c: decision 4: is all of it zero already? If not, does what `advice` says.
void task_blank_begin(struct session *s, const struct request *r, enum zero_advice advice,
                      nstime began);

extern const struct task_kind task_probe_kind;
// task_probe.c: measures inside the request. False: not allowed now, nothing has been done.
bool task_probe_begin(struct session *s, const struct request *r, nstime began);

// zeroing.c: what to do with a FAST_ZERO request whose class says `advice`.
void zeroing_follow(struct session *s, const struct request *r, enum zero_advice advice,
                    nstime began);

#endif
