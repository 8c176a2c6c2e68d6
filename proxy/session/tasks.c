// SPDX-License-Identifier: BSD-3-Clause
#include "task.h"

#include <stdlib.h>
#include <wire/names.h>

struct task *
task_adopt(struct session *s, const struct request *r, const struct task_kind *kind, nstime began)
{
    struct task *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->s = s;
    t->kind = kind;
    t->request = *r;
    t->began = began;
    t->next = s->tasks;
    if (t->next)
        t->next->prev = t;
    s->tasks = t;
    return t;
}

struct task *
task_new(struct session *s, const struct request *r, const struct task_kind *kind, nstime began)
{
    struct task *t = task_adopt(s, r, kind, began);
    if (t)
        client_begun(s, r);
    return t;
}

static void
task_free(struct task *t)
{
    struct session *s = t->s;
    timer_cancel(s->worker->ring, &t->timer);
    if (t->split.active)
        s->splits--;
    if (t->data)
        buf_unref(t->data);
    if (t->next)
        t->next->prev = t->prev;
    if (t->prev)
        t->prev->next = t->next;
    else
        s->tasks = t->next;
    free(t);
}

// False: it was answered before.
static bool
takes_answer(struct task *t, uint32_t error)
{
    if (t->answered)
        return false;
    t->answered = true;
    if (!t->wrote)
        client_wrote(t->s, &t->request, error);
    return true;
}

void
task_answer(struct task *t, uint32_t error)
{
    if (takes_answer(t, error))
        client_complete(t->s, &t->request, error, t->began);
}

void
task_answer_as(struct task *t, uint32_t error, enum request_ending ending)
{
    if (takes_answer(t, error))
        client_complete_as(t->s, &t->request, error, t->began, ending);
}

void
task_answer_data(struct task *t, uint32_t at)
{
    t->answered = true;
    client_complete_data(t->s, &t->request, t->data, t->data->data + at, t->began);
}

void
task_end(struct task *t)
{
    t->kind = NULL;
    t->waiting = false;
    if (t->s->payload_task == t)
        t->s->payload_task = NULL;
    timer_cancel(t->s->worker->ring, &t->timer);
    if (!t->slot)
        task_free(t);
}

// Steps -----------------------------------------------------------------------------------

// Zeroes that are served by WRITE: each is a payload upstream, though not from the client.
static uint64_t
zero_bytes(const struct step *step)
{
    return step->type == NBD_CMD_WRITE && step->source == STEP_ZEROES ? step->length : 0;
}

static void
count_zero_bytes(struct task *t)
{
    t->s->zero_bytes += zero_bytes(&t->step);
    t->s->in_flight_bytes += zero_bytes(&t->step);
}

static void
uncount_zero_bytes(struct task *t)
{
    t->s->zero_bytes -= zero_bytes(&t->step);
    t->s->in_flight_bytes -= zero_bytes(&t->step);
}

// Requests must not be cut into a WRITE whose payload is still passing, nor into a range that
// somebody guards. Who holds a guard has it for himself: all others there are only waiting for it.
static bool
may_send(const struct task *t)
{
    const struct session *s = t->s;
    if (s->payload_left && s->payload_to == PAYLOAD_UPSTREAM)
        return false;
    if (zero_bytes(&t->step) && s->zero_bytes > ZERO_WRITE_PIECE)
        return false;
    if (!s->worker->guards.n)
        return true;
    struct range range = {t->step.offset, t->step.length};
    if (t->guard && range_contains(t->guard->range, range))
        return true;
    bool changes = nbd_command_info(t->step.type)->changes_data;
    uint64_t mine = t->guard ? t->guard->probe : 0;
    return !guards_find(&s->worker->guards, s->storage, range, mine, changes);
}

static void
send_payload(struct task *t)
{
    if (t->step.type != NBD_CMD_WRITE)
        return;
    if (t->step.source == STEP_ZEROES)
        stream_send_zeroes(t->s->upstream, t->step.length);
    else if (t->step.source == STEP_DATA)
        stream_send_buf(t->s->upstream, t->data, t->data->data + t->step.data_at, t->step.length);
}

