// SPDX-License-Identifier: BSD-3-Clause
// One session: a client's connection, the upstream connection that serves it, and the requests
// between them. Everything runs on the worker's thread. This header is the room's own.
//
//   negotiate.c  the handshake: options of the client come in, one waits at a time
//   routes.c     where the export is that an option names
//   questions.c  what upstream is asked for each, and whose its answers are: formats.c, list.c,
//                contexts.c, infos.c; option_replies.c: what the client is told
//   secure.c     STARTTLS of the client
//   settle.c     its end: what the client is told of the export, and what the session remembers
//   dialog.c     an upstream connection in its handshake (scout.c: a second, short one)
//   client.c     transmission: requests of the client, as far as they go
//   answers.c    what we say to the client ourselves
//   request_words.c  what became of a request, for the log
//   flushes.c    whose data is safe, and who must hear that a FLUSH of ours has failed
//   replies.c    transmission: replies of upstream
//   translate.c  a reply of upstream in the client's format
//   learning.c   what requests cost that ran alone
//   zeroing.c    what to do about a request to zero; task_*.c: what takes several steps upstream
//   guarding.c   the range guard between workers
//   session.c    birth, deadlines and the order of teardown
#ifndef SESSION_SESSION_H
#define SESSION_SESSION_H

#include <base/endings.h>
#include <base/limits.h>
#include <base/log.h>
#include <export/registry.h>
#include <io/ring.h>
#include <io/stream.h>
#include <relay/admit.h>
#include <relay/slots.h>
#include <session/settings.h>
#include <session/worker.h>
#include <zero/guard.h>

struct task;
struct negotiation;
struct guard_ask;
struct guard_mail;

// Above this much unsent in a direction, nothing more is taken in for it; STREAM_LOW starts it
// again.
#define UNSENT_HIGH (1u << 20)

struct worker {
    struct ring *ring;
    struct registry *registry;
    unsigned index;
    struct slot_table *slots;
    struct session *sessions;
    atomic_uint n_sessions;

    struct guards guards;    // ranges that somebody probes or repairs
    struct guard_ask *own;   // guards asked for here
    struct guard_mail *asks; // guards that wait for writes of ours
    unsigned guard_asks;     // asks of our own that have not come home
    unsigned in_flight;      // requests upstream now
    uint64_t submitted;      // requests ever sent upstream: whether a measurement was alone

    struct scratching *scratching; // of a worker that measures; NULL: others

    bool draining;
    nstime drain_deadline;
    struct timer drain_timer;
    void (*drained)(void *ctx);
    void *drained_ctx;

    uint64_t endings[SESSION_ENDINGS_COUNT];
};

enum phase {
    PHASE_HANDSHAKE,
    PHASE_TRANSMISSION,
    PHASE_FINISHING, // the client sends no more, or must not: what is in flight is finished
    PHASE_DEAD,      // streams are closed; freed by the next turn
};

// Where the payload of the WRITE that is being received goes.
enum payload_to { PAYLOAD_UPSTREAM, PAYLOAD_TASK, PAYLOAD_NOWHERE };

// Where the payload of the reply that is being received goes.
enum reply_to { REPLY_CLIENT, REPLY_CLIENT_STATUS, REPLY_TASK, REPLY_TASK_STATUS, REPLY_NOWHERE };

// When a direction had last moved when it was looked at, and since when it has stood so.
struct progress {
    nstime moved, since;
};

// A reply of our own that must wait until the message under way to the client is complete.
struct late_reply {
    struct late_reply *next;
    size_t len;
    uint8_t bytes[];
};

struct session {
    struct session *next, *prev;
    struct worker *worker;
    uint64_t id;
    char *peer;        // text
    char *export_text; // text, escaped; NULL until known
    struct settings *settings;
    const struct listener_settings *listener;
    struct client_counter *of_client; // NULL: not counted by address
    const struct upstream_settings
        *target;                 // whom the client is served by, or would be; may be NULL
    const struct policy *policy; // of the export, once it is known
    enum phase phase;
    enum session_ending ending; // why FINISHING
    bool dropping;              // session_end(): what is left is not answered
    nstime began;
    struct progress client_in, client_out, upstream_in, upstream_out; // for io-timeout
    struct progress upstream_owes; // a reply, while that keeps others waiting
    struct timer timer;

