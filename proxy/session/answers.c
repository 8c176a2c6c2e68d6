// SPDX-License-Identifier: BSD-3-Clause
// What we say to the client ourselves, in its format, and how its requests are counted out.
#include "session.h"

#include <stdlib.h>

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

static enum counted_error
counted_error(uint32_t error)
{
    switch (error) {
    case NBD_EPERM: return COUNT_EPERM;
    case NBD_ENOMEM: return COUNT_ENOMEM;
    case NBD_EINVAL: return COUNT_EINVAL;
    case NBD_ENOSPC: return COUNT_ENOSPC;
    case NBD_EOVERFLOW: return COUNT_EOVERFLOW;
    case NBD_ENOTSUP: return COUNT_ENOTSUP;
    case NBD_ESHUTDOWN: return COUNT_ESHUTDOWN;
    default: return COUNT_EIO;
    }
}

static void
count(struct session *s, const struct request *r, uint32_t error, nstime began,
      enum request_ending ending)
{
    s->counters->endings[ending]++;
    if (error)
        s->counters->errors[counted_error(error)]++;
    if (r->type >= NBD_COMMANDS || counted[r->type] < 0)
        return;
    unsigned command = (unsigned)counted[r->type];
    struct command_counters *c = &s->counters->commands[command];
    c->count++;
    if (error)
        c->errors++;
    else
        c->bytes += r->length;
    nstime now = session_now(s);
    histogram_add(&s->counters->latency[command], now > began ? now - began : 0);
}

// How a request ended that was in flight.
static enum request_ending
ending_of(const struct session *s, uint32_t error)
{
    if (!s->client || s->dropping)
        return REQUEST_ABANDONED;
    if (!error)
        return REQUEST_DONE;
    if (error == NBD_ESHUTDOWN && s->worker->draining)
        return REQUEST_SHUT_DOWN;
    if (!s->upstream)
        return REQUEST_UPSTREAM_LOST;
    return error == NBD_ENOTSUP ? REQUEST_NOT_FAST : REQUEST_UPSTREAM_ERROR;
}

// And one that we answered without asking upstream.
static enum request_ending
own_ending(uint32_t error)
{
    switch (error) {
    case NBD_SUCCESS: return REQUEST_ANSWERED;
    case NBD_ENOTSUP: return REQUEST_NOT_FAST;
    case NBD_ENOMEM: return REQUEST_NO_MEMORY;
    case NBD_EIO: return REQUEST_FLUSH_FAILED;
    case NBD_ESHUTDOWN: return REQUEST_SHUT_DOWN;
    default: return REQUEST_REFUSED;
    }
}

// READ and WRITE are bounded in bytes, too: theirs are held here.
static uint64_t
bytes_of_request(const struct request *r)
{
    return r->type == NBD_CMD_READ || r->type == NBD_CMD_WRITE ? r->length : 0;
}

void
client_begun(struct session *s, const struct request *r)
{
    s->in_flight++;
    s->in_flight_bytes += bytes_of_request(r);
}

void
client_uncount(struct session *s, const struct request *r)
{
    s->in_flight--;
    s->in_flight_bytes -= bytes_of_request(r);
}

static void
finished(struct session *s, const struct request *r, uint32_t error, nstime began,
         enum request_ending ending)
{
    request_log(s, r, error, began, "");
    client_uncount(s, r);
    count(s, r, error, began, ending);
    if (s->facts.client_format != s->facts.upstream_format)
        s->counters->translations++;
}

void
client_finished(struct session *s, const struct request *r, uint32_t error, nstime began)
{
    finished(s, r, error, began, ending_of(s, error));
}

// Messages --------------------------------------------------------------------------------

