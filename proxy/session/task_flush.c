// SPDX-License-Identifier: BSD-3-Clause
// FUA over an upstream that has only FLUSH: one behind the write, before the client is answered
// (spec: NBD_CMD_FLAG_FUA, "may be implemented by flushing").
#include "task.h"

#include <wire/names.h>

bool
task_flush_wanted(const struct task *t)
{
    return (t->request.flags & NBD_CMD_FLAG_FUA) && t->s->facts.fua_by_flush && !t->whole;
}

void
task_flush(struct task *t)
{
    if (!t->wrote)
        client_wrote(t->s, &t->request, NBD_SUCCESS);
    t->wrote = true;
    task_step(t, &(struct step){.type = NBD_CMD_FLUSH});
}

uint32_t
task_flushed(struct task *t, uint32_t error)
{
    if (error) {
        session_flush_failed(t->s, true);
        return nbd_error_for_client(error, NBD_CMD_FLUSH, false, false);
    }
    // Another FLUSH of ours has failed meanwhile, and may have taken the error that was its due.
    return client_flush_owed(t->s) ? NBD_EIO : NBD_SUCCESS;
}

static void
stepped(struct task *t, uint32_t error)
{
    task_answer(t, task_flushed(t, error));
    task_end(t);
}

static void
lost(struct task *t)
{
    task_answer(t, NBD_EIO);
    task_end(t);
}

static const struct task_kind task_flush_kind = {
    .name = "flush",
    .stepped = stepped,
    .lost = lost,
};

void
task_flush_begin(struct session *s, const struct request *r, nstime began)
{
    struct task *t = task_adopt(s, r, &task_flush_kind, began);
    if (!t) {
        client_complete(s, r, NBD_ENOMEM, began);
        return;
    }
    t->wrote = true;
    task_flush(t);
}