    struct stream *client, *upstream;
    struct negotiation *negotiation; // during the handshake

    struct export *export;
    struct storage storage; // whose guards hold requests back
    struct export_counters *counters;
    struct export_facts facts;
    uint32_t contexts[MAX_CONTEXTS]; // ids, as upstream gave them
    uint8_t n_contexts;
    int8_t allocation;      // which of them is base:allocation, or -1
    bool allocation_hidden; // the client has not asked for it

    // Client to upstream.
    uint64_t payload_left;
    enum payload_to payload_to;
    struct slot *payload_slot; // PAYLOAD_UPSTREAM: whose payload it is; NULL once it is answered
    struct task *payload_task; // PAYLOAD_TASK: who gathers it
    uint8_t *payload_at;       // PAYLOAD_TASK: where the next byte goes
    struct request drained;    // the request whose payload goes nowhere
    uint32_t drained_error;
    nstime drained_began;
    bool held;      // the next request waits for a guard
    bool exclusive; // a probe has the upstream connection for itself

    // Upstream to client.
    struct slot *reply_slot;
    uint64_t reply_left, reply_offset;
    enum reply_to reply_to;
    bool reply_done;       // the request is complete behind this payload
    bool reply_wants_end;  // and the client has not been told so: a chunk that ends it must follow
    uint64_t status_total; // of the extents so far
    unsigned status_context; // index of what they answer
    struct late_reply *late, *late_last;
    unsigned n_late;

    struct slot *slots; // upstream now
    struct task *tasks;
    unsigned repairs;   // of these have or await a guard
    unsigned in_flight; // requests of the client
    uint64_t in_flight_bytes;
    unsigned splits;     // of the tasks: those that are served in pieces side by side
    unsigned pieces;     // and these, of all of them
    uint64_t zero_bytes; // upstream now, of zeroes served by WRITE

    // Flushes of ours that failed are owed to who wrote (docs/zeroing.md).
    uint64_t writes_sent, writes_done, writes_flushed;
    unsigned flush_failures_seen;
    struct traffic_unflushed unflushed;
    bool dirty;                // data has been written since the last good FLUSH
    uint64_t submitted;        // requests ever sent to this upstream connection
    bool zeroes_by_writing[2]; // upstream has said ENOTSUP to a plain WRITE_ZEROES; with NO_HOLE or
                               // not
};

// A line that begins with the connection's id, its client, and "upstream/export", and has them as
// fields, too.
#define session_log(s, level_, ...)                                                                \
    do {                                                                                           \
        LOG_SITE(site_);                                                                           \
        if (log_enabled(level_))                                                                   \
            session_log_(s, &site_, level_, __VA_ARGS__);                                          \
    } while (0)
void session_log_(const struct session *s, struct log_site *site, enum log_level level,
                  const char *fmt, ...) __attribute__((format(printf, 4, 5)));

static inline bool
session_alive(const struct session *s)
{
    return s->phase != PHASE_DEAD;
}

static inline nstime
session_now(const struct session *s)
{
    return ring_now(s->worker->ring);
}

// session.c -----------------------------------------------------------------------------
extern const struct stream_handler session_client_handler;
extern const struct stream_handler session_upstream_handler;

// Does whatever can be done now.
void session_turn(struct session *s);
// The end, at once: client's queued bytes are still sent, then its connection closes; upstream is
// closed with DISC if it stands between messages. Nothing may be in flight that the client still
// waits for.
void session_end(struct session *s, enum session_ending why);
// Ends it as the process ends, whatever is in flight.
void session_cut(struct session *s);
// No more requests of this client; session_end() follows when nothing is in flight.
void session_finish(struct session *s, enum session_ending why);
// The upstream connection is gone or must go: everybody in flight gets EIO, then session_end().
void session_upstream_lost(struct session *s, enum session_ending why, const char *what);
// The client's connection is gone or must go at once; what is upstream is finished.
void session_client_lost(struct session *s, enum session_ending why, const char *what);
// Transmission begins: handshake is over, `facts` and contexts are set.
void session_transmit(struct session *s);

