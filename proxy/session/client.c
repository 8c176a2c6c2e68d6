// SPDX-License-Identifier: BSD-3-Clause
// Transmission, from the client: requests are admitted, answered here or passed on; the payload of
// a WRITE passes by reference as it comes.
#include "session.h"

#include "task.h"
#include <stdlib.h>
#include <wire/names.h>

// Counting --------------------------------------------------------------------------------

static const int8_t counted[NBD_COMMANDS] = {
    [NBD_CMD_READ] = COUNT_READ,
    [NBD_CMD_WRITE] = COUNT_WRITE,
    [NBD_CMD_DISC] = -1,
    [NBD_CMD_FLUSH] = COUNT_FLUSH,
    [NBD_CMD_TRIM] = COUNT_TRIM,
    [NBD_CMD_CACHE] = COUNT_CACHE,
    [NBD_CMD_WRITE_ZEROES] = COUNT_WRITE_ZEROES,
    [NBD_CMD_BLOCK_STATUS] = COUNT_BLOCK_STATUS,
};

static void
count(struct session *s, const struct request *r, uint32_t error, nstime began)
{
    if (r->type >= NBD_COMMANDS || counted[r->type] < 0)
        return;
    struct command_counters *c = &s->counters->commands[counted[r->type]];
    c->count++;
    if (error)
        c->errors++;
    else
        c->bytes += r->length;
    nstime now = session_now(s);
    histogram_add(&c->latency, now > began ? now - began : 0);
}

// Answers ---------------------------------------------------------------------------------

static void
say_late(struct session *s, const uint8_t *p, size_t n)
{
    struct late_reply *l = malloc(sizeof *l);
    if (!l) {
        session_client_lost(s, END_NO_MEMORY, "out of memory");
        return;
    }
    l->next = NULL;
    l->len = n;
    memcpy(l->bytes, p, n);
    if (s->late)
        s->late_last->next = l;
    else
        s->late = l;
    s->late_last = l;
    s->n_late++;
}

static void
say(struct session *s, const uint8_t *p, size_t n)
{
    if (!s->client)
        return;
    if (client_mid_message(s))
        say_late(s, p, n);
    else
        stream_send_copy(s->client, p, n);
}

void
client_send_late(struct session *s)
{
    while (s->late) {
        struct late_reply *l = s->late;
        s->late = l->next;
        s->n_late--;
        if (s->client)
            stream_send_copy(s->client, l->bytes, l->len);
        free(l);
    }
}

static void
say_reply(struct session *s, const struct request *r, uint32_t error)
{
    uint8_t b[ERROR_CHUNK_SIZE];
    // READ must not be answered by a simple reply once replies are structured (spec: "Simple reply
    // message"), nor BLOCK_STATUS, of which chunks may have been passed on; everything else may.
    bool chunks = r->type == NBD_CMD_READ || r->type == NBD_CMD_BLOCK_STATUS;
    if (!s->facts.structured || !chunks) {
        simple_reply_encode(b, r->cookie, error);
        say(s, b, SIMPLE_REPLY_SIZE);
    } else if (error) {
        error_chunk_encode(b, r->cookie, error);
        say(s, b, ERROR_CHUNK_SIZE);
    } else {
        chunk_encode(b, NBD_REPLY_FLAG_DONE, NBD_REPLY_TYPE_NONE, r->cookie, 0);
        say(s, b, CHUNK_SIZE);
    }
}

void
client_answer(struct session *s, const struct request *r, uint32_t error, nstime began)
{
    session_log(s, LOG_LEVEL_DEBUG, "%s offset %llu length %u flags 0x%x: %s (by the proxy)",
                nbd_command_name(r->type), (unsigned long long)r->offset, r->length, r->flags,
                nbd_error_name(error));
    say_reply(s, r, error);
    count(s, r, error, began);
}

static void
uncount(struct session *s, const struct request *r)
{
    s->in_flight--;
    if (r->type == NBD_CMD_READ || r->type == NBD_CMD_WRITE)
        s->in_flight_bytes -= r->length;
}

