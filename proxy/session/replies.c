// SPDX-License-Identifier: BSD-3-Clause
// Transmission, from upstream: every reply is checked against the request it answers, then its
// header is rewritten in place and passed on, payload by reference as it comes. Replies to tasks go
// to the task.
#include "session.h"

#include "task.h"
#include <wire/names.h>

static void
breach(struct session *s, const char *what)
{
    session_upstream_lost(s, END_UPSTREAM_BREACH, what);
}

// Completing ------------------------------------------------------------------------------

static struct request
client_request(const struct slot *slot)
{
    return (struct request){.type = slot->track.command,
                            .flags = slot->track.flags,
                            .cookie = slot->client_cookie,
                            .offset = slot->track.offset,
                            .length = slot->track.length};
}

static void
note_flush(struct session *s, const struct slot *slot, uint32_t error)
{
    if (slot->track.command != NBD_CMD_FLUSH || error)
        return;
    if (slot->writes_before > s->writes_flushed)
        s->writes_flushed = slot->writes_before;
    if (s->writes_flushed == s->writes_done)
        s->dirty = false;
}

// The last byte of the reply has been passed on.
static void
passed_on(struct session *s, struct slot *slot, uint32_t error)
{
    struct request r = client_request(slot);
    nstime began = slot->began;
    note_flush(s, slot, error);
    session_release(s, slot);
    session_log(s, LOG_LEVEL_DEBUG, "%s offset %llu length %u flags 0x%x: %s",
                nbd_command_name(r.type), (unsigned long long)r.offset, r.length, r.flags,
                nbd_error_name(error));
    client_finished(s, &r, error, began);
    client_send_late(s);
}

static uint32_t
error_for_client(struct session *s, const struct slot *slot, uint32_t error)
{
    uint16_t command = slot->track.command, flags = slot->track.flags;
    if (slot->task) // tasks want to know ENOTSUP from EINVAL, and map before they answer
        return nbd_error_for_client(error, NBD_CMD_WRITE_ZEROES, true, false);
    if (slot->native_fast && (error == NBD_EINVAL || error == NBD_EOVERFLOW))
        return NBD_ENOTSUP; // promise 7 of docs/zeroing.md
    uint32_t mapped = nbd_error_for_client(error, command, flags & NBD_CMD_FLAG_FAST_ZERO,
                                           flags & NBD_CMD_FLAG_DF);
    if (mapped != error)
        session_log(s, LOG_LEVEL_DEBUG, "upstream: error %u to %s, sent on as %s", error,
                    nbd_command_name(command), nbd_error_name(mapped));
    return mapped;
}

// Answers by a reply of ours what cannot be passed on as it came.
static void
complete(struct session *s, struct slot *slot, uint32_t error)
{
    struct request r = client_request(slot);
    nstime began = slot->began;
    note_flush(s, slot, error);
    session_release(s, slot);
    client_complete(s, &r, error, began);
}

static void
finish_slot(struct session *s, struct slot *slot, uint32_t error)
{
    if (slot->task)
        task_reply(slot->task, error);
    else
        passed_on(s, slot, error);
}

// Passes `n` bytes at the front on, header rewritten, and takes them.
static void
pass_header(struct session *s, uint8_t *p, size_t n, const struct slot *slot)
{
    put_be64(p + CHUNK_COOKIE, slot->client_cookie);
    stream_take(s->upstream, n);
    if (s->client)
        stream_send_ref(s->client, s->upstream, p, n);
}

// The payload behind a header has begun. An empty one is over at once.
static void
begin_payload(struct session *s, struct slot *slot, enum reply_to to, uint64_t length, bool done)
{
    if (!s->client && to <= REPLY_CLIENT_STATUS)
        to = REPLY_NOWHERE;
    s->reply_slot = slot;
    s->reply_to = to;
    s->reply_left = length;
    s->reply_done = done;
    s->reply_hidden = false;
    s->status_total = 0;
}

static void
end_payload(struct session *s)
{
    struct slot *slot = s->reply_slot;
    s->reply_slot = NULL;
    if (s->reply_done && slot && s->reply_hidden && s->client) {
        // What the client must not see said that this was all.
        uint8_t b[CHUNK_SIZE];
        chunk_encode(b, NBD_REPLY_FLAG_DONE, NBD_REPLY_TYPE_NONE, slot->client_cookie, 0);
        stream_send_copy(s->client, b, sizeof b);
    }
    if (s->reply_done && slot)
        finish_slot(s, slot, slot->error);
    else
        client_send_late(s);
}

// A FLUSH of ours has failed while this one was under way, and may have taken the error that was
// its due.
static bool
flush_is_void(struct session *s, const struct slot *slot)
{
    return slot->track.command == NBD_CMD_FLUSH && client_flush_owed(s);
}

// Simple replies --------------------------------------------------------------------------

