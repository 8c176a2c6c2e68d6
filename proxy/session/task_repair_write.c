// SPDX-License-Identifier: BSD-3-Clause
// Read, modify, write: an unaligned WRITE, and the edges of an unaligned WRITE_ZEROES. Only the
// bytes of the request change; the rest of their blocks is read and written back under the guard.
#include "task_repair.h"

#include <wire/names.h>

// A short span is read at once, though only its two ends are needed: a round trip is dearer.
#define READ_WHOLE (64u << 10)

static uint32_t
block(const struct task *t)
{
    return t->s->facts.upstream_minimum;
}

static uint8_t *
image(const struct task *t, uint64_t offset)
{
    return t->data->data + (offset - t->u.repair.span.offset);
}

// Steps -----------------------------------------------------------------------------------

// Which blocks of `span` must be read so that `change` can be written; returns how many reads.
static unsigned
plan_reads(uint32_t block, struct range change, struct range span, struct range reads[2])
{
    bool head = change.offset > span.offset, tail = range_end(change) < range_end(span);
    uint64_t last = align_down(range_end(span) - 1, block);
    uint64_t whole = 2 * (uint64_t)block > READ_WHOLE ? 2 * (uint64_t)block : READ_WHOLE;
    unsigned n = 0;
    if (head && tail && span.length <= whole) {
        reads[n++] = span;
        return n;
    }
    if (head)
        reads[n++] = (struct range){span.offset, span.length < block ? span.length : block};
    if (tail)
        reads[n++] = (struct range){last, range_end(span) - last};
    return n;
}

static struct step
next_step(struct task *t)
{
    struct session *s = t->s;
    struct repair *u = &t->u.repair;
    if (u->n_reads_done < u->n_reads) {
        u->stage = REPAIR_READING;
        struct range r = u->reads[u->n_reads_done];
        return (struct step){.type = NBD_CMD_READ,
                             .offset = r.offset,
                             .length = (uint32_t)r.length,
                             .source = STEP_DATA,
                             .data_at = u->scratch};
    }
    u->stage = REPAIR_WRITING;
    uint64_t left = u->span.length - u->done;
    uint32_t longest = repair_longest(s, s->facts.max_payload);
    bool fua = (t->request.flags & NBD_CMD_FLAG_FUA) && !s->facts.fua_by_flush;
    return (struct step){.type = NBD_CMD_WRITE,
                         .flags = fua ? NBD_CMD_FLAG_FUA : 0,
                         .offset = u->span.offset + u->done,
                         .length = left < longest ? (uint32_t)left : longest,
                         .source = STEP_DATA,
                         .data_at = (uint32_t)u->done};
}

// Takes over what was read around the change.
static void
patch(struct task *t)
{
    const struct repair *u = &t->u.repair;
    struct range r = u->reads[u->n_reads_done];
    const uint8_t *fresh = t->data->data + u->scratch;
    uint64_t begin = u->change.offset, end = range_end(u->change);
    if (r.offset < begin) {
        uint64_t upto = range_end(r) < begin ? range_end(r) : begin;
        memcpy(image(t, r.offset), fresh, upto - r.offset);
    }
    if (range_end(r) > end) {
        uint64_t from = r.offset > end ? r.offset : end;
        memcpy(image(t, from), fresh + (from - r.offset), range_end(r) - from);
    }
}

// Changes some bytes: their part of the image is to be filled in by the caller.
static void
prepare(struct task *t, struct range change)
{
    struct repair *u = &t->u.repair;
    u->change = change;
    u->span = repair_widen(t->s, change);
    u->n_reads = plan_reads(block(t), change, u->span, u->reads);
    u->n_reads_done = 0;
    u->done = 0;
}

// Whole blocks need nobody's absence: a WRITE of those was only gathered.
static void
go(struct task *t)
{
    struct step first = next_step(t);
    if (!t->u.repair.n_reads) {
        task_step(t, &first);
        return;
    }
    t->step = first;
    repair_turn_take(t, t->u.repair.span);
}

static void
finish(struct task *t)
{
    if (!task_flush_wanted(t)) {
        repair_finish(t, NBD_SUCCESS);
        return;
    }
    t->u.repair.stage = REPAIR_FLUSHING;
    task_flush(t);
}

