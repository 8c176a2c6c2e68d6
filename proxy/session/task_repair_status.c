// SPDX-License-Identifier: BSD-3-Clause
// An unaligned BLOCK_STATUS: asked of the blocks around it. The extents of all contexts are
// gathered; what lies before and behind the client's range is cut off, the rest is the answer.
#include "task_repair.h"

#include <wire/names.h>

// So many extents of a context are told at a time: who wants more asks on from where they end
// (spec: NBD_CMD_BLOCK_STATUS).
#define EXTENTS_MOST 256u

// What has come of one context, in the task's data.
struct told {
    uint64_t before, left; // of what comes: in front of the client's range, and within it
    unsigned n;
    struct extent extents[EXTENTS_MOST];
};

static struct told *
told_of(const struct task *t, unsigned context)
{
    return (struct told *)(void *)t->data->data + context;
}

static void
extent(struct task *t, unsigned context, const struct extent *e)
{
    struct told *o = told_of(t, context);
    uint64_t cut = o->before < e->length ? o->before : e->length;
    uint64_t length = e->length - cut < o->left ? e->length - cut : o->left;
    o->before -= cut;
    o->left -= length;
    if (o->n == EXTENTS_MOST || !extent_fits(t->s->facts.client_format, e))
        o->left = 0; // an answer may be short, but not have gaps
    else if (length)
        o->extents[o->n++] = (struct extent){.length = length, .status = e->status};
}

// Several extents of the same status are told as they came: upstream may have its reasons.
static void
say_context(struct task *t, unsigned context, bool last)
{
    struct session *s = t->s;
    enum wire_format f = s->facts.client_format;
    const struct told *o = told_of(t, context);
    uint8_t b[CHUNK_SIZE_MAX + 8 + 16 * EXTENTS_MOST];
    uint32_t length = status_head_size(f) + o->n * extent_size(f);
    uint8_t *p = b + chunk_encode(f, b, last ? NBD_REPLY_FLAG_DONE : 0, status_chunk_type(f),
                                  t->request.cookie, t->request.offset, length);
    put_be32(p, s->contexts[context]);
    if (f == FORMAT_EXTENDED)
        put_be32(p + 4, o->n);
    p += status_head_size(f);
    for (unsigned i = 0; i < o->n; i++, p += extent_size(f))
        extent_encode(f, p, &o->extents[i]);
    client_say(s, b, (size_t)(p - b));
}

static bool
is_hidden(const struct session *s, unsigned context)
{
    return (int)context == s->allocation && s->allocation_hidden;
}

// The client is owed a chunk of each of its contexts (spec: NBD_CMD_BLOCK_STATUS); `*last` is the
// last of them. False: of some there is nothing to say, for upstream's extents ended before the
// client's range begins, or it left the context out.
static bool
all_known(const struct task *t, unsigned *last)
{
    bool all = true;
    for (unsigned i = 0; i < t->s->n_contexts; i++) {
        if (is_hidden(t->s, i))
            continue;
        all &= told_of(t, i)->n > 0;
        *last = i;
    }
    return all;
}

static void
stepped(struct task *t, uint32_t error)
{
    unsigned last = 0;
    if (!error && !all_known(t, &last))
        error = NBD_EIO;
    if (error) {
        repair_finish(t, error);
        return;
    }
    for (unsigned i = 0; i <= last; i++)
        if (!is_hidden(t->s, i))
            say_context(t, i, i == last);
    t->answered = true;
    client_finished(t->s, &t->request, NBD_SUCCESS, t->began);
    repair_give_back(t);
    task_end(t);
}

static const struct task_kind task_repair_status_kind = {
    .name = "repaired block status",
    .repairs = true,
    .stepped = stepped,
    .extent = extent,
    .lost = repair_lost,
};

void
repair_status_begin(struct session *s, const struct request *r, nstime began)
{
    struct range span = repair_widen(s, (struct range){r->offset, r->length});
    struct task *t =
        repair_new(s, r, &task_repair_status_kind, s->n_contexts * sizeof(struct told), began);
    if (!t) {
        client_answer(s, r, NBD_ENOMEM, began);
        return;
    }
    for (unsigned i = 0; i < s->n_contexts; i++) {
        struct told *o = told_of(t, i);
        o->before = r->offset - span.offset;
        o->left = is_hidden(s, i) ? 0 : r->length;
        o->n = 0;
    }
    if (!session_length_fits(s, span.length))
        span.length = repair_longest(s, UINT32_MAX);
    task_step(t, &(struct step){.type = NBD_CMD_BLOCK_STATUS,
                                .flags = r->flags & NBD_CMD_FLAG_REQ_ONE,
                                .offset = span.offset,
                                .length = span.length});
}
