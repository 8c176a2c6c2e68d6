// SPDX-License-Identifier: BSD-3-Clause
// What the files of this room share about a ring; nobody outside includes it.
#ifndef IO_RING_INSIDE_H
#define IO_RING_INSIDE_H

#include <io/ring.h>
#include <io/stream.h>
#include <liburing.h>
#include <stdatomic.h>

// What a completion belongs to. user_data = operation << 56 | generation << 32 | slot: a completion
// that arrives late finds another generation in its slot and can never hit a recycled object.
enum op { OP_NONE, OP_RECEIVE, OP_WRITABLE, OP_WATCH };
enum slot_kind { SLOT_FREE, SLOT_STREAM, SLOT_WATCH };

struct slot {
    void *object;
    uint32_t generation; // 24 bits, never 0
    uint32_t next_free;
    enum slot_kind kind;
};

struct slots {
    struct slot *v;
    uint32_t count, cap;
    uint32_t free; // index + 1 of the first free one, 0: none
};

// An id is generation << 32 | index, never 0. Returns 0 if out of memory.
uint64_t slot_claim(struct slots *t, enum slot_kind kind, void *object);
void slot_release(struct slots *t, uint64_t id);
void slot_move(struct slots *t, uint64_t id, void *object);               // it is another's now
void *slot_find(const struct slots *t, uint64_t id, enum slot_kind kind); // NULL: it has gone
void slots_free(struct slots *t);

struct timers {
    struct timer **heap; // by `when`; heap[t->place] == t
    size_t count, cap;
};
nstime timers_next(const struct timers *t); // 0: none set
void timers_fire(struct ring *r);
void timers_free(struct timers *t);

struct letterbox {
    _Atomic(struct letter *) top; // last come, first in the list
    int eventfd;
    struct watch bell;
    struct ring *ring;
};
bool letters_open(struct ring *r);
void letters_close(struct ring *r);

// Lengths of past turns: each entry worked less long than the one before it and ended later, so the
// longest turn since a given time is the first entry that ended after it.
#define BUSY_TURNS 32u
struct busy {
    struct {
        nstime end, worked;
    } turn[BUSY_TURNS]; // circular
    uint32_t first, count;
};
void busy_note(struct busy *b, nstime end, nstime worked);

// Buffers that the kernel picks from when bytes arrive for a stream that holds none. A free one
// lies on a stack, so the one used last, still in the CPU's cache, is used next; what lies at the
// bottom unused for a while is given back to the system.
#define POOL_BUFS    1024u        // the bound: 128 MiB
#define POOL_STEP    32u          // grows by as many
#define POOL_OFFERED 512u         // the most that the kernel is offered at a time, a power of two
#define POOL_SIZE    (128u << 10) // each, headroom included
#define HEADROOM     64u          // so that a split header can be put in front of what comes
#define POOL_GROUP   0            // its id in the kernel
struct pool {
    struct io_uring_buf_ring *offers;
    uint8_t *memory; // POOL_BUFS * POOL_SIZE of address space
    struct buf bufs[POOL_BUFS];
    uint16_t stack[POOL_BUFS]; // ids of free ones
    bool touched[POOL_BUFS];   // may have pages
    bool offered[POOL_BUFS];   // is in `offers`
    uint32_t count;            // made so far
    uint32_t free;             // on the stack
    uint32_t low;              // smallest `free` since the last look
    uint32_t offers_out;       // in `offers` now
    uint32_t offers_most;      // grows with misses
    uint32_t selecting;        // receives in the kernel that may pick one
    uint32_t misses;           // that found none since the last look
    uint32_t picks;            // that found one, likewise
};
bool pool_open(struct ring *r);
void pool_close(struct ring *r);
void pool_offer(struct ring *r); // before each submission
struct buf *pool_picked(struct ring *r,
                        uint32_t id);  // by a completion; one reference, the caller's
