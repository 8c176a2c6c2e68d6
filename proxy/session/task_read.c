// SPDX-License-Identifier: BSD-3-Clause
// A READ that is answered in one message over an upstream that may send many: for a simple client,
// whose reply says the error before the data, and with DF (spec: NBD_CMD_FLAG_DF). The chunks are
// gathered, in whatever order they come, and an error among them leaves no data.
#include "task.h"

#include <wire/names.h>

static void
stepped(struct task *t, uint32_t error)
{
    if (error)
        task_answer(t, nbd_error_for_client(error, NBD_CMD_READ, false, false));
    else
        task_answer_data(t, 0);
    task_end(t);
}

static void
lost(struct task *t)
{
    task_answer(t, NBD_EIO);
    task_end(t);
}

static const struct task_kind task_read_kind = {
    .name = "read",
    .stepped = stepped,
    .lost = lost,
};

void
task_read_begin(struct session *s, const struct request *r, nstime began)
{
    struct buf *data = buf_new(s->worker->ring, r->length);
    struct task *t = data ? task_new(s, r, &task_read_kind, began) : NULL;
    if (!t) {
        if (data)
            buf_unref(data);
        client_answer(s, r, NBD_ENOMEM, began);
        return;
    }
    // An upstream that lies about what it has sent must not get old memory told (CHUNK_GAPS).
    memset(data->data, 0, r->length);
    t->data = data;
    uint16_t flags = s->facts.fua_by_flush ? 0 : r->flags & NBD_CMD_FLAG_FUA;
    task_step(t, &(struct step){.type = NBD_CMD_READ,
                                .flags = flags,
                                .offset = r->offset,
                                .length = r->length,
                                .source = STEP_DATA});
}
