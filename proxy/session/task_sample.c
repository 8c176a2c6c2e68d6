// SPDX-License-Identifier: BSD-3-Clause
// Serves a small FAST_ZERO request by one arm of the A/B comparison, WRITE_ZEROES or WRITE of
// zeroes, and a FLUSH; the client gets what it asked for, and the class a sample.
#include "task.h"

#include <wire/names.h>

static void
record(struct task *t, nstime took, bool clean)
{
    export_sampled(t->s->export, t->request.flags & NBD_CMD_FLAG_NO_HOLE, &t->s->policy->zero,
                   t->request.length, t->u.sample.arm, took, clean, session_now(t->s));
}

static void
finish(struct task *t, uint32_t error)
{
    if (error == NBD_ENOTSUP)
        t->s->counters->fast_zero.refused++;
    else
        t->s->counters->fast_zero.sampled++;
    task_answer(t, error);
    task_end(t);
}

static void
first_failed(struct task *t, uint32_t error)
{
    record(t, 0, false);
    // Whatever arm it was, the client asked for a fast zero: "unsuited" is ENOTSUP (promise 7).
    bool unsuited = error == NBD_EINVAL || error == NBD_EOVERFLOW || error == NBD_ENOTSUP;
    finish(t, unsuited ? NBD_ENOTSUP : error);
}

static void
flushed(struct task *t, uint32_t error)
{
    record(t, t->u.sample.took + t->took, !error && t->u.sample.clean && t->clean);
    // The zeroes are there; that they are not safe yet is this client's business only if it said
    // FUA. All others hear of it by their next FLUSH.
    if (t->request.flags & NBD_CMD_FLAG_FUA) {
        finish(t, task_flushed(t, error));
        return;
    }
    if (error)
        session_flush_failed(t->s, false);
    finish(t, NBD_SUCCESS);
}

static void
stepped(struct task *t, uint32_t error)
{
    if (t->u.sample.flushing) {
        flushed(t, error);
    } else if (error) {
        first_failed(t, error);
    } else {
        t->u.sample.took = t->took;
        t->u.sample.clean = t->clean;
        t->u.sample.flushing = true;
        task_flush(t);
    }
}

static void
lost(struct task *t)
{
    task_answer(t, NBD_EIO);
    task_end(t);
}

static const struct task_kind task_sample_kind = {
    .name = "sample",
    .stepped = stepped,
    .lost = lost,
};

void
task_sample_begin(struct session *s, const struct request *r, nstime began)
{
    struct task *t = task_new(s, r, &task_sample_kind, began);
    if (!t) {
        client_wrote(s, r, NBD_ENOMEM);
        client_answer(s, r, NBD_ENOMEM, began);
        return;
    }
    t->u.sample.arm = export_next_arm(s->export, r->flags & NBD_CMD_FLAG_NO_HOLE, r->length);
    bool by_write = t->u.sample.arm == ZERO_ARM_WRITE;
    task_step(t, &(struct step){
                     .type = by_write ? NBD_CMD_WRITE : NBD_CMD_WRITE_ZEROES,
                     .flags = by_write ? 0 : r->flags & NBD_CMD_FLAG_NO_HOLE,
                     .offset = r->offset,
                     .length = r->length,
                     .source = by_write ? STEP_ZEROES : STEP_NOTHING,
                 });
}