struct buf *pool_take(struct ring *r); // likewise, not by a receive; NULL: all are in use
void pool_missed(struct ring *r);      // a receive found none
void pool_put(struct buf *b);
bool pool_has(const struct pool *p); // a receive that selects can succeed
bool pool_scarce(const struct pool *p);
size_t pool_bytes(const struct pool *p);

// Large buffers for streams that move bulk: mapped, counted, kept for a moment after use.
#define BULK_SIZE (1u << 20)
#define BULK_BUFS 256u // the bound: 256 MiB
struct bulk {
    struct buf *free;   // a stack
    uint32_t idle, low; // on the stack now; the fewest since the last look
    uint32_t count;     // all
};
struct buf *bulk_claim(struct ring *r); // NULL: at the bound, or out of memory
void bulk_put(struct buf *b);
void bulk_close(struct ring *r);

// Giving memory back. Trimming stops when the budget is used up: false, there is more to do.
// Observing begins a new span of observation: true if there may be something to give back after it.
void trim_soon(struct ring *r);
void
streams_trim(struct ring *r); // those that hold a large buffer and receive nothing let go of it
bool pool_trim(struct ring *r, uint32_t *budget);
bool pool_observe(struct ring *r);
bool bulk_trim(struct ring *r, uint32_t *budget);
bool bulk_observe(struct ring *r);

enum buf_kind { BUF_POOL, BUF_BULK, BUF_HEAP, BUF_MAPPED };

// Small things to send, copied one behind the other into a buf that all streams share. Small, so
// that a peer that doesn't read what was put there pins little.
#define SCRIBE_SIZE (4u << 10)

struct stream_list {
    struct stream *first, **last;
};

struct ring {
    struct io_uring uring;
    bool uring_open, enabled, running;
    int stop; // calls of ring_stop()
    nstime now;
    uint32_t turn;
    uint32_t in_kernel; // operations whose completion is yet to come
    struct slots slots;
    struct timers timers;
    struct letterbox box;
    struct busy busy;
    struct watch *unarmed;
    struct timer stop_timer;

    struct pool pool;
    struct bulk bulk;
    struct timer trim;
    size_t heap_bytes; // of BUF_HEAP and BUF_MAPPED
    struct buf *scribe;
    uint32_t scribe_len;
    const uint8_t *zeroes; // ZEROES of them, never written

    struct stream_list news;  // to speak to in this turn
    struct stream_list later; // in the next
    struct stream_list dirty; // to flush
    struct stream *starved;   // wait for a pool buffer
    bool speaking;
    uint32_t finishing; // streams closed with STREAM_FINISH and not yet done
    uint32_t messages;  // small ones sent in this turn
    bool moving_bulk;   // a large one was
    uint32_t pace;      // of small ones, lately
    nstime paced;       // when that was reckoned
    nstime shaking;     // time that TLS handshakes took in the turn `shook`
    uint32_t shook;
};

// An entry of the submission queue; submits what is there when it is full. Never NULL.
struct io_uring_sqe *ring_sqe(struct ring *r, enum op op, uint64_t id);
void ring_cancel(struct ring *r, enum op op, uint64_t id);

void watch_start(struct ring *r, struct watch *w, uint32_t events);
void watches_arm(struct ring *r);
void watch_done(struct ring *r, uint64_t id);

// Copies into the ring's small shared buffer. Returns where to, the buffer in *b (not referenced);
// NULL: n is too long for it, or out of memory.
uint8_t *scribe_copy(struct ring *r, const void *p, size_t n, struct buf **b);
#define ZEROES (1u << 20)
const uint8_t *zeroes_open(void); // ZEROES of them, mapped; NULL on failure
void zeroes_close(const uint8_t *p);

// No letters for this ring from the resolver any more; those underway are dropped.
void resolver_forget(struct ring *r);
bool resolver_owns(const struct letter *l);
void resolver_drop(struct letter *l);

// There is no way to go on without these few bytes, and nobody to tell.
_Noreturn void io_out_of_memory(const char *what);

#endif
