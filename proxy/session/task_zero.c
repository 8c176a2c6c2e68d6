// SPDX-License-Identifier: BSD-3-Clause
// Zeroes the whole range of a request, piece by piece: by WRITE_ZEROES of at most `max-zero`
// (nbd-server and old nbdkit zero only the first 64 MiB of a longer one, and report success), or by
// WRITE where upstream cannot zero. The first piece goes alone: as long as nothing is altered, the
// request may still be refused. Then they go side by side, each as a task like this one. The first
// error wins; the reply comes last.
#include "task.h"

#include <wire/names.h>

static const struct task_kind task_zero_kind;

static uint16_t
step_flags(const struct task *t, bool by_write)
{
    uint16_t keep = t->s->facts.fua_by_flush ? 0 : NBD_CMD_FLAG_FUA;
    if (!by_write)
        keep |= NBD_CMD_FLAG_NO_HOLE;
    return t->request.flags & keep;
}

static bool
no_hole(const struct task *t)
{
    return t->request.flags & NBD_CMD_FLAG_NO_HOLE;
}

static bool
writes(const struct task *t)
{
    const struct session *s = t->s;
    return t->u.zero.by_write || t->u.zero.cheapest || s->zeroes_by_writing[no_hole(t)] ||
           !(s->facts.upstream_flags & NBD_FLAG_SEND_WRITE_ZEROES);
}

// Pieces end at absolute multiples of their longest length, so that they stay aligned whatever the
// offset.
static uint32_t
piece_length(const struct task *t, bool by_write)
{
    uint32_t longest = t->s->policy->zero.max_zero;
    if (by_write)
        longest =
            t->s->facts.max_payload < ZERO_WRITE_PIECE ? t->s->facts.max_payload : ZERO_WRITE_PIECE;
    uint64_t from = t->u.zero.next;
    uint64_t to = from - from % longest + longest;
    return (uint32_t)((to < t->u.zero.end ? to : t->u.zero.end) - from);
}

static void
finish(struct task *t, uint32_t error)
{
    if (t->whole) {
        task_piece_over(t, error);
        return;
    }
    if (t->u.zero.fast && error == NBD_ENOTSUP)
        t->s->counters->fast_zero.refused++;
    else if (t->u.zero.fast)
        t->s->counters->fast_zero.forwarded++;
    task_answer(t, error);
    task_end(t);
}

static void
next_piece(struct task *t)
{
    bool by_write = writes(t);
    if (by_write)
        t->s->counters->zeroes.by_writing++;
    task_step(t, &(struct step){
                     .type = by_write ? NBD_CMD_WRITE : NBD_CMD_WRITE_ZEROES,
                     .flags = step_flags(t, by_write),
                     .offset = t->u.zero.next,
                     .length = piece_length(t, by_write),
                     .source = by_write ? STEP_ZEROES : STEP_NOTHING,
                 });
}

static void
over(struct task *t, uint32_t error)
{
    if (error || !task_flush_wanted(t)) {
        finish(t, error);
        return;
    }
    t->u.zero.syncing = true;
    task_flush(t);
}

struct how {
    bool fast;     // of a known fast class, and the request may be refused as long as nothing is
    bool altered;  // altered
    bool cheapest; // by writing, where that is known to be cheaper
};

static void start(struct task *t, struct range range, struct how how);

static void
begin_piece(struct task *piece)
{
    struct range range = {piece->request.offset, piece->request.length};
    const struct task *whole = piece->whole;
    start(piece, range,
          (struct how){
              .fast = whole->u.zero.fast, .altered = true, .cheapest = whole->u.zero.cheapest});
}

static void
go_on(struct task *t)
{
    t->u.zero.altered = true;
    t->u.zero.next += t->step.length;
    // A piece that had to be written instead is over only when all of it is.
    if (t->u.zero.by_write && t->u.zero.next >= t->u.zero.write_until)
        t->u.zero.by_write = false;
    uint64_t left = t->u.zero.end - t->u.zero.next;
    uint32_t longest = t->s->policy->zero.max_zero;
    if (!left)
        over(t, NBD_SUCCESS);
    else if (left <= longest || t->whole || t->u.zero.by_write)
        next_piece(t);
    else
        task_split(t, (struct range){t->u.zero.next, left}, longest, begin_piece, over);
}

static void
report(struct task *t, uint32_t length, nstime took)
{
    export_zeroed(t->s->export, no_hole(t), &t->s->policy->zero, length, took, session_now(t->s));
}

