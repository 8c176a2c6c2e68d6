// SPDX-License-Identifier: BSD-3-Clause
// Guards of several at a time, now of one worker and now of another, while letters cross: no two
// that overlap may be held at once, and no worker may be left with one.
#include "scenarios.h"

#include "session.h"

struct holder {
    struct actor actor;
    struct letter letter;
    struct guard_ask *ask;
    struct worker *worker;
    struct range range;
    unsigned left, held, given_up;
    bool busy, posted, has; // `has`: it is held
    nstime until;
};

#define HOLDERS 5u

static struct holder holders[HOLDERS];

static struct holder *
holder_of_letter(struct letter *l)
{
    return (struct holder *)((char *)l - offsetof(struct holder, letter));
}

static void
held(void *ctx)
{
    struct holder *h = ctx;
    for (unsigned i = 0; i < HOLDERS; i++)
        expect(!holders[i].has || !range_overlaps(holders[i].range, h->range),
               "two guards that overlap are held at once");
    h->held++;
    h->has = true;
    h->busy = false;
}

static void
take(struct letter *l)
{
    struct holder *h = holder_of_letter(l);
    h->posted = false;
    h->range = (struct range){chance_below(8) * MIB, 2 * MIB};
    // Of one export, some opened before it grew.
    struct guard guard = {.storage = {.address = 1, .name = 1, .size = chance_below(2)},
                          .probe = registry_next_probe(rig->registry),
                          .range = h->range};
    h->busy = true;
    h->until = world.now + 50 * NS_PER_MS;
    h->ask = guard_hold(h->worker, &guard, held, h);
}

static void
give_back(struct letter *l)
{
    struct holder *h = holder_of_letter(l);
    h->posted = false;
    h->given_up += h->busy;
    h->busy = h->has = false;
    guard_release(h->worker, h->ask);
    h->ask = NULL;
}

static bool
can_run(struct actor *a)
{
    const struct holder *h = (const struct holder *)a;
    if (h->posted || (!h->ask && !h->left))
        return false;
    return !h->busy || world.now >= h->until;
}

static nstime
next_time(struct actor *a)
{
    const struct holder *h = (const struct holder *)a;
    return h->busy && !h->posted && h->until > world.now ? h->until : 0;
}

// Each takes and gives back in turn, every time from another worker.
static void
run(struct actor *a)
{
    struct holder *h = (struct holder *)a;
    if (!h->ask) {
        h->left--;
        h->worker = rig->workers[chance_below(rig->n_workers)];
    }
    h->letter.deliver = h->ask ? give_back : take;
    h->posted = true;
    ring_post(h->worker->ring, &h->letter);
}

void
scenario_guards(const char *scenario, uint64_t seed)
{
    rig_begin(scenario, seed, 64 << 10, 4);
    for (unsigned i = 0; i < HOLDERS; i++) {
        holders[i] = (struct holder){.left = 50};
        holders[i].actor = (struct actor){.can_run = can_run, .run = run, .next_time = next_time};
        world_add(&holders[i].actor);
    }
    rig_run();
    for (unsigned i = 0; i < HOLDERS; i++) {
        expect(holders[i].held + holders[i].given_up == 50, "a guard was neither held nor late");
        expect(holders[i].held > 25, "guards are hardly ever held");
        world_remove(&holders[i].actor);
    }
    rig_check(0);
    rig_end();
}
