// SPDX-License-Identifier: BSD-3-Clause
// The range guard between workers. Who probes or repairs asks all workers by letter to hold new
// requests that overlap the range; each answers when none of its own is upstream there. Guards
// exclude each other, first come, first served: a worker that holds a guard which overlaps, or has
// asked for one before, answers when that is let go (Ricart and Agrawala's algorithm). No worker
// ever waits for another.
#include "session.h"

#include <stdlib.h>
#include <wire/names.h>

// What goes between home, where it is held, and one worker: there and back, away and gone.
// Letters of one sender arrive in order, so when all are `gone`, all are `back`, too.
struct guard_mail {
    struct letter there, back, away, gone;
    struct guard_ask *ask;
    struct guard guard; // in the list of that worker
    struct worker *to;
    struct guard_mail *next; // in the worker's `asks`, while writes are upstream there
    bool waiting;
};

struct guard_ask {
    struct guard_ask *next; // of the worker's own
    struct guard guard;
    uint64_t turn; // who asked before whom: drawn in the moment of asking
    bool is_held;
    struct worker *home;
    void (*held)(void *ctx);
    void *ctx;
    unsigned not_back, not_gone;
    bool released;
    struct timer later;
    void (*over)(void *ctx); // when `later` has come
    void *over_ctx;
    struct guard_mail mail[];
};

#define mail_of(l, member) ((struct guard_mail *)((char *)(l)-offsetof(struct guard_mail, member)))

// Somebody here holds a guard that overlaps, or has asked for one before.
static bool
others_first(const struct worker *w, const struct guard_ask *ask)
{
    for (const struct guard_ask *a = w->own; a; a = a->next)
        if (a != ask && storage_may_be_shared(a->guard.storage, ask->guard.storage) &&
            (a->is_held || a->turn < ask->turn) && range_overlaps(a->guard.range, ask->guard.range))
            return true;
    return false;
}

// A status without REQ_ONE may tell of what lies behind the range that was asked for (spec:
// NBD_CMD_BLOCK_STATUS).
struct range
guard_reach(uint16_t command, uint16_t flags, struct range range, uint64_t size)
{
    if (command == NBD_CMD_BLOCK_STATUS && !(flags & NBD_CMD_FLAG_REQ_ONE) && size > range.offset)
        range.length = size - range.offset;
    return range;
}

// Reads and questions of status count, too, where they must not see a chunk while it is zero.
static bool
requests_overlap(const struct worker *w, const struct guard *g)
{
    for (const struct session *s = w->sessions; s; s = s->next) {
        if (!storage_may_be_shared(s->storage, g->storage))
            continue;
        for (const struct slot *slot = s->slots; slot; slot = slot->next) {
            const struct nbd_command_info *info = nbd_command_info(slot->track.command);
            struct range reach = guard_reach(slot->track.command, slot->track.flags,
                                             slot_range(slot), s->facts.size);
            if (info && info->has_range && (info->changes_data || !g->reads_pass) &&
                range_overlaps(reach, g->range))
                return true;
        }
    }
    return false;
}

static bool
must_wait(const struct worker *w, const struct guard_ask *ask)
{
    return others_first(w, ask) || requests_overlap(w, &ask->guard);
}

static void
wake_held(struct worker *w, const struct guard *g)
{
    for (struct session *s = w->sessions; s; s = s->next) {
        if (!storage_may_be_shared(s->storage, g->storage) || s->phase == PHASE_DEAD)
            continue;
        if (s->client)
            stream_nudge(s->client);
        else if (s->upstream)
            stream_nudge(s->upstream);
    }
}

static void
deliver_back(struct letter *l)
{
    struct guard_ask *a = mail_of(l, back)->ask;
    if (--a->not_back || a->released)
        return;
    a->is_held = true;
    a->held(a->ctx);
}

static void
answer(struct guard_mail *m)
{
    m->back.deliver = deliver_back;
    if (m->to == m->ask->home)
        deliver_back(&m->back);
    else
        ring_post(m->ask->home->ring, &m->back);
}

