// SPDX-License-Identifier: BSD-3-Clause
// An unaligned READ: the blocks around it are read, the client gets its part of them. No guard is
// needed: a repair shows nobody anything but what was there before and what is there after.
#include "task_repair.h"

static void
next_piece(struct task *t)
{
    const struct repair *u = &t->u.repair;
    uint64_t left = u->span.length - u->done;
    uint32_t longest = repair_longest(t->s, t->s->facts.max_payload);
    bool fua = (t->request.flags & NBD_CMD_FLAG_FUA) && !t->s->facts.fua_by_flush;
    task_step(t, &(struct step){.type = NBD_CMD_READ,
                                .flags = fua ? NBD_CMD_FLAG_FUA : 0,
                                .offset = u->span.offset + u->done,
                                .length = left < longest ? (uint32_t)left : longest,
                                .source = STEP_DATA,
                                .data_at = (uint32_t)u->done});
}

static void
stepped(struct task *t, uint32_t error)
{
    struct repair *u = &t->u.repair;
    if (error) {
        repair_finish(t, error);
        return;
    }
    u->done += t->step.length;
    if (u->done < u->span.length) {
        next_piece(t);
        return;
    }
    task_answer_data(t, (uint32_t)(t->request.offset - u->span.offset));
    repair_give_back(t);
    task_end(t);
}

static const struct task_kind task_repair_read_kind = {
    .name = "repaired read",
    .repairs = true,
    .stepped = stepped,
    .lost = repair_lost,
};

void
repair_read_begin(struct session *s, const struct request *r, nstime began)
{
    struct range span = repair_widen(s, (struct range){r->offset, r->length});
    struct task *t = repair_new(s, r, &task_repair_read_kind, span.length, began);
    if (!t) {
        client_answer(s, r, NBD_ENOMEM, began);
        return;
    }
    t->u.repair.span = span;
    next_piece(t);
}
