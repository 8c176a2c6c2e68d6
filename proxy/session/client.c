// SPDX-License-Identifier: BSD-3-Clause
// Transmission, from the client: requests are admitted, answered here or passed on; the payload of
// a WRITE passes by reference as it comes.
#include "session.h"

#include "task.h"
#include <wire/names.h>

// The longest that a compact upstream can be asked about, of whole blocks; it may answer for less
// than it was asked (spec: NBD_CMD_BLOCK_STATUS), and so may we.
#define STATUS_MOST (uint32_t) align_down(UINT32_MAX, 64u << 10)

// Slots -----------------------------------------------------------------------------------

struct slot *
session_claim(struct session *s, const struct request *r)
{
    struct slot *slot = slot_table_claim(s->worker->slots, s);
    if (!slot)
        return NULL;
    chunk_track_begin(&slot->track, s->facts.upstream_format, r);
    slot->writes_before = s->writes_done;
    slot->next = s->slots;
    if (slot->next)
        slot->next->prev = slot;
    s->slots = slot;
    slot->quiet = !s->worker->in_flight++;
    slot->submitted = ++s->worker->submitted;
    s->submitted++;
    return slot;
}

void
session_release(struct session *s, struct slot *slot)
{
    if (slot->next)
        slot->next->prev = slot->prev;
    if (slot->prev)
        slot->prev->next = slot->next;
    else
        s->slots = slot->next;
    s->worker->in_flight--;
    if (s->payload_slot == slot)
        s->payload_slot = NULL;
    if (s->reply_slot == slot) {
        s->reply_slot = NULL;
        if (s->reply_left)
            s->reply_to = REPLY_NOWHERE;
    }
    slot_table_release(s->worker->slots, slot);
    if (s->worker->asks)
        guard_recheck(s->worker);
}

// Passing on ------------------------------------------------------------------------------

// The request as it goes upstream.
static struct request
upstream_request(const struct session *s, const struct request *r)
{
    struct request up = *r;
    up.flags &= (uint16_t)~NBD_CMD_FLAG_DF; // task_read.c, or an upstream that cannot fragment
    if (s->facts.fua_by_flush)
        up.flags &= (uint16_t)~NBD_CMD_FLAG_FUA;
    if (r->type == NBD_CMD_BLOCK_STATUS && !session_length_fits(s, r->length))
        up.length = STATUS_MOST;
    return up;
}

// Written over the client's header, at its end, so that the payload stays contiguous; copied where
// upstream's is longer.
static void
send_header(struct session *s, uint8_t *header, const struct request *up)
{
    enum wire_format to = s->facts.upstream_format;
    uint32_t have = request_size(s->facts.client_format), need = request_size(to);
    if (need <= have) {
        header += have - need;
        request_encode(to, header, up);
        stream_take(s->client, have);
        stream_send_ref(s->upstream, s->client, header, need);
    } else {
        uint8_t b[REQUEST_SIZE_MAX];
        request_encode(to, b, up);
        stream_take(s->client, have);
        stream_send_copy(s->upstream, b, need);
    }
}

struct slot *
client_forward(struct session *s, const struct request *r, uint8_t *header, nstime began)
{
    struct request up = upstream_request(s, r);
    struct slot *slot = session_claim(s, &up);
    if (!slot)
        return NULL;
    slot->client_cookie = r->cookie;
    slot->client_flags = r->flags;
    slot->client_length = r->length;
    slot->fua = s->facts.fua_by_flush && (r->flags & NBD_CMD_FLAG_FUA) &&
                nbd_command_info(r->type)->changes_data;
    slot->began = began;
    up.cookie = slot_cookie(slot);
    send_header(s, header, &up);
    client_begun(s, r);
    return slot;
}

static void
take_header(struct session *s)
{
    stream_take(s->client, request_size(s->facts.client_format));
}

void
session_drain(struct session *s, const struct request *r, uint32_t error, nstime began)
{
    if (!r->payload) {
        client_answer(s, r, error, began);
        return;
    }
    s->payload_left = r->payload;
    s->payload_to = PAYLOAD_NOWHERE;
    s->drained = *r;
    s->drained_error = error;
    s->drained_began = began;
}