static void
deliver_there(struct letter *l)
{
    struct guard_mail *m = mail_of(l, there);
    struct worker *w = m->to;
    m->guard = m->ask->guard;
    guards_add(&w->guards, &m->guard);
    if (!must_wait(w, m->ask)) {
        answer(m);
        return;
    }
    m->waiting = true;
    m->next = w->asks;
    w->asks = m;
}

void
guard_recheck(struct worker *w)
{
    struct guard_mail **p = &w->asks;
    while (*p) {
        struct guard_mail *m = *p;
        if (must_wait(w, m->ask)) {
            p = &m->next;
            continue;
        }
        *p = m->next;
        m->waiting = false;
        answer(m);    // may run its asker on, and so change the list
        p = &w->asks; // so begin anew
    }
}

static void
deliver_gone(struct letter *l)
{
    struct guard_ask *a = mail_of(l, gone)->ask;
    if (--a->not_gone)
        return;
    struct worker *home = a->home;
    home->guard_asks--;
    free(a);
    worker_check_drained(home);
}

static void
deliver_away(struct letter *l)
{
    struct guard_mail *m = mail_of(l, away);
    struct worker *w = m->to;
    guards_remove(&w->guards, m->ask->guard.probe);
    wake_held(w, &m->ask->guard);
    if (m->waiting) {
        struct guard_mail **p = &w->asks;
        while (*p != m)
            p = &(*p)->next;
        *p = m->next;
        m->waiting = false;
        answer(m);
    }
    m->gone.deliver = deliver_gone;
    if (w == m->ask->home)
        deliver_gone(&m->gone);
    else
        ring_post(m->ask->home->ring, &m->gone);
}

struct guard_ask *
guard_hold(struct worker *w, const struct guard *g, void (*held)(void *ctx), void *ctx)
{
    unsigned n = registry_workers(w->registry);
    struct guard_ask *a = calloc(1, sizeof *a + n * sizeof a->mail[0]);
    if (!a)
        return NULL;
    *a = (struct guard_ask){.guard = *g, .home = w, .held = held, .ctx = ctx};
    a->not_back = a->not_gone = n;
    a->turn = registry_next_probe(w->registry);
    a->next = w->own;
    w->own = a;
    w->guard_asks++;
    for (unsigned i = 0; i < n; i++) {
        a->mail[i].ask = a;
        a->mail[i].to = registry_worker(w->registry, i);
        a->mail[i].there.deliver = deliver_there;
        if (a->mail[i].to != w)
            ring_post(a->mail[i].to->ring, &a->mail[i].there);
    }
    // Our own comes last: with one worker the answer is here at once.
    deliver_there(&a->mail[w->index].there);
    return a;
}

void
guard_release(struct worker *w, struct guard_ask *a)
{
    a->released = true;
    struct guard_ask **p = &w->own;
    while (*p != a)
        p = &(*p)->next;
    *p = a->next;
    unsigned n = registry_workers(w->registry);
    for (unsigned i = 0; i < n; i++) {
        a->mail[i].away.deliver = deliver_away;
        if (a->mail[i].to != w)
            ring_post(a->mail[i].to->ring, &a->mail[i].away);
    }
    deliver_away(&a->mail[w->index].away); // frees `a` where there is no other worker
    guard_recheck(w);
}

#define ZOMBIE_PATIENCE NS_PER_SEC

static void
release_now(struct timer *timer)
{
    struct guard_ask *a = (struct guard_ask *)((char *)timer - offsetof(struct guard_ask, later));
    if (a->over)
        a->over(a->over_ctx);
    guard_release(a->home, a);
}

void
guard_release_later(struct worker *w, struct guard_ask *a, void (*over)(void *ctx), void *ctx)
{
    a->released = true;
    a->over = over;
    a->over_ctx = ctx;
    a->later.fire = release_now;
    timer_set(w->ring, &a->later, ring_now(w->ring) + ZOMBIE_PATIENCE);
}
