// SPDX-License-Identifier: BSD-3-Clause
// Transmission, from upstream: every reply is checked against the request it answers, then passed
// on in the client's format (translate.c), payload by reference as it comes. Replies to tasks go to
// the task.
#include "replies.h"

#include "task.h"
#include <wire/names.h>

static void
breach(struct session *s, const char *what)
{
    session_upstream_lost(s, END_UPSTREAM_BREACH, what);
}

// Completing ------------------------------------------------------------------------------

static void
note_flush(struct session *s, const struct slot *slot, uint32_t error)
{
    if (slot->track.command == NBD_CMD_FLUSH)
        session_flushed(s, slot->writes_before, error);
}

// The last byte of the reply has been passed on.
static void
passed_on(struct session *s, struct slot *slot, uint32_t error)
{
    struct request r = slot_request(slot);
    nstime began = slot->began;
    note_flush(s, slot, error);
    learning_done(s, slot, error);
    session_release(s, slot);
    client_wrote(s, &r, error);
    client_finished(s, &r, error, began);
    client_send_late(s);
}

// Answers by a reply of ours what cannot be passed on as it came.
static void
complete(struct session *s, struct slot *slot, uint32_t error)
{
    struct request r = slot_request(slot);
    nstime began = slot->began;
    bool flush_first = slot->fua && !error;
    note_flush(s, slot, error);
    learning_done(s, slot, error);
    session_release(s, slot);
    client_wrote(s, &r, error);
    if (flush_first)
        task_flush_begin(s, &r, began);
    else
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

static uint32_t
error_for_client(struct session *s, const struct slot *slot, uint32_t error)
{
    uint16_t command = slot->track.command, flags = slot->track.flags;
    if (slot->task && error == NBD_ENOTSUP)
        return error; // tasks want to know it from EINVAL, and map before they answer
    if (slot->native_fast && (error == NBD_EINVAL || error == NBD_EOVERFLOW))
        return NBD_ENOTSUP; // promise 7 of docs/zeroing.md
    uint32_t mapped = nbd_error_for_client(error, command, flags & NBD_CMD_FLAG_FAST_ZERO, false);
    if (mapped != error)
        session_log(s, LOG_LEVEL_DEBUG, "upstream: error %u to %s, sent on as %s", error,
                    nbd_command_name(command), nbd_error_name(mapped));
    return mapped;
}

// A FLUSH of ours has failed while this one was under way, and may have taken the error that was
// its due.
static bool
flush_is_void(struct session *s, const struct slot *slot)
{
    return slot->track.command == NBD_CMD_FLUSH && client_flush_owed(s);
}

// Payload ---------------------------------------------------------------------------------

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
    s->reply_wants_end = false;
    s->status_total = 0;
}

static void
end_payload(struct session *s)
{
    struct slot *slot = s->reply_slot;
    s->reply_slot = NULL;
    if (!s->reply_done || !slot) {
        client_send_late(s);
        return;
    }
    if (s->reply_wants_end)
        translate_end(s, slot);
    finish_slot(s, slot, slot->error);
}

static const char *
take_extents(struct session *s, uint8_t *p, unsigned n)
{
    struct slot *slot = s->reply_slot;
    const char *why = chunk_extents(&slot->track, p, n, &s->status_total);
    if (!why && s->reply_to == REPLY_CLIENT_STATUS)
        return translate_extents(s, p, n);
    uint32_t size = extent_size(s->facts.upstream_format);
    stream_take(s->upstream, (size_t)n * size);
    for (unsigned i = 0; !why && s->reply_to == REPLY_TASK_STATUS && i < n; i++) {
        struct extent e = extent_decode(s->facts.upstream_format, p + (size_t)i * size);
        task_extent(slot->task, s->status_context, &e);
    }
    return why;
}

