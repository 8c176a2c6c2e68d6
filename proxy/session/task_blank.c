// SPDX-License-Identifier: BSD-3-Clause
// Decision 4 of docs/zeroing.md: a range that already reads as zero needs no zeroing. Upstream's
// base:allocation is asked; three short READs must agree with it.
#include "task.h"

#define STATUS_PATIENCE (10 * NS_PER_MS)
#define LOOK            4096u
#define LOOKS           3u

static void
follow(struct task *t)
{
    // Not zero: the request goes the way it would have gone, as if it had just come.
    struct session *s = t->s;
    struct request r = t->request;
    enum zero_advice advice = t->u.blank.advice;
    nstime began = t->began;
    t->answered = true;
    task_end(t);
    client_uncount(s, &r);
    zeroing_follow(s, &r, advice, began);
}

static void
refuse(struct task *t)
{
    if (!t->answered)
        t->s->counters->fast_zero.refused++;
    task_answer(t, NBD_ENOTSUP);
}

static void
success(struct task *t)
{
    t->s->counters->fast_zero.already_zero++;
    task_answer(t, NBD_SUCCESS);
    task_end(t);
}

// Each question may take so long: a refusal that is late is no refusal.
static void
be_patient(struct task *t)
{
    struct ring *r = t->s->worker->ring;
    timer_set(r, &t->timer, ring_clock(r) + STATUS_PATIENCE);
}

// A look takes whole blocks, as the request does.
static uint64_t
look_length(const struct task *t)
{
    uint64_t block = t->s->facts.upstream_minimum;
    return block > LOOK ? block : LOOK;
}

// Start, end and middle of the range; one look where it is short.
static void
look(struct task *t)
{
    uint64_t from = t->request.offset, length = t->request.length, one = look_length(t);
    struct step step = {.type = NBD_CMD_READ, .offset = from, .length = length};
    if (length > one) {
        uint64_t last = align_down(from + length - one, t->s->facts.upstream_minimum);
        uint64_t at[LOOKS] = {from, last, align_down(from + length / 2, one)};
        step.offset = at[t->u.blank.reads];
        if (step.offset < from)
            step.offset = from;
        if (step.offset > last)
            step.offset = last;
        step.length = step.offset == last ? from + length - last : one;
    }
    t->u.blank.reads++;
    be_patient(t);
    task_step(t, &step);
}

static bool
status_says_zero(const struct task *t)
{
    return t->extent_known && t->extent_length >= t->request.length &&
           (t->extent_flags & NBD_STATE_ZERO);
}

static void
looked(struct task *t, uint32_t error)
{
    if (error) {
        follow(t);
    } else if (!t->all_zero) {
        session_log(
            t->s, LOG_LEVEL_WARN,
            "upstream says that offset %llu reads as zero and it does not: its block status is "
            "not believed any more",
            (unsigned long long)t->step.offset);
        export_status_lied(t->s->export);
        follow(t);
    } else if (t->u.blank.reads < LOOKS && t->request.length > look_length(t)) {
        look(t);
    } else if (t->request.flags & NBD_CMD_FLAG_FUA) {
        t->u.blank.flushing = true;
        timer_cancel(t->s->worker->ring, &t->timer);
        task_step(t, &(struct step){.type = NBD_CMD_FLUSH}); // as FUA would
    } else {
        success(t);
    }
}

static void
stepped(struct task *t, uint32_t error)
{
    if (t->answered) { // it took too long; nobody waits any more
        task_end(t);
    } else if (t->u.blank.flushing) {
        error = task_flushed(t, error);
        if (error) {
            task_answer(t, error);
            task_end(t);
        } else {
            success(t);
        }
    } else if (t->step.type == NBD_CMD_READ) {
        looked(t, error);
    } else if (!error && status_says_zero(t)) {
        look(t);
    } else {
        follow(t);
    }
}

static void
too_slow(struct timer *timer)
{
    struct task *t = (struct task *)((char *)timer - offsetof(struct task, timer));
    struct session *s = t->s;
    if (t->step.type == NBD_CMD_BLOCK_STATUS) {
        session_log(s, LOG_LEVEL_INFO, "block status took over 10 ms: not asked again for 10 min");
        export_status_slow(s->export, session_now(s));
    }
    refuse(t);
    if (t->waiting)
        task_end(t);
    session_turn(s);
}

static void
lost(struct task *t)
{
    task_answer(t, NBD_EIO);
    task_end(t);
}

static const struct task_kind task_blank_kind = {
    .name = "blank",
    .stepped = stepped,
    .lost = lost,
};

void
task_blank_begin(struct session *s, const struct request *r, enum zero_advice advice, nstime began)
{
    struct task *t = task_new(s, r, &task_blank_kind, began);
    if (!t) {
        client_wrote(s, r, NBD_ENOMEM);
        client_answer(s, r, NBD_ENOMEM, began);
        return;
    }
    t->u.blank.advice = advice;
    t->timer.fire = too_slow;
    be_patient(t);
    task_step(t, &(struct step){.type = NBD_CMD_BLOCK_STATUS,
                                .flags = NBD_CMD_FLAG_REQ_ONE,
                                .offset = r->offset,
                                .length = r->length});
}