void
client_finished(struct session *s, const struct request *r, uint32_t error, nstime began)
{
    const struct nbd_command_info *info = nbd_command_info(r->type);
    if (!error && info && info->changes_data)
        s->writes_done++;
    if (r->type == NBD_CMD_WRITE)
        s->dirty = true;
    uncount(s, r);
    count(s, r, error, began);
}

void
client_complete(struct session *s, const struct request *r, uint32_t error, nstime began)
{
    session_log(s, LOG_LEVEL_DEBUG, "%s offset %llu length %u flags 0x%x: %s",
                nbd_command_name(r->type), (unsigned long long)r->offset, r->length, r->flags,
                nbd_error_name(error));
    say_reply(s, r, error);
    client_finished(s, r, error, began);
}

bool
client_flush_owed(struct session *s)
{
    unsigned failures = export_flush_failures(s->export);
    if (failures == s->flush_failures_seen)
        return false;
    s->flush_failures_seen = failures;
    // Where one connection's FLUSH speaks for all (spec: NBD_FLAG_CAN_MULTI_CONN), all hear of it.
    return s->writes_done > s->writes_flushed || (s->facts.flags & NBD_FLAG_CAN_MULTI_CONN);
}

// A failure before anything was written that is not yet safe is none of this connection's business.
static void
note_write(struct session *s)
{
    if (s->writes_sent == s->writes_flushed && !(s->facts.flags & NBD_FLAG_CAN_MULTI_CONN))
        s->flush_failures_seen = export_flush_failures(s->export);
    s->writes_sent++;
}

// Requests --------------------------------------------------------------------------------