// Zeroes: what is left when the edges are done ---------------------------------------------

static void
next_edge(struct task *t)
{
    struct repair *u = &t->u.repair;
    if (u->n_edges_done < u->n_edges) {
        prepare(t, u->edges[u->n_edges_done++]);
        memset(image(t, u->change.offset), 0, u->change.length);
        go(t);
        return;
    }
    struct range all = {t->request.offset, t->request.length};
    struct range middle = repair_narrow(t->s, all);
    if (middle.length) {
        repair_give_back(t);
        task_becomes_zero_of(t, middle);
    } else {
        finish(t);
    }
}

static void
round_over(struct task *t)
{
    repair_turn_give(t);
    if (t->request.type == NBD_CMD_WRITE_ZEROES)
        next_edge(t);
    else
        finish(t);
}

static void
stepped(struct task *t, uint32_t error)
{
    struct repair *u = &t->u.repair;
    if (error || u->stage == REPAIR_FLUSHING) {
        repair_finish(t, u->stage == REPAIR_FLUSHING ? task_flushed(t, error) : error);
        return;
    }
    if (u->stage == REPAIR_READING) {
        patch(t);
        u->n_reads_done++;
    } else {
        u->done += t->step.length;
    }
    if (u->done == u->span.length) {
        round_over(t);
        return;
    }
    struct step step = next_step(t);
    task_step(t, &step);
}

// A WRITE may have gone out, and a server that forks may still carry it out.
static void
lost(struct task *t)
{
    if (t->u.repair.stage == REPAIR_WRITING)
        repair_turn_give_later(t);
    repair_lost(t);
}

// Half a payload changes nothing (spec: NBD_CMD_WRITE). What has begun is finished.
static void
client_leaves(struct task *t)
{
    if (t->u.repair.stage == REPAIR_GATHERING)
        repair_finish(t, NBD_EIO);
}

static const struct task_kind task_repair_write_kind = {
    .name = "repair",
    .repairs = true,
    .stepped = stepped,
    .payload_done = go,
    .lost = lost,
    .client_leaves = client_leaves,
};

// Beginning -------------------------------------------------------------------------------

void
repair_write_begin(struct session *s, const struct request *r, nstime began)
{
    struct range change = {r->offset, r->length}, span = repair_widen(s, change), reads[2];
    unsigned n = plan_reads(s->facts.upstream_minimum, change, span, reads);
    uint64_t scratch = n ? reads[0].length : 0;
    struct task *t = repair_new(s, r, &task_repair_write_kind, span.length + scratch, began);
    if (!t) {
        client_unwritten(s);
        session_drain(s, r, NBD_ENOMEM, began);
        return;
    }
    t->u.repair.scratch = (uint32_t)span.length;
    t->u.repair.stage = REPAIR_GATHERING;
    prepare(t, change);
    // The payload comes in between; long ones are not worth clearing for it.
    memset(image(t, span.offset), 0, change.offset - span.offset);
    memset(image(t, range_end(change)), 0, range_end(span) - range_end(change) + scratch);
    session_gather(s, t, image(t, r->offset));
}

void
repair_zero_begin(struct session *s, const struct request *r, nstime began)
{
    uint32_t size = s->facts.upstream_minimum;
    struct task *t = repair_new(s, r, &task_repair_write_kind, 4 * (uint64_t)size, began);
    if (!t) {
        client_unwritten(s);
        client_answer(s, r, NBD_ENOMEM, began);
        return;
    }
    struct repair *u = &t->u.repair;
    u->scratch = 2 * size;
    struct range all = {r->offset, r->length}, inside = repair_narrow(s, all);
    if (!inside.length) {
        u->edges[u->n_edges++] = all; // within two blocks
    } else {
        if (inside.offset > all.offset)
            u->edges[u->n_edges++] = (struct range){all.offset, inside.offset - all.offset};
        if (range_end(inside) < range_end(all))
            u->edges[u->n_edges++] =
                (struct range){range_end(inside), range_end(all) - range_end(inside)};
    }
    next_edge(t);
}