static void
simple_reply(struct session *s, struct slot *slot, const struct reply *h, uint8_t *p)
{
    uint16_t command = slot->track.command;
    bool has_payload = command == NBD_CMD_READ && !h->error;
    if (s->facts.structured && !h->error && (has_payload || command == NBD_CMD_BLOCK_STATUS)) {
        breach(s, "simple reply with success where only chunks may carry it");
        return;
    }
    if (has_payload) {
        if (slot->task)
            stream_take(s->upstream, SIMPLE_REPLY_SIZE);
        else
            pass_header(s, p, SIMPLE_REPLY_SIZE, slot);
        begin_payload(s, slot, slot->task ? REPLY_TASK : REPLY_CLIENT, slot->track.length, true);
        s->reply_offset = slot->track.offset;
        return;
    }
    stream_take(s->upstream, SIMPLE_REPLY_SIZE);
    // Success behind an error chunk that was not the last is none.
    uint32_t error = h->error ? error_for_client(s, slot, h->error) : slot->error;
    if (slot->task)
        task_reply(slot->task, error);
    else if (!error && flush_is_void(s, slot))
        complete(s, slot, NBD_EIO);
    else
        complete(s, slot, error); // also repairs nbd-server's simple errors to a structured READ
}

// Chunks ----------------------------------------------------------------------------------

// All other commands may be answered simply (client.c), so nothing of theirs is passed on before
// the chunk that ends the reply.
static bool
chunks_passed_on(const struct slot *slot)
{
    return slot->track.command == NBD_CMD_READ || slot->track.command == NBD_CMD_BLOCK_STATUS;
}

static void
error_chunk(struct session *s, struct slot *slot, const struct reply *h,
            const struct chunk_facts *facts, uint8_t *p)
{
    uint32_t error = error_for_client(s, slot, facts->error);
    slot->error = error;
    if (slot->task) {
        stream_take(s->upstream, CHUNK_SIZE + h->length);
        if (facts->done)
            task_reply(slot->task, error);
        return;
    }
    if (!facts->done && !chunks_passed_on(slot)) {
        stream_take(s->upstream, CHUNK_SIZE + h->length);
        return;
    }
    // An error type we do not know is passed on as the one that every client knows.
    if (h->type != NBD_REPLY_TYPE_ERROR && h->type != NBD_REPLY_TYPE_ERROR_OFFSET) {
        stream_take(s->upstream, CHUNK_SIZE + h->length);
        uint8_t b[ERROR_CHUNK_SIZE];
        error_chunk_encode(b, slot->client_cookie, error);
        put_be16(b + 4, facts->done ? NBD_REPLY_FLAG_DONE : 0);
        if (s->client)
            stream_send_copy(s->client, b, sizeof b);
    } else {
        put_be32(p + CHUNK_SIZE, error);
        pass_header(s, p, CHUNK_SIZE + h->length, slot);
    }
    if (facts->done)
        passed_on(s, slot, error);
}

static void
data_chunk(struct session *s, struct slot *slot, const struct chunk_facts *facts, uint8_t *p)
{
    if (slot->task) {
        stream_take(s->upstream, CHUNK_SIZE + 8);
        begin_payload(s, slot, REPLY_TASK, facts->length, facts->done);
        s->reply_offset = facts->offset;
    } else {
        pass_header(s, p, CHUNK_SIZE + 8, slot);
        begin_payload(s, slot, REPLY_CLIENT, facts->length, facts->done);
    }
    if (!s->reply_left)
        end_payload(s);
}

static void
hole_chunk(struct session *s, struct slot *slot, const struct chunk_facts *facts, uint8_t *p)
{
    if (slot->task) {
        stream_take(s->upstream, CHUNK_SIZE + 12);
        task_data(slot->task, facts->offset, NULL, facts->length);
    } else {
        pass_header(s, p, CHUNK_SIZE + 12, slot);
    }
    if (facts->done)
        finish_slot(s, slot, slot->error);
}

static void
status_chunk(struct session *s, struct slot *slot, const struct reply *h,
             const struct chunk_facts *facts, uint8_t *p)
{
    bool allocation = (int)facts->context == s->allocation;
    bool hidden = allocation && s->allocation_hidden;
    enum reply_to to = slot->task ? (allocation ? REPLY_TASK_STATUS : REPLY_NOWHERE)
                                  : (hidden ? REPLY_NOWHERE : REPLY_CLIENT_STATUS);
    if (to == REPLY_CLIENT_STATUS)
        pass_header(s, p, CHUNK_SIZE + 4, slot);
    else
        stream_take(s->upstream, CHUNK_SIZE + 4);
    begin_payload(s, slot, to, h->length - 4, facts->done);
    s->reply_hidden = hidden && !slot->task;
}

static void
none_chunk(struct session *s, struct slot *slot, uint8_t *p)
{
    if (slot->task) {
        stream_take(s->upstream, CHUNK_SIZE);
        task_reply(slot->task, slot->error);
    } else if (slot->error && !chunks_passed_on(slot)) {
        stream_take(s->upstream, CHUNK_SIZE);
        complete(s, slot, slot->error);
    } else if (!slot->error && flush_is_void(s, slot)) {
        stream_take(s->upstream, CHUNK_SIZE);
        complete(s, slot, NBD_EIO);
    } else {
        pass_header(s, p, CHUNK_SIZE, slot);
        passed_on(s, slot, slot->error);
    }
}

