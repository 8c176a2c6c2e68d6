// SPDX-License-Identifier: BSD-3-Clause
// A task: a request of the client that takes several steps upstream. One step is upstream at a
// time; it has a slot like any other request, and its reply comes back here instead of going to the
// client. What should go side by side is split into pieces, each of them a task (task_split.c).
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
    // BLOCK_STATUS has brought an extent of s->contexts[context]. NULL: the first one of
    // base:allocation is kept, others are not of interest.
    void (*extent)(struct task *t, unsigned context, const struct extent *e);
    // The payload that session_gather() was asked for is there. May be NULL.
    void (*payload_done)(struct task *t);
    // The upstream connection is gone; no step is upstream any more. Must answer and end the task.
    // Not called for pieces.
    void (*lost)(struct task *t);
    // The client has left or must leave: end early where that is safe. May be NULL.
    void (*client_leaves)(struct task *t);
    bool repairs; // t->u.repair is what it works with
};

// What a WRITE step writes. READ: DATA keeps what it brings in the task's data.
enum step_source { STEP_NOTHING, STEP_ZEROES, STEP_DATA };

struct step {
    uint16_t type, flags;
    uint64_t offset;
    uint64_t length; // what goes to upstream in one message: 32 bits but for extended headers
    enum step_source source;
    uint32_t data_at; // STEP_DATA, and READ: where in the task's data
};

// block-size = repair (task_repair.h).
enum repair_stage {
    REPAIR_GATHERING, // the payload of a WRITE
    REPAIR_READING,
    REPAIR_WRITING,
    REPAIR_FLUSHING,
};

struct repair {
    enum repair_stage stage;
    uint64_t extra;            // counted in in_flight_bytes, beyond the payload
    struct range change, span; // bytes that change; whole blocks around them, or to do yet
    struct range reads[2];     // what must be read of the span first
    unsigned n_reads, n_reads_done;
    uint32_t scratch;      // where in the data it is read to
    uint64_t done;         // bytes of the span
    struct range edges[2]; // of a WRITE_ZEROES
    unsigned n_edges, n_edges_done;
    struct guard guard;
    struct guard_ask *ask; // asked for or held
    bool queued, counted;  // waits to ask; is one of the session's `repairs`
};

// A range that is served in pieces, side by side.
struct split {
    bool active, busy;
    uint64_t next, end; // not begun yet
    uint32_t longest;   // a piece; they end at its absolute multiples
    unsigned pieces;    // begun and not over
    uint32_t error;     // the first
    void (*begin)(struct task *piece);
    void (*over)(struct task *t, uint32_t error);
};

struct task {
    struct task *next, *prev; // of the session's, the newest first
    struct session *s;
    const struct task_kind *kind;
    struct request request; // as the client sent it
    nstime began;
    bool answered;      // the client has its reply; the task only waits for its step
    bool wrote;         // client_wrote() has been told
    struct task *whole; // this is a piece of that task, which is answered for it
    struct split split;
    const struct guard *guard; // held: no other guard stops its steps in there

    // The step in work.
    struct step step;
    bool waiting;           // it cannot be sent yet
    struct slot *slot;      // it is upstream
    struct buf *data;       // chunk of a probe, and of reads
    bool all_zero;          // what a READ brought
    uint64_t extent_length; // what BLOCK_STATUS brought
    uint32_t extent_flags;
    bool extent_known;
    nstime sent_at, took;
    uint64_t sent_here;
    bool clean; // nothing disturbed the measurement
    bool alone; // nothing else was on this upstream connection

    struct timer timer;