static void
say_late(struct session *s, const void *p, size_t n)
{
    struct late_reply *l = malloc(sizeof *l + n);
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

void
client_say(struct session *s, const void *p, size_t n)
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

// READ must not be answered by a simple reply once replies are structured (spec: "Simple reply
// message"), nor BLOCK_STATUS, of which chunks may have been passed on; everything else may. With
// extended headers "a simple reply MUST NOT be used".
bool
client_wants_chunks(const struct session *s, uint16_t command)
{
    switch (s->facts.client_format) {
    case FORMAT_SIMPLE: return false;
    case FORMAT_STRUCTURED: return command == NBD_CMD_READ || command == NBD_CMD_BLOCK_STATUS;
    case FORMAT_EXTENDED: break;
    }
    return true;
}

static void
say_reply(struct session *s, const struct request *r, uint32_t error)
{
    enum wire_format f = s->facts.client_format;
    uint8_t b[ERROR_CHUNK_MAX];
    uint32_t n = SIMPLE_REPLY_SIZE;
    if (!client_wants_chunks(s, r->type))
        simple_reply_encode(b, r->cookie, error);
    else if (error)
        n = error_chunk_encode(f, b, NBD_REPLY_FLAG_DONE, r->cookie, r->offset, error);
    else
        n = chunk_encode(f, b, NBD_REPLY_FLAG_DONE, NBD_REPLY_TYPE_NONE, r->cookie, r->offset, 0);
    client_say(s, b, n);
}

void
client_answer(struct session *s, const struct request *r, uint32_t error, nstime began)
{
    request_log(s, r, error, began, " by the proxy");
    say_reply(s, r, error);
    count(s, r, error, began, own_ending(error));
}

void
client_complete(struct session *s, const struct request *r, uint32_t error, nstime began)
{
    client_complete_as(s, r, error, began, ending_of(s, error));
}

void
client_complete_as(struct session *s, const struct request *r, uint32_t error, nstime began,
                   enum request_ending ending)
{
    say_reply(s, r, error);
    finished(s, r, error, began, ending);
}

// base:allocation of an upstream without block status: who knows nothing says that all is data
// (spec: NBD_STATE_HOLE, "the server MAY always leave this clear").
void
client_answer_status(struct session *s, const struct request *r, nstime began)
{
    enum wire_format f = s->facts.client_format;
    uint8_t b[CHUNK_SIZE_MAX + 8 + 16];
    uint32_t head = status_head_size(f), length = head + extent_size(f);
    uint32_t n =
        chunk_encode(f, b, NBD_REPLY_FLAG_DONE, status_chunk_type(f), r->cookie, r->offset, length);
    put_be32(b + n, s->contexts[0]);
    if (f == FORMAT_EXTENDED)
        put_be32(b + n + 4, 1);
    extent_encode(f, b + n + head, &(struct extent){.length = r->length});
    request_log(s, r, NBD_SUCCESS, began, " by the proxy");
    client_say(s, b, n + length);
    count(s, r, NBD_SUCCESS, began, REQUEST_ANSWERED);
}

uint32_t
client_data_header(const struct session *s, uint8_t *p, const struct request *r, bool done,
                   struct range data)
{
    enum wire_format f = s->facts.client_format;
    if (f == FORMAT_SIMPLE) {
        simple_reply_encode(p, r->cookie, NBD_SUCCESS);
        return SIMPLE_REPLY_SIZE;
    }
    uint32_t n = chunk_encode(f, p, done ? NBD_REPLY_FLAG_DONE : 0, NBD_REPLY_TYPE_OFFSET_DATA,
                              r->cookie, r->offset, (uint32_t)data.length + 8);
    put_be64(p + n, data.offset);
    return n + 8;
}

void
client_complete_data(struct session *s, const struct request *r, struct buf *b, const uint8_t *p,
                     nstime began)
{
    if (s->client) {
        uint8_t header[DATA_HEADER_MAX];
        uint32_t n = client_data_header(s, header, r, true, (struct range){r->offset, r->length});
        stream_send_copy(s->client, header, n);
        stream_send_buf(s->client, b, p, r->length);
    }
    client_finished(s, r, NBD_SUCCESS, began);
}