// Returns false when more of the chunk is needed first.
static bool
chunk(struct session *s, struct slot *slot, const struct reply *h, uint8_t *p, size_t n)
{
    const char *why = NULL;
    int head = chunk_head_size(&slot->track, h, &why);
    if (head < 0) {
        breach(s, why);
        return false;
    }
    if (n < CHUNK_SIZE + (size_t)head)
        return false;
    struct chunk_facts facts = {0};
    why = chunk_judge(&slot->track, h, p + CHUNK_SIZE, s->contexts, s->n_contexts, &facts);
    if (why) {
        breach(s, why);
        return false;
    }
    switch (h->type) {
    case NBD_REPLY_TYPE_NONE: none_chunk(s, slot, p); break;
    case NBD_REPLY_TYPE_OFFSET_DATA: data_chunk(s, slot, &facts, p); break;
    case NBD_REPLY_TYPE_OFFSET_HOLE: hole_chunk(s, slot, &facts, p); break;
    case NBD_REPLY_TYPE_BLOCK_STATUS: status_chunk(s, slot, h, &facts, p); break;
    default: error_chunk(s, slot, h, &facts, p); break;
    }
    return true;
}

// Payload ---------------------------------------------------------------------------------

// Extents come eight bytes each; what is cut waits for its rest.
static bool
pass_extents(struct session *s, uint8_t *p, size_t n)
{
    n &= ~(size_t)7;
    if (!n)
        return false;
    const char *why = chunk_extents(&s->reply_slot->track, p, (unsigned)(n / 8), &s->status_total);
    if (why) {
        // Part of the message may have been passed on: the client's framing cannot be saved.
        breach(s, why);
        return false;
    }
    if (s->reply_to == REPLY_TASK_STATUS && s->status_total && !s->reply_slot->task->extent_known)
        task_extent(s->reply_slot->task, get_be32(p), get_be32(p + 4));
    stream_take(s->upstream, n);
    if (s->reply_to == REPLY_CLIENT_STATUS && s->client)
        stream_send_ref(s->client, s->upstream, p, n);
    s->reply_left -= n;
    return true;
}

static bool
pass_payload(struct session *s, uint8_t *p, size_t n)
{
    if (n > s->reply_left)
        n = (size_t)s->reply_left;
    if (s->reply_slot && (s->reply_to == REPLY_CLIENT_STATUS || s->reply_to == REPLY_TASK_STATUS)) {
        if (!pass_extents(s, p, n))
            return false;
    } else {
        stream_take(s->upstream, n);
        if (s->reply_to == REPLY_CLIENT && s->client)
            stream_send_ref(s->client, s->upstream, p, n);
        else if (s->reply_to == REPLY_TASK && s->reply_slot)
            task_data(s->reply_slot->task, s->reply_offset, p, n);
        s->reply_offset += n;
        s->reply_left -= n;
    }
    if (!s->reply_left)
        end_payload(s);
    return true;
}

// The pump --------------------------------------------------------------------------------

static bool
client_has_room(const struct session *s)
{
    return !s->client || stream_unsent(s->client) < UNSENT_HIGH;
}

static bool
next_reply(struct session *s, uint8_t *p, size_t n)
{
    if (n < 4)
        return false;
    uint32_t size = reply_header_size(get_be32(p));
    if (!size || (size == CHUNK_SIZE && !s->facts.structured)) {
        breach(s, "wrong reply magic");
        return false;
    }
    if (n < size)
        return false;
    struct reply h = reply_decode(p);
    struct slot *slot = slot_table_find(s->worker->slots, h.cookie, s);
    if (!slot) {
        breach(s, "reply with a cookie that is not in flight");
        return false;
    }
    // A WRITE that is answered while its payload is still on its way: whatever it is, framing is
    // lost.
    if (s->payload_left && s->payload_to == PAYLOAD_UPSTREAM && slot == s->payload_slot &&
        !(h.chunk ? h.type & NBD_REPLY_TYPE_ERROR_BIT : h.error)) {
        breach(s, "WRITE acknowledged before its payload");
        return false;
    }
    if (h.chunk)
        return chunk(s, slot, &h, p, n);
    simple_reply(s, slot, &h, p);
    return true;
}

static bool
pump_once(struct session *s)
{
    if (!client_has_room(s))
        return false;
    size_t n;
    uint8_t *p = stream_peek(s->upstream, &n);
    if (!n)
        return false;
    return s->reply_left ? pass_payload(s, p, n) : next_reply(s, p, n);
}

void
upstream_pump(struct session *s)
{
    while (s->upstream && session_alive(s) && pump_once(s))
        ;
    if (session_alive(s) && s->upstream && stream_ended(s->upstream) && client_has_room(s))
        session_upstream_lost(s, END_UPSTREAM_LOST, "closed the connection");
}

size_t
upstream_wants(struct session *s)
{
    if (!client_has_room(s))
        return 0;
    return s->reply_left > CHUNK_SIZE ? (size_t)s->reply_left : CHUNK_SIZE;
}
