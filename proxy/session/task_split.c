// SPDX-License-Identifier: BSD-3-Clause
// A long request in pieces, side by side. A piece is a task that belongs to another, the whole, and
// is not counted in flight; it is newer than that, so it comes before it in the session's list.
#include "task.h"

// While others have requests upstream on this connection, so many pieces go with them: servers take
// some 16 requests of a connection at a time, and let the others wait.
#define PIECES_AMONG_OTHERS 4u

// All pieces of a session together; each whole may have one.
static bool
may_begin(const struct task *t)
{
    const struct session *s = t->s;
    if (!upstream_has_room(s))
        return false;
    unsigned most = s->in_flight > s->splits ? PIECES_AMONG_OTHERS : PIECES;
    if (most > s->settings->limits.max_in_flight)
        most = s->settings->limits.max_in_flight;
    return !t->split.pieces || s->pieces < most;
}

// The client is gone, so nobody waits for the end of something that may take hours. What could be
// in flight by now is finished all the same. A client that has only said DISC or ended its sending
// is owed all of it (spec: NBD_CMD_DISC, "MUST handle all outstanding requests").
static bool
nobody_waits(const struct task *t)
{
    return !t->s->client && t->split.end - t->split.next > (uint64_t)PIECES * t->split.longest;
}

static void
begin_piece(struct task *t)
{
    struct split *u = &t->split;
    uint64_t to = u->next - u->next % u->longest + u->longest;
    struct request r = t->request;
    r.offset = u->next;
    r.length = (to < u->end ? to : u->end) - u->next;
    struct task *piece = task_adopt(t->s, &r, t->kind, t->began);
    if (!piece) {
        u->error = NBD_ENOMEM;
        return;
    }
    piece->whole = t;
    piece->answered = true;
    u->next += r.length;
    u->pieces++;
    t->s->pieces++;
    u->begin(piece);
}

void
task_split_more(struct task *t)
{
    struct split *u = &t->split;
    if (u->busy)
        return; // a piece that could not be sent: the loop below goes on
    u->busy = true;
    if (!u->error && nobody_waits(t))
        u->error = NBD_EIO;
    while (!u->error && u->next < u->end && may_begin(t))
        begin_piece(t);
    u->busy = false;
    if (u->pieces || (!u->error && u->next < u->end))
        return;
    u->active = false;
    t->s->splits--;
    u->over(t, u->error);
}

void
task_split(struct task *t, struct range range, uint32_t longest, void (*begin)(struct task *piece),
           void (*over)(struct task *t, uint32_t error))
{
    t->split = (struct split){.active = true,
                              .next = range.offset,
                              .end = range_end(range),
                              .longest = longest,
                              .begin = begin,
                              .over = over};
    t->s->splits++;
    task_split_more(t);
}

static struct task *
end_piece(struct task *piece)
{
    struct task *t = piece->whole;
    t->split.pieces--;
    t->s->pieces--;
    task_end(piece);
    return t;
}

void
task_piece_over(struct task *piece, uint32_t error)
{
    struct task *t = end_piece(piece);
    if (!t->split.error)
        t->split.error = error;
    task_split_more(t);
}

void
task_piece_lost(struct task *piece)
{
    end_piece(piece);
}
