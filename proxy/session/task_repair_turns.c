// SPDX-License-Identifier: BSD-3-Clause
// Whose turn it is to repair blocks. Between the READ and the WRITE of a repair nobody else may
// change them, on whatever connection and thread: it holds the range guard. Others may go on
// reading.
#include "task_repair.h"

// Guards of one session at a time. More would lengthen the list that every request is held against;
// who finds none left waits for one of the session's own to come back.
#define REPAIRS_A_SESSION 4u

// Upstream's or another session's code may be on the stack: the first step goes with the next turn.
static void
held(void *ctx)
{
    struct task *t = ctx;
    t->guard = &t->u.repair.guard;
    t->waiting = true;
    if (t->s->upstream) // else it is being lost, and this task's turn comes
        stream_nudge(t->s->upstream);
}

static void
ask(struct task *t)
{
    struct session *s = t->s;
    struct repair *u = &t->u.repair;
    u->queued = false;
    u->counted = true;
    s->repairs++;
    u->guard = (struct guard){.storage = s->storage,
                              .probe = registry_next_probe(s->worker->registry),
                              .range = u->span,
                              .reads_pass = true};
    u->ask = guard_hold(s->worker, &u->guard, held, t);
    if (!u->ask)
        t->kind->stepped(t, NBD_ENOMEM);
}

void
repair_turn_take(struct task *t, struct range span)
{
    t->u.repair.span = span;
    if (t->s->repairs < REPAIRS_A_SESSION)
        ask(t);
    else
        t->u.repair.queued = true;
}

// Who has waited longest: new tasks come first in the list.
static void
ask_for_next(struct session *s)
{
    struct task *oldest = NULL;
    for (struct task *t = s->tasks; t; t = t->next)
        if (t->kind && t->kind->repairs && t->u.repair.queued)
            oldest = t;
    if (oldest && s->upstream)
        ask(oldest);
}

static void
give(struct task *t, void (*release)(struct worker *w, struct guard_ask *a))
{
    struct repair *u = &t->u.repair;
    struct session *s = t->s;
    struct guard_ask *a = u->ask;
    u->queued = false;
    if (!u->counted)
        return;
    u->counted = false;
    u->ask = NULL;
    t->guard = NULL;
    s->repairs--;
    if (a)
        release(s->worker, a);
    ask_for_next(s);
}

void
repair_turn_give(struct task *t)
{
    give(t, guard_release);
}

static void
release_later(struct worker *w, struct guard_ask *a)
{
    guard_release_later(w, a, NULL, NULL);
}

void
repair_turn_give_later(struct task *t)
{
    give(t, release_later);
}
