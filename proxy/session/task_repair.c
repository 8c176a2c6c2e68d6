// SPDX-License-Identifier: BSD-3-Clause
// Unaligned requests to an upstream with a minimum block size: what they have in common.
#include "task_repair.h"

#include <wire/names.h>

// Ranges ----------------------------------------------------------------------------------

struct range
repair_widen(const struct session *s, struct range r)
{
    uint64_t from = align_down(r.offset, s->facts.upstream_minimum);
    uint64_t to = align_up(range_end(r), s->facts.upstream_minimum);
    return (struct range){from, (to < s->facts.size ? to : s->facts.size) - from};
}

struct range
repair_narrow(const struct session *s, struct range r)
{
    uint64_t from = align_up(r.offset, s->facts.upstream_minimum);
    uint64_t to = range_end(r);
    if (to < s->facts.size)
        to = align_down(to, s->facts.upstream_minimum);
    return to > from ? (struct range){from, to - from} : (struct range){0};
}

uint32_t
repair_longest(const struct session *s, uint32_t limit)
{
    uint32_t whole = (uint32_t)align_down(limit, s->facts.upstream_minimum);
    return whole ? whole : s->facts.upstream_minimum;
}

// Beginning and ending --------------------------------------------------------------------

struct task *
repair_new(struct session *s, const struct request *r, const struct task_kind *kind, uint64_t data,
           nstime began)
{
    struct buf *buf = buf_new(s->worker->ring, data);
    struct task *t = buf ? task_new(s, r, kind, began) : NULL;
    if (!t) {
        if (buf)
            buf_unref(buf);
        return NULL;
    }
    if (r->type != NBD_CMD_WRITE)
        memset(buf->data, 0, data); // as in task_read.c
    t->data = buf;
    bool counted = r->type == NBD_CMD_READ || r->type == NBD_CMD_WRITE;
    t->u.repair.extra = counted ? data - r->length : data;
    s->in_flight_bytes += t->u.repair.extra;
    return t;
}

void
repair_give_back(struct task *t)
{
    t->s->in_flight_bytes -= t->u.repair.extra;
    t->u.repair.extra = 0;
    repair_turn_give(t);
}

void
repair_finish(struct task *t, uint32_t error)
{
    repair_give_back(t);
    task_answer(t, nbd_error_for_client(error, t->request.type, false, false));
    task_end(t);
}

void
repair_lost(struct task *t)
{
    repair_give_back(t);
    task_answer(t, NBD_EIO);
    task_end(t);
}

void
task_repair_begin(struct session *s, const struct request *r, nstime began)
{
    struct range all = {r->offset, r->length};
    if (repair_widen(s, all).length != all.length)
        s->counters->repairs++; // else a WRITE that is only gathered
    switch (r->type) {
    case NBD_CMD_READ: repair_read_begin(s, r, began); return;
    case NBD_CMD_WRITE: repair_write_begin(s, r, began); return;
    case NBD_CMD_WRITE_ZEROES: repair_zero_begin(s, r, began); return;
    case NBD_CMD_BLOCK_STATUS: repair_status_begin(s, r, began); return;
    default: task_advice_begin(s, r, began); return;
    }
}