static void
send_step(struct task *t)
{
    struct session *s = t->s;
    struct request r = {.type = t->step.type,
                        .flags = t->step.flags,
                        .offset = t->step.offset,
                        .length = t->step.length};
    t->slot = session_claim(s, &r);
    if (!t->slot) {
        t->kind->stepped(t, NBD_ENOMEM);
        return;
    }
    t->slot->task = t;
    r.cookie = slot_cookie(t->slot);
    enum wire_format f = s->facts.upstream_format;
    uint8_t header[REQUEST_SIZE_MAX];
    request_encode(f, header, &r);
    count_zero_bytes(t);
    t->all_zero = true;
    t->extent_known = false;
    t->sent_at = t->slot->began = ring_clock(s->worker->ring);
    t->sent_here = s->submitted;
    t->alone = !t->slot->next;
    stream_send_copy(s->upstream, header, request_size(f));
    send_payload(t);
}

void
task_step(struct task *t, const struct step *step)
{
    t->step = *step;
    t->waiting = !may_send(t);
    if (!t->waiting)
        send_step(t);
}

// Who has waited longest comes first.
static struct task *
next_to_send(const struct session *s)
{
    struct task *found = NULL;
    for (struct task *t = s->tasks; t; t = t->next)
        if (t->waiting && may_send(t))
            found = t;
    return found;
}

void
tasks_run(struct session *s)
{
    struct task *t, *next;
    while (session_alive(s) && (t = next_to_send(s))) {
        t->waiting = false;
        send_step(t);
    }
    for (t = s->splits ? s->tasks : NULL; t && session_alive(s); t = next) {
        next = t->next; // an older one, so no piece of it
        if (t->split.active)
            task_split_more(t);
    }
}

void
task_data(struct task *t, uint64_t offset, const uint8_t *p, size_t n)
{
    size_t at = t->step.data_at + (size_t)(offset - t->step.offset);
    if (p && t->all_zero)
        t->all_zero = bytes_all_zero(p, n);
    if (t->step.source != STEP_DATA)
        return;
    if (p)
        memcpy(t->data->data + at, p, n);
    else
        memset(t->data->data + at, 0, n);
}

bool
task_wants_extents(const struct task *t, unsigned context)
{
    return t->kind && (t->kind->extent || (int)context == t->s->allocation);
}

void
task_extent(struct task *t, unsigned context, const struct extent *e)
{
    if (!t->kind)
        return;
    if (t->kind->extent) {
        t->kind->extent(t, context, e);
    } else if (!t->extent_known) {
        t->extent_known = true;
        t->extent_length = e->length;
        t->extent_flags = (uint32_t)e->status;
    }
}

void
task_reply(struct task *t, uint32_t error)
{
    struct session *s = t->s;
    nstime now = session_now(s);
    t->took = now > t->sent_at ? now - t->sent_at : 0;
    t->alone = t->alone && s->submitted == t->sent_here;
    t->clean = slot_ran_alone(s, t->slot, t->took);
    learning_done(s, t->slot, error);
    if (t->step.type == NBD_CMD_FLUSH)
        session_flushed(s, t->slot->writes_before, error);
    uncount_zero_bytes(t);
    session_release(s, t->slot);
    t->slot = NULL;
    if (t->kind)
        t->kind->stepped(t, error);
    else
        task_free(t);
}

// All of a session --------------------------------------------------------------------------

void
tasks_client_leaves(struct session *s)
{
    struct task *next;
    for (struct task *t = s->tasks; t; t = next) {
        next = t->next;
        if (t->kind && t->kind->client_leaves)
            t->kind->client_leaves(t);
    }
}

void
tasks_answer(struct session *s, uint32_t error)
{
    for (struct task *t = s->tasks; t; t = t->next)
        if (t->kind && !t->whole)
            task_answer(t, error);
}

// Lets go of the step: its reply will not come any more.
static void
forget_step(struct task *t)
{
    t->waiting = false;
    if (!t->slot)
        return;
    uncount_zero_bytes(t);
    session_release(t->s, t->slot);
    t->slot = NULL;
}

void
tasks_upstream_lost(struct session *s)
{
    while (s->tasks) {
        struct task *t = s->tasks;
        forget_step(t);
        if (!t->kind)
            task_free(t);
        else if (t->whole)
            task_piece_lost(t);
        else
            t->kind->lost(t);
    }
}

void
tasks_drop(struct session *s)
{
    // With the client gone an answer goes nowhere, so being lost is all there is to it.
    tasks_upstream_lost(s);
}