    union {
        struct {
            uint64_t next, end;
            bool fast;     // of a known fast class
            bool cheapest; // written, because that is known to be cheaper
            bool altered;  // something has been zeroed
            bool by_write; // up to `write_until`, for its WRITE_ZEROES failed
            uint64_t write_until;
            bool flushing;    // to see what that costs
            nstime zero_took; // of the piece before the FLUSH
            uint32_t zero_length;
            bool syncing; // the FLUSH that the client has asked for
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
        struct repair repair;
    } u;
};

// tasks.c ---------------------------------------------------------------------------------
// A task for an admitted request, which it counts in flight (of READ and WRITE the bytes, too).
// NULL: out of memory.
struct task *task_new(struct session *s, const struct request *r, const struct task_kind *kind,
                      nstime began);
// As that, for a request that is counted already.
struct task *task_adopt(struct session *s, const struct request *r, const struct task_kind *kind,
                        nstime began);
// Takes a step as soon as it can be taken.
void task_step(struct task *t, const struct step *step);
// Answers the client, once; the task lives on until task_end().
void task_answer(struct task *t, uint32_t error);
// As that, where error and session do not say how the request ended.
void task_answer_as(struct task *t, uint32_t error, enum request_ending ending);
// As that, for a READ that went well: with the request's length of the task's data, from `at`.
// Only from stepped().
void task_answer_data(struct task *t, uint32_t at);
// Ends it. It must have been answered. If a step is upstream it is only let go of when that is
// over.
void task_end(struct task *t);

// What comes back, from replies.c.
void task_data(struct task *t, uint64_t offset, const uint8_t *p, size_t n); // p NULL: zeroes
bool task_wants_extents(const struct task *t, unsigned context);
void task_extent(struct task *t, unsigned context, const struct extent *e);
void task_reply(struct task *t, uint32_t error);

// For the session.
void tasks_run(struct session *s); // sends the steps that can be sent now
void tasks_client_leaves(struct session *s);
void tasks_upstream_lost(struct session *s);          // answers and ends all
void tasks_answer(struct session *s, uint32_t error); // those that the client waits for
void tasks_drop(struct session *s);                   // ends all, nobody is to be answered

// task_flush.c: FUA where upstream has only FLUSH. Must this task end with one?
bool task_flush_wanted(const struct task *t);
// Takes that step. All else that the request writes must be done.
void task_flush(struct task *t);
// What the client is told of it.
uint32_t task_flushed(struct task *t, uint32_t error);
// For a request that has been passed on, is counted in flight, and told to client_wrote().
void task_flush_begin(struct session *s, const struct request *r, nstime began);

// task_split.c: the range in pieces, as many at a time as is fair. Each is begun by begin(piece),
// whose request says what it is, and ends by task_piece_over(); the first error stops the rest.
// Behind the last one comes over(t, error).
#define PIECES 16u
void task_split(struct task *t, struct range range, uint32_t longest,
                void (*begin)(struct task *piece), void (*over)(struct task *t, uint32_t error));
void task_split_more(struct task *t); // begins what can be begun now
void task_piece_over(struct task *piece, uint32_t error);
void task_piece_lost(struct task *piece); // the whole is lost, too

// task_read.c: a READ that is answered in one message, though upstream may send many.
void task_read_begin(struct session *s, const struct request *r, nstime began);

// task_advice.c: TRIM and CACHE that cannot go upstream as they are.
bool task_advice_wanted(const struct session *s, const struct request *r);
void task_advice_begin(struct session *s, const struct request *r, nstime began);

// The longest piece of zeroes that is served by WRITE: long enough to keep a disk busy, short
// enough to share a connection. Two of them are in flight at once.
#define ZERO_WRITE_PIECE (4u << 20)

// task_zero.c: zeroes [request] in pieces, by WRITE_ZEROES or WRITE; answers when all is done.
void task_zero_begin(struct session *s, const struct request *r, bool fast, nstime began);
// A plain one, by WRITE, which is known to be cheaper here.
void task_zero_begin_cheapest(struct session *s, const struct request *r, nstime began);
// Turns a task of another kind into this one.
void task_becomes_zero(struct task *t, bool fast);
// As that, for a part of the request, the rest of which has been zeroed: what is left can not be
// refused any more.
void task_becomes_zero_of(struct task *t, struct range part);

// task_sample.c: serves a small request by one arm of the A/B comparison.
void task_sample_begin(struct session *s, const struct request *r, nstime began);

// task_blank.c: decision 4: is all of it zero already? If not, does what `advice` says.
void task_blank_begin(struct session *s, const struct request *r, enum zero_advice advice,
                      nstime began);

// task_repair.c: an unaligned request, widened to whole blocks. Its header has been taken; of a
// WRITE the payload is still to come.
void task_repair_begin(struct session *s, const struct request *r, nstime began);

extern const struct task_kind task_probe_kind;
// task_probe.c: measures inside the request. False: not allowed now, nothing has been done.
bool task_probe_begin(struct session *s, const struct request *r, nstime began);

// zeroing.c: what to do with a FAST_ZERO request whose class says `advice`.
void zeroing_follow(struct session *s, const struct request *r, enum zero_advice advice,
                    nstime began);

#endif
