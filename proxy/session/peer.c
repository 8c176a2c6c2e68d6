// SPDX-License-Identifier: BSD-3-Clause
#include "peer.h"

#include "quiet.h"
#include "words.h"

#include <assert.h>
#include <string.h>

#define STUCK_AFTER (60 * NS_PER_SEC) // nothing has moved for so long: it never will

static void
drop(struct peer *p, const char *what)
{
    timer_cancel(p->ring, &p->stuck);
    if (p->stream)
        stream_close(p->stream, STREAM_ABORT);
    p->stream = NULL;
    p->handler->lost(p->ctx, what);
}

static void
stuck(struct timer *t)
{
    struct peer *p = (struct peer *)((char *)t - offsetof(struct peer, stuck));
    nstime moved = p->sent_at;
    if (stream_last_received(p->stream) > moved)
        moved = stream_last_received(p->stream);
    if (stream_last_sent(p->stream) > moved)
        moved = stream_last_sent(p->stream);
    if (ring_now(p->ring) >= moved + STUCK_AFTER)
        drop(p, "no answer for a minute");
    else
        timer_set(p->ring, t, moved + STUCK_AFTER);
}

uint32_t
peer_most(const struct peer *p)
{
    const struct upstream_export *e = &peer_facts(p)->export;
    return e->has_block_size && e->maximum < MAX_PAYLOAD ? e->maximum : MAX_PAYLOAD;
}

void
peer_send(struct peer *p, const struct peer_request *r)
{
    assert(p->stream && !p->busy);
    enum wire_format f = peer_facts(p)->format;
    uint8_t header[REQUEST_SIZE_MAX];
    struct request q = {.type = r->command,
                        .flags = r->flags,
                        .cookie = ++p->cookie,
                        .offset = r->offset,
                        .length = r->length};
    p->busy = true;
    p->request = *r;
    p->result = (struct peer_result){.all_zero = true};
    chunk_track_begin(&p->track, f, &q);
    p->extents_total = 0;
    request_encode(f, header, &q);
    p->sent_at = ring_clock(p->ring);
    stream_send_copy(p->stream, header, request_size(f));
    if (r->command == NBD_CMD_WRITE)
        stream_send_buf(p->stream, r->buf, r->buf->data + r->at, r->length);
    timer_set(p->ring, &p->stuck, p->sent_at + STUCK_AFTER);
    stream_nudge(p->stream);
}

static void
complete(struct peer *p)
{
    struct peer_result *r = &p->result;
    nstime now = ring_now(p->ring);
    r->took = now > p->sent_at ? now - p->sent_at : 0;
    r->clean = ring_was_quiet(p->ring, p->sent_at, r->took);
    if (!r->error && p->request.command == NBD_CMD_WRITE && stream_unsent(p->stream)) {
        drop(p, "a WRITE was acknowledged before its payload");
        return;
    }
    timer_cancel(p->ring, &p->stuck);
    p->busy = false;
    p->handler->done(p->ctx, r);
}

// Replies -----------------------------------------------------------------------------------

static void
take_data(struct peer *p, const uint8_t *from, size_t n)
{
    p->result.all_zero = p->result.all_zero && bytes_all_zero(from, n);
    if (p->request.buf)
        memcpy(p->request.buf->data + p->request.at + (p->payload_at - p->request.offset), from, n);
    p->payload_at += n;
}

static void
take_hole(struct peer *p, const struct chunk_facts *f)
{
    if (p->request.buf)
        memset(p->request.buf->data + p->request.at + (f->offset - p->request.offset), 0,
               f->length);
}

static bool
take_extents(struct peer *p, const uint8_t *from, size_t n, size_t *used)
{
    enum wire_format f = peer_facts(p)->format;
    unsigned count = (unsigned)(n / extent_size(f));
    *used = (size_t)count * extent_size(f);
    const char *why = chunk_extents(&p->track, from, count, &p->extents_total);
    if (why) {
        drop(p, why);
        return false;
    }
    for (unsigned i = 0; i < count; i++) {
        struct extent e = extent_decode(f, from + (size_t)i * extent_size(f));
        p->handler->extent(p->ctx, e.length, (uint32_t)e.status);
    }
    return true;
}

// True: there may be more to look at.
static bool
pass_payload(struct peer *p, const uint8_t *from, size_t n)
{
    size_t used = n < p->payload_left ? n : (size_t)p->payload_left;
    if (!p->payload_extents)
        take_data(p, from, used);
    else if (!take_extents(p, from, used, &used) || !used)
        return false;
    stream_take(p->stream, used);
    p->payload_left -= used;
    if (!p->payload_left && p->last)
        complete(p);
    return p->stream;
}

static bool
begin_payload(struct peer *p, uint64_t at, uint64_t length, bool extents, bool last)
{
    p->payload_at = at;
    p->payload_left = length;
    p->payload_extents = extents;
    p->last = last;
    if (!length && last)
        complete(p);
    return p->stream;
}