// What is cut waits for its rest.
static bool
pass_extents(struct session *s, uint8_t *p, size_t n)
{
    uint32_t size = extent_size(s->facts.upstream_format);
    n -= n % size;
    if (!n)
        return false;
    const char *why = take_extents(s, p, (unsigned)(n / size));
    if (why) {
        // Part of the message may have been passed on: the client's framing cannot be saved.
        breach(s, why);
        return false;
    }
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

// Data of a READ begins at `p`, of which `n` bytes are here: `facts`, behind a header and `head`
// bytes. A content chunk that says DONE leaves no room for an error behind it, should upstream
// break in its middle: so DONE is said behind the data, unless all of it is here already.
static void
pass_data(struct session *s, struct slot *slot, const struct chunk_facts *facts, uint8_t *p,
          size_t head, size_t n)
{
    bool whole = facts->length <= n - head;
    if (slot->task) {
        stream_take(s->upstream, head);
        begin_payload(s, slot, REPLY_TASK, facts->length, facts->done);
        s->reply_offset = facts->offset;
    } else {
        translate_data(s, slot, facts, p, whole);
        begin_payload(s, slot, REPLY_CLIENT, whole ? 0 : facts->length, facts->done);
        s->reply_wants_end = !whole && s->facts.client_format != FORMAT_SIMPLE;
    }
    if (!s->reply_left)
        end_payload(s);
}

// Simple replies --------------------------------------------------------------------------

static void
simple_reply(struct session *s, struct slot *slot, const struct reply *h, uint8_t *p, size_t n)
{
    uint16_t command = slot->track.command;
    bool chunked = s->facts.upstream_format != FORMAT_SIMPLE;
    bool has_payload = command == NBD_CMD_READ && !h->error;
    if (chunked && !h->error && (has_payload || command == NBD_CMD_BLOCK_STATUS)) {
        breach(s, "simple reply with success where only chunks may carry it");
        return;
    }
    if (has_payload) {
        struct chunk_facts facts = {
            .offset = slot->track.offset, .length = (uint32_t)slot->track.length, .done = true};
        pass_data(s, slot, &facts, p, SIMPLE_REPLY_SIZE, n);
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

// Of other commands nothing is passed on before the chunk that ends the reply.
static bool
chunks_passed_on(const struct session *s, const struct slot *slot)
{
    return s->facts.client_format != FORMAT_SIMPLE &&
           (slot->track.command == NBD_CMD_READ || slot->track.command == NBD_CMD_BLOCK_STATUS);
}

static void
error_chunk(struct session *s, struct slot *slot, const struct reply *h,
            const struct chunk_facts *facts, uint8_t *p)
{
    uint32_t error = error_for_client(s, slot, facts->error);
    slot->error = error;
    bool last_to_chunks = facts->done && s->facts.client_format != FORMAT_SIMPLE;
    if (!slot->task && (last_to_chunks || chunks_passed_on(s, slot))) {
        translate_error(s, slot, h, error, p);
        if (facts->done)
            passed_on(s, slot, error);
        return;
    }
    stream_take(s->upstream, chunk_size(s->facts.upstream_format) + (size_t)h->length);
    if (!facts->done)
        return;
    if (slot->task)
        task_reply(slot->task, error);
    else
        complete(s, slot, error);
}

static void
hole_chunk(struct session *s, struct slot *slot, const struct chunk_facts *facts, uint8_t *p)
{
    if (slot->task) {
        stream_take(s->upstream, chunk_size(s->facts.upstream_format) + 12);
        task_data(slot->task, facts->offset, NULL, facts->length);
    } else {
        translate_hole(s, slot, facts, p);
    }
    if (facts->done)
        finish_slot(s, slot, slot->error);
}

static void
status_chunk(struct session *s, struct slot *slot, const struct reply *h,
             const struct chunk_facts *facts, uint8_t *p)
{
    enum wire_format from = s->facts.upstream_format;
    bool hidden = (int)facts->context == s->allocation && s->allocation_hidden;
    enum reply_to to = REPLY_CLIENT_STATUS;
    if (slot->task)
        to = task_wants_extents(slot->task, facts->context) ? REPLY_TASK_STATUS : REPLY_NOWHERE;
    else if (hidden)
        to = REPLY_NOWHERE;
    if (to == REPLY_CLIENT_STATUS)
        translate_status(s, slot, facts, p);
    else
        stream_take(s->upstream, chunk_size(from) + status_head_size(from));
    begin_payload(s, slot, to, h->length - status_head_size(from), facts->done);
    s->reply_wants_end = hidden && !slot->task;
    s->status_context = facts->context;
}

static void
none_chunk(struct session *s, struct slot *slot, uint8_t *p)
{
    bool ours = s->facts.client_format == FORMAT_SIMPLE || slot->fua ||
                (slot->error && !chunks_passed_on(s, slot));
    bool is_void = !slot->task && !slot->error && flush_is_void(s, slot);
    if (!slot->task && !ours && !is_void) {
        translate_none(s, slot, p);
        passed_on(s, slot, slot->error);
        return;
    }
    stream_take(s->upstream, chunk_size(s->facts.upstream_format));
    if (slot->task)
        task_reply(slot->task, slot->error);
    else
        complete(s, slot, is_void ? NBD_EIO : slot->error);
}

// Returns false when more of the chunk is needed first.
static bool
chunk(struct session *s, struct slot *slot, const struct reply *h, uint8_t *p, size_t n)
{
    const char *why = NULL;
    uint32_t size = chunk_size(s->facts.upstream_format);
    int head = chunk_head_size(&slot->track, h, &why);
    if (head < 0) {
        breach(s, why);
        return false;
    }
    if (n < size + (size_t)head)
        return false;
    struct chunk_facts facts = {0};
    why = chunk_judge(&slot->track, h, p + size, s->contexts, s->n_contexts, &facts);
    if (why) {
        breach(s, why);
        return false;
    }
    switch (h->type) {
    case NBD_REPLY_TYPE_NONE: none_chunk(s, slot, p); break;
    case NBD_REPLY_TYPE_OFFSET_DATA: pass_data(s, slot, &facts, p, size + 8, n); break;
    case NBD_REPLY_TYPE_OFFSET_HOLE: hole_chunk(s, slot, &facts, p); break;
    case NBD_REPLY_TYPE_BLOCK_STATUS:
    case NBD_REPLY_TYPE_BLOCK_STATUS_EXT: status_chunk(s, slot, h, &facts, p); break;
    default: error_chunk(s, slot, h, &facts, p); break;
    }
    return true;
}

// The pump --------------------------------------------------------------------------------

static bool
client_has_room(const struct session *s)
{
    // A repair may hold a guard for which others wait: its replies must come whatever this client
    // does.
    return !s->client || s->repairs || stream_unsent(s->client) < UNSENT_HIGH;
}

static bool
next_reply(struct session *s, uint8_t *p, size_t n)
{
    if (n < 4)
        return false;
    uint32_t size = reply_header_size(s->facts.upstream_format, get_be32(p));
    if (!size) {
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
    simple_reply(s, slot, &h, p, n);
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
        session_upstream_lost(s, END_UPSTREAM_LOST,
                              stream_truncated(s->upstream) ? "TLS was cut off"
                                                            : "closed the connection");
}

size_t
upstream_wants(struct session *s)
{
    if (!client_has_room(s))
        return 0;
    return s->reply_left > CHUNK_SIZE_MAX ? (size_t)s->reply_left : CHUNK_SIZE_MAX;
}