struct slot *
session_claim(struct session *s, const struct request *r)
{
    struct slot *slot = slot_table_claim(s->worker->slots, s);
    if (!slot)
        return NULL;
    chunk_track_begin(&slot->track, r);
    slot->next = s->slots;
    if (slot->next)
        slot->next->prev = slot;
    s->slots = slot;
    s->worker->in_flight++;
    s->worker->submitted++;
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

struct slot *
client_forward(struct session *s, const struct request *r, uint8_t *header, uint16_t flags,
               nstime began)
{
    struct request up = *r;
    up.flags = flags;
    struct slot *slot = session_claim(s, &up);
    if (!slot)
        return NULL;
    slot->client_cookie = r->cookie;
    slot->began = began;
    slot->writes_before = s->writes_done;
    up.cookie = slot_cookie(slot);
    request_encode(header, &up);
    stream_take(s->client, REQUEST_SIZE);
    stream_send_ref(s->upstream, s->client, header, REQUEST_SIZE);
    s->in_flight++;
    if (r->type == NBD_CMD_READ || r->type == NBD_CMD_WRITE)
        s->in_flight_bytes += r->length;
    return slot;
}

// The header is still in the stream; the payload of a WRITE behind it goes nowhere, and the answer
// comes behind that.
static void
refuse(struct session *s, const struct request *r, uint32_t error, nstime began)
{
    stream_take(s->client, REQUEST_SIZE);
    if (r->type != NBD_CMD_WRITE || r->length == 0) {
        client_answer(s, r, error, began);
        return;
    }
    s->payload_left = r->length;
    s->payload_to = PAYLOAD_NOWHERE;
    s->drained = *r;
    s->drained_error = error;
}

static bool
owes_flush_error(struct session *s, const struct request *r)
{
    bool changes = nbd_command_info(r->type)->changes_data;
    bool persists = r->type == NBD_CMD_FLUSH || (changes && (r->flags & NBD_CMD_FLAG_FUA));
    return persists && client_flush_owed(s);
}

static void
pass_on(struct session *s, const struct request *r, uint8_t *header, nstime began)
{
    struct slot *slot = client_forward(s, r, header, r->flags, began);
    if (!slot) {
        refuse(s, r, NBD_ENOMEM, began);
    } else if (r->type == NBD_CMD_WRITE) {
        s->payload_left = r->length;
        s->payload_to = PAYLOAD_UPSTREAM;
        s->payload_slot = slot;
    }
}

// A FAST_ZERO that would have to wait for a guard is answered at once: waiting is not fast.
static bool
held_by_guard(struct session *s, const struct request *r, uint8_t *header, nstime began)
{
    (void)header;
    struct range range = {r->offset, r->length};
    if (!guards_find(&s->worker->guards, s->export, range, 0))
        return false;
    if (r->flags & NBD_CMD_FLAG_FAST_ZERO) {
        s->counters->fast_zero.requests++;
        s->counters->fast_zero.refused++;
        refuse(s, r, NBD_ENOTSUP, began);
        return true;
    }
    s->held = true;
    return true;
}

static void
dispatch(struct session *s, const struct request *r, uint8_t *header)
{
    nstime began = session_now(s);
    uint32_t error;
    switch (admit_request(&s->facts, r, &error)) {
    case ADMIT_END:
        session_client_lost(s, END_CLIENT_BREACH, "a WRITE longer than can be drained");
        return;
    case ADMIT_ANSWER: refuse(s, r, error, began); return;
    case ADMIT_PASS: break;
    }
    if (s->worker->guards.n && held_by_guard(s, r, header, began))
        return;
    if (owes_flush_error(s, r)) {
        session_log(s, LOG_LEVEL_WARN, "a FLUSH of the proxy's own has failed: answering EIO");
        refuse(s, r, NBD_EIO, began);
        return;
    }
    if (nbd_command_info(r->type)->changes_data)
        note_write(s);
    if (r->type != NBD_CMD_WRITE_ZEROES) {
        pass_on(s, r, header, began);
    } else if (!zeroing_request(s, r, header, began) && s->client) {
        stream_take(s->client, REQUEST_SIZE);
    }
}

// The pump --------------------------------------------------------------------------------

static bool
has_room(const struct session *s)
{
    return stream_unsent(s->upstream) < UNSENT_HIGH;
}

// May the next request be looked at?
static bool
may_admit(const struct session *s)
{
    const struct limits *l = &s->settings->limits;
    return s->phase == PHASE_TRANSMISSION && !s->exclusive &&
           s->in_flight + s->n_late < l->max_in_flight &&
           s->in_flight_bytes < l->max_in_flight_bytes && has_room(s) &&
           stream_unsent(s->client) < UNSENT_HIGH;
}

static void
pass_payload(struct session *s, uint8_t *p, size_t n)
{
    size_t part = n < s->payload_left ? n : (size_t)s->payload_left;
    stream_take(s->client, part);
    s->payload_left -= part;
    if (s->payload_to == PAYLOAD_UPSTREAM)
        stream_send_ref(s->upstream, s->client, p, part);
    else if (!s->payload_left)
        client_answer(s, &s->drained, s->drained_error, session_now(s));
    if (!s->payload_left)
        tasks_run(s);
}

// Returns false when nothing more can be done now.
static bool
pump_once(struct session *s)
{
    size_t n;
    uint8_t *p = stream_peek(s->client, &n);
    if (s->payload_left) {
        if (!n || !has_room(s))
            return false;
        pass_payload(s, p, n);
        return true;
    }
    if (!may_admit(s) || n < REQUEST_SIZE)
        return false;
    struct request r;
    if (!request_decode(p, &r)) {
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
        session_client_lost(s, END_CLIENT_CUT, "closed inside a WRITE");
    else if (!s->payload_left && n < REQUEST_SIZE)
        session_finish(s, n ? END_CLIENT_CUT : END_CLIENT_EOF);
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
        return has_room(s) ? (size_t)s->payload_left : 0;
    if (s->phase != PHASE_TRANSMISSION)
        return 0;
    // What cannot be looked at yet need not be fetched; but an empty buffer may be filled, so that
    // a client that leaves is noticed.
    size_t n;
    stream_peek(s->client, &n);
    return n == 0 || (may_admit(s) && !s->held) ? REQUEST_SIZE : 0;
}