static bool
simple_reply(struct peer *p, const struct reply *h)
{
    bool chunked = peer_facts(p)->format != FORMAT_SIMPLE;
    uint16_t command = p->request.command;
    stream_take(p->stream, SIMPLE_REPLY_SIZE);
    if (!h->error && chunked && (command == NBD_CMD_READ || command == NBD_CMD_BLOCK_STATUS)) {
        drop(p, "simple reply with success where only chunks may carry it");
        return false;
    }
    if (h->error)
        p->result.error = h->error;
    uint64_t length = command == NBD_CMD_READ && !h->error ? p->request.length : 0;
    return begin_payload(p, p->request.offset, length, false, true);
}

static bool
judged_chunk(struct peer *p, const struct reply *h, const struct chunk_facts *f, uint32_t head)
{
    enum wire_format format = peer_facts(p)->format;
    size_t size = chunk_size(format);
    switch (h->type) {
    case NBD_REPLY_TYPE_OFFSET_DATA:
        stream_take(p->stream, size + 8);
        return begin_payload(p, f->offset, f->length, false, f->done);
    case NBD_REPLY_TYPE_BLOCK_STATUS:
    case NBD_REPLY_TYPE_BLOCK_STATUS_EXT:
        stream_take(p->stream, size + status_head_size(format));
        return begin_payload(p, 0, h->length - status_head_size(format), true, f->done);
    case NBD_REPLY_TYPE_OFFSET_HOLE: take_hole(p, f); break;
    case NBD_REPLY_TYPE_NONE: break;
    default: p->result.error = f->error; break;
    }
    stream_take(p->stream, size + head);
    return begin_payload(p, 0, 0, false, f->done);
}

static bool
chunk(struct peer *p, const struct reply *h, const uint8_t *from, size_t n)
{
    const char *why = NULL;
    uint32_t size = chunk_size(peer_facts(p)->format);
    int head = chunk_head_size(&p->track, h, &why);
    if (head >= 0 && n < size + (size_t)head)
        return false;
    struct chunk_facts facts = {0};
    if (head >= 0)
        why = chunk_judge(&p->track, h, from + size, &peer_facts(p)->allocation,
                          peer_facts(p)->has_allocation, &facts);
    if (why) {
        drop(p, why);
        return false;
    }
    return judged_chunk(p, h, &facts, (uint32_t)head);
}

// True: there may be more to look at.
static bool
next_reply(struct peer *p, const uint8_t *from, size_t n)
{
    if (n < 4)
        return false;
    uint32_t size = reply_header_size(peer_facts(p)->format, get_be32(from));
    if (!size) {
        drop(p, "wrong reply magic");
        return false;
    }
    if (n < size)
        return false;
    struct reply h = reply_decode(from);
    if (!p->busy || h.cookie != p->cookie) {
        drop(p, "reply with a cookie that is not in flight");
        return false;
    }
    return h.chunk ? chunk(p, &h, from, n) : simple_reply(p, &h);
}

static void
news(void *ctx)
{
    struct peer *p = ctx;
    for (bool more = true; more && p->stream;) {
        size_t n;
        const uint8_t *from = stream_peek(p->stream, &n);
        if (!n)
            break;
        more = p->payload_left ? pass_payload(p, from, n) : next_reply(p, from, n);
    }
    if (p->stream && stream_ended(p->stream))
        drop(p, stream_truncated(p->stream) ? "TLS was cut off" : "closed the connection");
    if (p->stream)
        stream_want(p->stream,
                    p->payload_left > CHUNK_SIZE_MAX ? (size_t)p->payload_left : CHUNK_SIZE_MAX);
}

static void
broken(void *ctx)
{
    struct peer *p = ctx;
    char what[STREAM_WORDS];
    drop(p, stream_words(p->stream, what));
}

// The beginning, the end --------------------------------------------------------------------

static void
greeted(void *ctx, struct stream *s)
{
    static const struct stream_handler handler = {.ready = news, .broken = broken};
    struct peer *p = ctx;
    p->stream = s;
    stream_set_handler(s, &handler, p);
    p->handler->opened(p->ctx);
    if (p->stream)
        stream_nudge(p->stream);
}

static void
not_greeted(void *ctx, const char *what)
{
    struct peer *p = ctx;
    p->handler->lost(p->ctx, what);
}

bool
peer_open(struct peer *p, struct ring *ring, const struct upstream_settings *upstream,
          struct bytes name, const struct peer_handler *handler, void *ctx)
{
    static const struct greeting_handler greeting_handler = {.done = greeted,
                                                             .failed = not_greeted};
    *p = (struct peer){.ring = ring, .handler = handler, .ctx = ctx, .stuck = {.fire = stuck}};
    return greeting_begin(&p->greeting, ring, upstream, name, &greeting_handler, p);
}

void
peer_close(struct peer *p)
{
    if (!p->ring)
        return;
    timer_cancel(p->ring, &p->stuck);
    greeting_cancel(&p->greeting);
    if (!p->stream)
        return;
    if (!p->busy) {
        enum wire_format f = peer_facts(p)->format;
        uint8_t b[REQUEST_SIZE_MAX];
        request_encode(f, b, &(struct request){.type = NBD_CMD_DISC});
        stream_send_copy(p->stream, b, request_size(f));
    }
    stream_close(p->stream, p->busy ? STREAM_ABORT : STREAM_FINISH);
    p->stream = NULL;
}
