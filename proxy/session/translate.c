// SPDX-License-Identifier: BSD-3-Clause
// Replies of upstream in the client's format: a header is re-made in place where it does not become
// longer, so that what follows stays contiguous with it, and copied otherwise.
#include "replies.h"

// The longest extent that a compact chunk can tell, in whole blocks of whatever size.
#define EXTENT_MOST align_down(UINT32_MAX, 64u << 10)

// Passes on the reply at `p`: its first `had` bytes become the `n` bytes of `header`, the next
// `rest` bytes stay.
static void
pass(struct session *s, uint8_t *p, uint32_t had, const uint8_t *header, uint32_t n, size_t rest)
{
    bool in_place = n <= had;
    uint8_t *at = p + had;
    if (in_place) {
        at -= n;
        memcpy(at, header, n);
    }
    stream_take(s->upstream, had + rest);
    if (!s->client)
        return;
    if (!in_place)
        stream_send_copy(s->client, header, n);
    if (in_place || rest)
        stream_send_ref(s->client, s->upstream, at, in_place ? n + rest : rest);
}

// Passes on a chunk of which `kept` bytes behind the header stay as they are; `length`: of all its
// payload.
static void
pass_chunk(struct session *s, const struct slot *slot, uint8_t *p, bool done, uint16_t type,
           uint32_t length, size_t kept)
{
    uint8_t b[CHUNK_SIZE_MAX];
    uint32_t n = chunk_encode(s->facts.client_format, b, done ? NBD_REPLY_FLAG_DONE : 0, type,
                              slot->client_cookie, slot->track.offset, length);
    pass(s, p, chunk_size(s->facts.upstream_format), b, n, kept);
}

void
translate_data(struct session *s, const struct slot *slot, const struct chunk_facts *facts,
               uint8_t *p, bool whole)
{
    uint8_t b[DATA_HEADER_MAX];
    struct range data = {facts->offset, facts->length};
    struct request r = slot_request(slot);
    uint32_t n = client_data_header(s, b, &r, whole && facts->done, data);
    bool simple = s->facts.upstream_format == FORMAT_SIMPLE;
    uint32_t had = simple ? SIMPLE_REPLY_SIZE : chunk_size(s->facts.upstream_format) + 8;
    pass(s, p, had, b, n, whole ? facts->length : 0);
}

void
translate_hole(struct session *s, const struct slot *slot, const struct chunk_facts *facts,
               uint8_t *p)
{
    pass_chunk(s, slot, p, facts->done, NBD_REPLY_TYPE_OFFSET_HOLE, 12, 12);
}

void
translate_error(struct session *s, const struct slot *slot, const struct reply *h, uint32_t error,
                uint8_t *p)
{
    uint32_t size = chunk_size(s->facts.upstream_format), length = (uint32_t)h->length;
    bool done = h->flags & NBD_REPLY_FLAG_DONE;
    if (h->type == NBD_REPLY_TYPE_ERROR || h->type == NBD_REPLY_TYPE_ERROR_OFFSET) {
        put_be32(p + size, error);
        pass_chunk(s, slot, p, done, h->type, length, length);
        return;
    }
    // A type we do not know is passed on as the one that every client knows.
    uint8_t b[ERROR_CHUNK_MAX];
    uint32_t n = error_chunk_encode(s->facts.client_format, b, done ? NBD_REPLY_FLAG_DONE : 0,
                                    slot->client_cookie, slot->track.offset, error);
    stream_take(s->upstream, size + (size_t)length);
    if (s->client)
        stream_send_copy(s->client, b, n);
}

void
translate_none(struct session *s, const struct slot *slot, uint8_t *p)
{
    pass_chunk(s, slot, p, true, NBD_REPLY_TYPE_NONE, 0, 0);
}

void
translate_end(struct session *s, const struct slot *slot)
{
    uint8_t b[CHUNK_SIZE_MAX];
    uint32_t n = chunk_encode(s->facts.client_format, b, NBD_REPLY_FLAG_DONE, NBD_REPLY_TYPE_NONE,
                              slot->client_cookie, slot->track.offset, 0);
    if (s->client)
        stream_send_copy(s->client, b, n);
}

// Block status ----------------------------------------------------------------------------

void
translate_status(struct session *s, const struct slot *slot, const struct chunk_facts *facts,
                 uint8_t *p)
{
    enum wire_format from = s->facts.upstream_format, to = s->facts.client_format;
    uint8_t b[CHUNK_SIZE_MAX + 8];
    uint32_t head = status_head_size(to);
    uint32_t n = chunk_encode(to, b, facts->done ? NBD_REPLY_FLAG_DONE : 0, status_chunk_type(to),
                              slot->client_cookie, slot->track.offset,
                              head + facts->extents * extent_size(to));
    put_be32(b + n, s->contexts[facts->context]);
    if (to == FORMAT_EXTENDED)
        put_be32(b + n + 4, facts->extents);
    pass(s, p, chunk_size(from) + status_head_size(from), b, n + head, 0);
}

// In place: they become shorter.
static const char *
extents_to_compact(struct session *s, uint8_t *p, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct extent e = extent_decode(FORMAT_EXTENDED, p + 16 * (size_t)i);
        if (!extent_fits(FORMAT_STRUCTURED, &e))
            return "64-bit status of a context that was agreed on for 32 bits";
        if (e.length > UINT32_MAX)
            e.length = EXTENT_MOST;
        extent_encode(FORMAT_STRUCTURED, p + 8 * (size_t)i, &e);
    }
    stream_take(s->upstream, 16 * (size_t)n);
    if (s->client)
        stream_send_ref(s->client, s->upstream, p, 8 * (size_t)n);
    return NULL;
}

static void
extents_to_extended(struct session *s, const uint8_t *p, unsigned n)
{
    enum { AT_ONCE = 64 };
    uint8_t b[AT_ONCE * 16];
    for (unsigned i = 0; s->client && i < n; i++, p += 8) {
        struct extent e = extent_decode(FORMAT_STRUCTURED, p);
        extent_encode(FORMAT_EXTENDED, b + 16 * (size_t)(i % AT_ONCE), &e);
        if (i % AT_ONCE == AT_ONCE - 1 || i == n - 1)
            stream_send_copy(s->client, b, 16 * (size_t)(i % AT_ONCE + 1));
    }
    stream_take(s->upstream, 8 * (size_t)n);
}

const char *
translate_extents(struct session *s, uint8_t *p, unsigned n)
{
    enum wire_format from = s->facts.upstream_format, to = s->facts.client_format;
    if (from != to && to == FORMAT_STRUCTURED)
        return extents_to_compact(s, p, n);
    if (from != to) {
        extents_to_extended(s, p, n);
        return NULL;
    }
    size_t length = (size_t)n * extent_size(from);
    stream_take(s->upstream, length);
    if (s->client)
        stream_send_ref(s->client, s->upstream, p, length);
    return NULL;
}