// Upstream has this minimum block size and the client is not bound to it: the request must be
// widened to whole blocks (block-size = repair). The last, odd piece of an export is a whole one.
// Every WRITE of such a session is gathered, also of whole blocks: a payload that passes through as
// it comes would, where its client is slow, stand in the way of the steps of this session's
// repairs, and of everybody's guard on those blocks. That is a copy of each byte, from one buffer
// in memory to another; sessions without repair do not come here.
static inline bool
repair_wanted(const struct session *s, const struct request *r)
{
    const struct export_facts *f = &s->facts;
    if (f->upstream_minimum <= f->minimum || r->type == NBD_CMD_FLUSH)
        return false;
    return r->offset % f->upstream_minimum ||
           (r->length % f->upstream_minimum && r->offset + r->length != f->size) ||
           r->type == NBD_CMD_WRITE;
}

// Can this be the length of one request to upstream?
static inline bool
session_length_fits(const struct session *s, uint64_t length)
{
    return s->facts.upstream_format == FORMAT_EXTENDED || length <= UINT32_MAX;
}

static inline bool
upstream_has_room(const struct session *s)
{
    return stream_unsent(s->upstream) < UNSENT_HIGH;
}

// client.c ------------------------------------------------------------------------------
void client_pump(struct session *s);
size_t client_wants(struct session *s);
// The request's header has been taken; its payload goes nowhere, and the answer comes behind it.
void session_drain(struct session *s, const struct request *r, uint32_t error, nstime began);
// The header of a WRITE has been taken; its payload goes to `to`, memory of the task's, and then
// its kind's payload_done() is called, from the client's turn. A task that ends before, having
// answered, gets no more of it.
void session_gather(struct session *s, struct task *t, uint8_t *to);

// answers.c -----------------------------------------------------------------------------
// Whole messages to the client, copied; they wait while another is being passed on.
void client_say(struct session *s, const void *p, size_t n);
// Answers a request of the client by ourselves; error 0 is success.
void client_answer(struct session *s, const struct request *r, uint32_t error, nstime began);
// As that, with success, for a BLOCK_STATUS whose answer nobody but we can give.
void client_answer_status(struct session *s, const struct request *r, nstime began);
// A request is in flight from here on, until client_uncount() or client_finished().
void client_begun(struct session *s, const struct request *r);
void client_uncount(struct session *s, const struct request *r);
// As client_answer, for one that was counted in flight.
void client_complete(struct session *s, const struct request *r, uint32_t error, nstime began);
// As that, where error and session do not say how it ended.
void client_complete_as(struct session *s, const struct request *r, uint32_t error, nstime began,
                        enum request_ending ending);
// As that, for a READ, with the request's length of data at `p` in `b`. Not while a message to the
// client is under way.
void client_complete_data(struct session *s, const struct request *r, struct buf *b,
                          const uint8_t *p, nstime began);
// A request of the client is over, answered elsewhere.
void client_finished(struct session *s, const struct request *r, uint32_t error, nstime began);
// The replies that had to wait, now that no message to the client is under way.
void client_send_late(struct session *s);
// Must this command be answered in chunks?
bool client_wants_chunks(const struct session *s, uint16_t command);
// What stands before `data` of a READ, in the client's format (a simple one takes all at once);
// returns its size.
#define DATA_HEADER_MAX (CHUNK_SIZE_MAX + 8u)
uint32_t client_data_header(const struct session *s, uint8_t *p, const struct request *r, bool done,
                            struct range data);