void
session_gather(struct session *s, struct task *t, uint8_t *to)
{
    s->payload_left = t->request.payload;
    s->payload_to = PAYLOAD_TASK;
    s->payload_task = t;
    s->payload_at = to;
}

// The header is still in the stream.
static void
refuse(struct session *s, const struct request *r, uint32_t error, nstime began)
{
    take_header(s);
    session_drain(s, r, error, began);
}

static void
pass_on(struct session *s, const struct request *r, uint8_t *header, nstime began)
{
    struct slot *slot = client_forward(s, r, header, began);
    if (!slot) {
        client_wrote(s, r, NBD_ENOMEM);
        refuse(s, r, NBD_ENOMEM, began);
    } else if (r->payload) {
        s->payload_left = r->payload;
        s->payload_to = PAYLOAD_UPSTREAM;
        s->payload_slot = slot;
    }
}

// Requests --------------------------------------------------------------------------------

static bool
owes_flush_error(struct session *s, const struct request *r)
{
    bool changes = nbd_command_info(r->type)->changes_data;
    bool persists = r->type == NBD_CMD_FLUSH || (changes && (r->flags & NBD_CMD_FLAG_FUA));
    return persists && client_flush_owed(s);
}

static void
refuse_fast(struct session *s, const struct request *r, nstime began)
{
    s->counters->fast_zero.requests++;
    s->counters->fast_zero.refused++;
    refuse(s, r, NBD_ENOTSUP, began);
}

// A FAST_ZERO that would have to wait for a guard is answered at once: waiting is not fast.
static bool
held_by_guard(struct session *s, const struct request *r, nstime began)
{
    struct range range =
        guard_reach(r->type, r->flags, (struct range){r->offset, r->length}, s->facts.size);
    bool changes = nbd_command_info(r->type)->changes_data;
    if (!guards_find(&s->worker->guards, s->storage, range, 0, changes))
        return false;
    if (r->flags & NBD_CMD_FLAG_FAST_ZERO)
        refuse_fast(s, r, began);
    else
        s->held = true;
    return true;
}

// A simple client takes one message, and so does one that says DF; upstream may send many.
static bool
wants_assembly(const struct session *s, const struct request *r)
{
    return r->type == NBD_CMD_READ && s->facts.upstream_format != FORMAT_SIMPLE &&
           (s->facts.client_format == FORMAT_SIMPLE || (r->flags & NBD_CMD_FLAG_DF));
}

// What cannot go upstream as it is. False: nothing has been done.
static bool
serve_here(struct session *s, const struct request *r, nstime began)
{
    void (*begin)(struct session * s, const struct request *r, nstime began) = NULL;
    if (r->type == NBD_CMD_BLOCK_STATUS && s->facts.status_by_us)
        begin = client_answer_status;
    else if (repair_wanted(s, r))
        begin = task_repair_begin;
    else if (wants_assembly(s, r))
        begin = task_read_begin;
    else if (task_advice_wanted(s, r))
        begin = task_advice_begin;
    if (!begin)
        return false;
    take_header(s);
    begin(s, r, began);
    return true;
}

static void
serve(struct session *s, const struct request *r, uint8_t *header, nstime began)
{
    if ((r->flags & NBD_CMD_FLAG_FAST_ZERO) && repair_wanted(s, r)) {
        refuse_fast(s, r, began); // its edges would have to be written
        return;
    }
    if (nbd_command_info(r->type)->changes_data)
        client_writes(s);
    if (serve_here(s, r, began))
        return;
    if (r->type != NBD_CMD_WRITE_ZEROES)
        pass_on(s, r, header, began);
    else if (!zeroing_request(s, r, header, began) && s->client)
        take_header(s);
}

static void
dispatch(struct session *s, const struct request *r, uint8_t *header)
{
    nstime began = session_now(s);
    uint32_t error;
    switch (admit_request(&s->facts, r, &error)) {
    case ADMIT_END:
        session_client_lost(s, END_CLIENT_BREACH, "a payload longer than can be drained");
        return;
    case ADMIT_ANSWER: refuse(s, r, error, began); return;
    case ADMIT_PASS: break;
    }
    // What was there before is finished; only that still keeps this connection.
    if (s->worker->draining) {
        refuse(s, r, NBD_ESHUTDOWN, began);
        return;
    }
    // A repair waits for its turn by itself, behind who came before.
    if (s->worker->guards.n && !repair_wanted(s, r) && held_by_guard(s, r, began))
        return;
    if (owes_flush_error(s, r)) {
        session_log(s, LOG_LEVEL_WARN, "a FLUSH of the proxy's own has failed: answering EIO");
        refuse(s, r, NBD_EIO, began);
        return;
    }
    serve(s, r, header, began);
}

