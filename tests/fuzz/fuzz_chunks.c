// SPDX-License-Identifier: BSD-3-Clause
// Input: a request (offset 8, length 4, command 2, flags 2), how many context ids, one byte, the
// ids, 4 each; then chunks: type 2, flags 2, length 4, the head of the payload, and, of block
// status, as many extents as are there. Data are not in the input: nobody looks at them.
// With the top bit of the number of ids set all is in the extended format: the high 4 bytes of the
// request's length follow the ids (not those of READ), and chunks have an offset of 8 bytes and a
// length of 8.
//
// The tracker is held against a map of the request with a flag for each byte.
#include "drive.h"

#include <wire/chunks.h>

#define MAP_SIZE 65536u

struct model {
    bool active, exact; // exact: until the tracker has had to forget a span
    uint8_t map[MAP_SIZE];
};

static unsigned
count_spans(const struct model *m, uint64_t length)
{
    unsigned n = 0;
    for (uint32_t i = 0; i < length; i++)
        n += m->map[i] && (i == 0 || !m->map[i - 1]);
    return n;
}

static void
check_spans(const struct chunk_track *t)
{
    CHECK(t->n_spans <= CHUNK_GAPS);
    CHECK(t->covered <= t->length);
    for (unsigned i = 0; i < t->n_spans; i++) {
        CHECK(t->spans[i].from < t->spans[i].to && t->spans[i].to <= t->length);
        CHECK(i == 0 || t->spans[i - 1].to < t->spans[i].from);
    }
}

// A content chunk that lies inside the request has been accepted or not.
static void
check_content(struct model *m, const struct chunk_track *t, const struct chunk_facts *f, bool sound)
{
    uint32_t from = (uint32_t)(f->offset - t->offset);
    bool overlaps = memchr(m->map + from, 1, f->length) != NULL;
    if (m->exact)
        CHECK(!(overlaps && sound));
    if (!sound)
        return;
    memset(m->map + from, 1, f->length);
    m->exact &= count_spans(m, t->length) <= CHUNK_GAPS;
}

static void
check_end(const struct model *m, const struct chunk_track *t)
{
    if (t->command != NBD_CMD_READ || t->failed)
        return;
    CHECK(t->covered == t->length);
    if (m->active && m->exact && t->length)
        CHECK(!memchr(m->map, 0, t->length));
}

static const char *
check_extents(const struct chunk_track *t, const struct reply *h, uint32_t n, struct cursor *c)
{
    uint32_t each = extent_size(t->format);
    CHECK(n > 0 && n <= MAX_STATUS_EXTENTS);
    CHECK(h->length == status_head_size(t->format) + (uint64_t)n * each);
    if (n > cursor_left(c) / each)
        n = (uint32_t)(cursor_left(c) / each);
    uint64_t total = 0;
    const char *why = chunk_extents(t, cursor_bytes(c, (size_t)each * n).p, n, &total);
    CHECK(n == 0 || total == 0 || total <= MAX_EXPORT_SIZE - t->offset);
    CHECK(why || total >= n);
    return why;
}

// Returns whether the reply goes on.
static bool
judge_one(struct chunk_track *t, struct model *m, const uint32_t *ids, unsigned n_ids,
          struct cursor *c)
{
    struct reply h = {.chunk = true};
    h.type = cursor_be16(c);
    h.flags = cursor_be16(c);
    h.offset = t->format == FORMAT_EXTENDED ? cursor_be64(c) : 0;
    h.length = t->format == FORMAT_EXTENDED ? cursor_be64(c) : cursor_be32(c);
    const char *why = NULL;
    int size = chunk_head_size(t, &h, &why);
    CHECK((size < 0) == (why != NULL));
    if (size < 0 || c->bad)
        return false;
    CHECK((uint32_t)size <= h.length && (uint32_t)size <= MAX_ERROR_CHUNK);
    CHECK(h.length <= UINT32_MAX && (t->format != FORMAT_EXTENDED || h.offset == t->offset));
    struct bytes payload = cursor_bytes(c, (size_t)size);
    if (c->bad)
        return false;
    struct piece head = piece_next(payload, 0, (struct cut){SIZE_MAX, 1});
    struct chunk_facts facts;
    why = chunk_judge(t, &h, head.p, ids, n_ids, &facts);
    check_spans(t);
    bool content = h.type == NBD_REPLY_TYPE_OFFSET_DATA || h.type == NBD_REPLY_TYPE_OFFSET_HOLE;
    bool inside = facts.offset >= t->offset && facts.offset - t->offset <= t->length &&
                  facts.length <= t->length - (facts.offset - t->offset);
    CHECK(why || !content || inside);
    if (m->active && content && inside && facts.length)
        check_content(m, t, &facts, t->covered && !why);
    if (!why && (h.type & NBD_REPLY_TYPE_ERROR_BIT)) {
        CHECK(t->failed && facts.error && facts.text.len <= MAX_STRING);
        CHECK(facts.text.p >= head.p && facts.text.p + facts.text.len <= head.p + head.len);
        m->exact = false; // errors take spans, too
    }
    if (!why && h.type == status_chunk_type(t->format)) {
        CHECK(ids[facts.context] == get_be32(head.p));
        why = check_extents(t, &h, facts.extents, c);
    }
    free(head.p);
    if (!why && facts.done)
        check_end(m, t);
    return !why && !facts.done;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct model m;
    struct cursor c = cursor_of(data, size);
    struct request r = {0};
    uint32_t ids[MAX_CONTEXTS];
    r.offset = cursor_be64(&c);
    r.length = cursor_be32(&c);
    r.type = cursor_be16(&c);
    r.flags = cursor_be16(&c);
    struct bytes n = cursor_bytes(&c, 1);
    unsigned n_ids = n.p ? (n.p[0] & 0x7f) % (MAX_CONTEXTS + 1) : 0;
    enum wire_format f = n.p && n.p[0] & 0x80 ? FORMAT_EXTENDED : FORMAT_STRUCTURED;
    for (unsigned i = 0; i < n_ids; i++)
        ids[i] = cursor_be32(&c);
    if (f == FORMAT_EXTENDED && r.type != NBD_CMD_READ)
        r.length |= (uint64_t)cursor_be32(&c) << 32;
    m.active = r.length <= MAP_SIZE;
    m.exact = true;
    if (m.active)
        memset(m.map, 0, r.length);
    struct chunk_track t;
    chunk_track_begin(&t, f, &r);
    while (!c.bad && judge_one(&t, &m, ids, n_ids, &c))
        ;
    return 0;
}