// request_words.c -----------------------------------------------------------------------
// Says at level debug what became of a request of the client. by: "", or " by the proxy".
void request_log_(const struct session *s, const struct request *r, uint32_t error, nstime began,
                  const char *by);
static inline void
request_log(const struct session *s, const struct request *r, uint32_t error, nstime began,
            const char *by)
{
    if (log_enabled(LOG_LEVEL_DEBUG))
        request_log_(s, r, error, began, by);
}

// flushes.c -----------------------------------------------------------------------------
// An admitted request changes data; its end is told to client_wrote().
void client_writes(struct session *s);
// Upstream has done all that it does for this request, or it failed; once, before a FLUSH behind
// it.
void client_wrote(struct session *s, const struct request *r, uint32_t error);
// Nothing was done for it after all.
void client_unwritten(struct session *s);
// The client is owed an error for a FLUSH of ours that failed; says so once.
bool client_flush_owed(struct session *s);
// A FLUSH is over that was sent when so many writes were done.
void session_flushed(struct session *s, uint64_t writes, uint32_t error);
// A FLUSH of our own has failed. `told`: the request that it was for is answered with an error.
void session_flush_failed(struct session *s, bool told);

// replies.c -----------------------------------------------------------------------------
void upstream_pump(struct session *s);
size_t upstream_wants(struct session *s);
// True while a reply is being passed on to the client, so that nothing else may be said to it.
static inline bool
client_mid_message(const struct session *s)
{
    return s->reply_left && (s->reply_to == REPLY_CLIENT || s->reply_to == REPLY_CLIENT_STATUS);
}

// A slot for a request that goes upstream now; tracks `r`. NULL: out of memory.
struct slot *session_claim(struct session *s, const struct request *r);
void session_release(struct session *s, struct slot *slot);

// learning.c ----------------------------------------------------------------------------
// Upstream has answered a request; before session_release().
void learning_done(struct session *s, const struct slot *slot, uint32_t error);
// Was it upstream alone, and was nothing else going on that would have disturbed a measurement?
bool slot_ran_alone(const struct session *s, const struct slot *slot, nstime took);

// zeroing.c -----------------------------------------------------------------------------
// Takes a WRITE_ZEROES that has been admitted and is not yet taken from the client's stream;
// `header` is its bytes there. False: it was not passed on, and the caller takes the header away.
bool zeroing_request(struct session *s, const struct request *r, uint8_t *header, nstime began);
// Passes a request's header on in place, under a cookie of ours. client.c.
struct slot *client_forward(struct session *s, const struct request *r, uint8_t *header,
                            nstime began);

// negotiate.c ---------------------------------------------------------------------------
bool negotiation_begin(struct session *s);
void negotiation_turn(struct session *s);
// Closes what it has open; the memory goes with negotiation_free(), when none of it is on the
// stack.
void negotiation_close(struct session *s);
void negotiation_free(struct session *s);

// worker.c ------------------------------------------------------------------------------
void worker_check_drained(struct worker *w);

// guarding.c ----------------------------------------------------------------------------
// Asks every worker to hold requests that overlap, and calls `held` on this thread when none is
// upstream any more and nobody who asked before holds a guard that overlaps. The guard stays until
// guard_release(), which may come before `held`, and then it does not.
struct guard_ask *guard_hold(struct worker *w, const struct guard *g, void (*held)(void *ctx),
                             void *ctx);
void guard_release(struct worker *w, struct guard_ask *a);
// The upstream broke while something that changes data was on its way: a server that forks may
// still carry it out, and must not do so over somebody's later write. Releases in a moment, and
// calls `over`, which may be NULL, just before; `held` is not called any more.
void guard_release_later(struct worker *w, struct guard_ask *a, void (*over)(void *ctx), void *ctx);
// What a request may tell of or change, in an export of `size` bytes.
struct range guard_reach(uint16_t command, uint16_t flags, struct range range, uint64_t size);
// A request that changes data is upstream no more: somebody may wait for that.
void guard_recheck(struct worker *w);

#endif