// A forwarded zero re-checks the verdict, unless it had to queue behind something else; a timed
// FLUSH only where there is no data of ours for it to carry.
static void
piece_done(struct task *t)
{
    bool watched = t->u.zero.fast && t->alone && t->step.type == NBD_CMD_WRITE_ZEROES &&
                   t->s->policy->zero.policy == ZERO_MEASURE;
    if (watched && !t->s->dirty && (t->s->facts.upstream_flags & NBD_FLAG_SEND_FLUSH) &&
        export_wants_flush(t->s->export, no_hole(t), session_now(t->s))) {
        t->u.zero.flushing = true;
        t->u.zero.zero_took = t->took;
        t->u.zero.zero_length = (uint32_t)t->step.length;
        task_step(t, &(struct step){.type = NBD_CMD_FLUSH});
        return;
    }
    if (watched)
        report(t, (uint32_t)t->step.length, t->took);
    go_on(t);
}

static void
flush_done(struct task *t, uint32_t error)
{
    t->u.zero.flushing = false;
    t->step.length = t->u.zero.zero_length;
    if (error)
        session_flush_failed(t->s, false);
    else
        report(t, t->u.zero.zero_length, t->u.zero.zero_took + t->took);
    go_on(t);
}

// A WRITE_ZEROES has failed. Before anything was altered a FAST_ZERO may still be refused;
// afterwards, and for plain ones that upstream does not support, the piece is written instead
// (promise 7).
static void
zero_failed(struct task *t, uint32_t error)
{
    bool unsuited = error == NBD_EINVAL || error == NBD_EOVERFLOW || error == NBD_ENOTSUP;
    if (!unsuited) {
        finish(t, error);
    } else if (!t->u.zero.altered && t->u.zero.fast) {
        finish(t, NBD_ENOTSUP);
    } else if (!t->u.zero.altered && error != NBD_ENOTSUP) {
        finish(t, NBD_EINVAL);
    } else {
        // Remembered from plain requests only: a fast one must not turn into writing.
        if (error == NBD_ENOTSUP && !t->u.zero.fast)
            t->s->zeroes_by_writing[no_hole(t)] = true;
        t->u.zero.by_write = true;
        t->u.zero.write_until = t->step.offset + t->step.length;
        next_piece(t);
    }
}

// Thin storage may be too full to write zeroes, and still able to zero.
static void
write_instead_failed(struct task *t)
{
    t->u.zero.cheapest = false;
    if (t->whole)
        t->whole->u.zero.cheapest = false;
    next_piece(t);
}

static void
stepped(struct task *t, uint32_t error)
{
    if (t->u.zero.syncing)
        finish(t, task_flushed(t, error));
    else if (t->u.zero.flushing)
        flush_done(t, error);
    else if (!error)
        piece_done(t);
    else if (t->step.type == NBD_CMD_WRITE_ZEROES)
        zero_failed(t, error);
    else if (error == NBD_ENOSPC && t->u.zero.cheapest)
        write_instead_failed(t);
    else // WRITE: what a client of ours may see of it
        finish(t, t->u.zero.by_write ? NBD_EIO
                                     : nbd_error_for_client(error, NBD_CMD_WRITE, false, false));
}

static void
lost(struct task *t)
{
    task_answer(t, NBD_EIO);
    task_end(t);
}

static const struct task_kind task_zero_kind = {
    .name = "zero",
    .stepped = stepped,
    .lost = lost,
};

static void
start(struct task *t, struct range range, struct how how)
{
    memset(&t->u, 0, sizeof t->u);
    t->kind = &task_zero_kind;
    t->u.zero.next = range.offset;
    t->u.zero.end = range_end(range);
    t->u.zero.fast = how.fast;
    t->u.zero.altered = how.altered;
    t->u.zero.cheapest = how.cheapest;
    if (!t->whole && piece_length(t, writes(t)) < range.length)
        t->s->counters->zeroes.split++;
    next_piece(t);
}

static void
begin(struct session *s, const struct request *r, struct how how, nstime began)
{
    struct task *t = task_new(s, r, &task_zero_kind, began);
    if (!t) {
        client_wrote(s, r, NBD_ENOMEM);
        client_answer(s, r, NBD_ENOMEM, began);
        return;
    }
    start(t, (struct range){r->offset, r->length}, how);
}

void
task_zero_begin(struct session *s, const struct request *r, bool fast, nstime began)
{
    begin(s, r, (struct how){.fast = fast}, began);
}

void
task_zero_begin_cheapest(struct session *s, const struct request *r, nstime began)
{
    begin(s, r, (struct how){.cheapest = true}, began);
}

void
task_becomes_zero(struct task *t, bool fast)
{
    start(t, (struct range){t->request.offset, t->request.length}, (struct how){.fast = fast});
}

void
task_becomes_zero_of(struct task *t, struct range part)
{
    start(t, part, (struct how){.altered = true});
}