// Payload ---------------------------------------------------------------------------------

static void
payload_over(struct session *s)
{
    struct task *t = s->payload_task;
    s->payload_task = NULL;
    if (s->payload_to == PAYLOAD_NOWHERE)
        client_answer(s, &s->drained, s->drained_error, s->drained_began);
    else if (t)
        t->kind->payload_done(t);
    tasks_run(s);
}

static void
pass_payload(struct session *s, uint8_t *p, size_t n)
{
    size_t part = n < s->payload_left ? n : (size_t)s->payload_left;
    if (s->payload_task) {
        memcpy(s->payload_at, p, part);
        s->payload_at += part;
    }
    stream_take(s->client, part);
    s->payload_left -= part;
    if (s->payload_to == PAYLOAD_UPSTREAM)
        stream_send_ref(s->upstream, s->client, p, part);
    if (!s->payload_left)
        payload_over(s);
}

// The pump --------------------------------------------------------------------------------

// May the next request be looked at?
static bool
may_admit(const struct session *s)
{
    const struct limits *l = &s->settings->limits;
    return s->phase == PHASE_TRANSMISSION && !s->exclusive &&
           s->in_flight + s->n_late < l->max_in_flight &&
           s->in_flight_bytes < l->max_in_flight_bytes && upstream_has_room(s) &&
           stream_unsent(s->client) < UNSENT_HIGH;
}

// Returns false when nothing more can be done now.
static bool
pump_once(struct session *s)
{
    size_t n;
    uint8_t *p = stream_peek(s->client, &n);
    if (s->payload_left) {
        if (!n || !upstream_has_room(s))
            return false;
        pass_payload(s, p, n);
        return session_alive(s);
    }
    if (!may_admit(s) || n < request_size(s->facts.client_format))
        return false;
    struct request r;
    if (!request_decode(s->facts.client_format, p, &r)) {
        session_client_lost(s, END_CLIENT_BREACH, "wrong request magic");
        return false;
    }
    if (r.type == NBD_CMD_DISC) {
        session_finish(s, END_CLIENT_DISC);
        return false;
    }
    // Held requests come here again whenever a guard goes: counted the first time.
    bool was_held = s->held;
    s->held = false;
    dispatch(s, &r, p);
    if (s->held && !was_held)
        s->counters->zeroes.held++;
    return session_alive(s) && s->client && !s->held;
}

static void
check_end(struct session *s)
{
    if (!s->client || s->phase == PHASE_DEAD || !stream_ended(s->client))
        return;
    size_t n;
    stream_peek(s->client, &n);
    if (s->payload_left && n == 0)
        session_client_lost(s, END_CLIENT_CUT,
                            stream_truncated(s->client) ? "TLS was cut off inside a WRITE"
                                                        : "closed inside a WRITE");
    else if (!s->payload_left && n < request_size(s->facts.client_format))
        session_finish(s, n || stream_ended_in_record(s->client) ? END_CLIENT_CUT : END_CLIENT_EOF);
}

void
client_pump(struct session *s)
{
    while (s->client && s->upstream && session_alive(s) && pump_once(s))
        ;
    check_end(s);
}

size_t
client_wants(struct session *s)
{
    if (!s->upstream)
        return 0;
    if (s->payload_left)
        return upstream_has_room(s) ? (size_t)s->payload_left : 0;
    // What cannot be looked at yet need not be fetched; but an empty buffer may be filled, so that
    // a client that leaves is noticed; even after DISC, while it has us do something long.
    size_t n;
    stream_peek(s->client, &n);
    if (s->phase != PHASE_TRANSMISSION)
        return s->splits && n == 0 ? 1 : 0;
    return n == 0 || (may_admit(s) && !s->held) ? request_size(s->facts.client_format) : 0;
}
