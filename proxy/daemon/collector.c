// SPDX-License-Identifier: BSD-3-Clause
#include "collector.h"

#include "export_names.h"
#include "memory.h"
#include "snapshot.h"

#include <stddef.h>
#include <stdlib.h>
#include <time.h>

struct part {
    struct letter letter; // to the worker and back
    struct collection *of;
    struct worker_thread *worker;
    struct worker_report report;
    nstime cost; // CPU time of that worker
};

struct descriptions {
    struct export_description *list;
    size_t n, cap;
};

struct collection {
    struct collector *collector;
    unsigned owed; // parts that are still out
    unsigned n;
    struct part parts[];
};

// What this thread has worked.
static nstime
cpu_time(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (nstime)t.tv_sec * NS_PER_SEC + (nstime)t.tv_nsec;
}

static struct part *
part_of(struct letter *l)
{
    return (struct part *)((char *)l - offsetof(struct part, letter));
}

static void
describe_one(void *ctx, const struct export_description *d)
{
    struct descriptions *all = ctx;
    if (all->n == all->cap) {
        size_t cap = all->cap ? all->cap * 2 : 16;
        struct export_description *list = reallocarray(all->list, cap, sizeof *list);
        if (!list)
            return; // better some than none
        all->list = list;
        all->cap = cap;
    }
    all->list[all->n++] = *d;
}

static json_t *
picture(struct collection *k)
{
    struct collector *c = k->collector;
    struct descriptions exports = {0};
    nstime now = ring_clock(c->ring);
    struct worker_report *reports = calloc(k->n, sizeof *reports);
    const char **addresses = calloc(c->listeners->n, sizeof *addresses);
    json_t *json = NULL;
    if (reports && addresses) {
        registry_describe(c->registry, now, describe_one, &exports);
        export_names_pinned(c->registry, c->listeners->settings, describe_one, &exports);
        for (unsigned i = 0; i < k->n; i++)
            reports[i] = k->parts[i].report;
        for (unsigned i = 0; i < c->listeners->n; i++)
            addresses[i] = c->listeners->list[i]->address;
        json = snapshot_json(
            &(struct snapshot){.unix_now = time(NULL),
                               .ring_now = now,
                               .started = c->started,
                               .threads = c->workers->serving,
                               .max_connections = c->listeners->admission.max_connections,
                               .settings = c->listeners->settings,
                               .addresses = addresses,
                               .reports = reports,
                               .n_reports = k->n,
                               .exports = exports.list,
                               .n_exports = exports.n,
                               .memory = ring_memory(c->ring),
                               .resident = memory_resident(),
                               .log = log_losses(),
                               .control = c->control,
                               .state = state_counts(),
                               .state_dropped = registry_dropped(c->registry)});
    }
    free(exports.list);
    free(reports);
    free(addresses);
    return json;
}

// All have asked for the same thing: one picture is for all of them.
static void
answer_all(struct collector *c, json_t *json)
{
    struct snapshot_waiter *w = c->waiting;
    c->waiting = NULL;
    while (w) {
        struct snapshot_waiter *next = w->next;
        w->done(w, json);
        w = next;
    }
}

static void
part_returned(struct letter *l)
{
    struct collection *k = part_of(l)->of;
    struct collector *c = k->collector;
    if (--k->owed)
        return;
    nstime begin = cpu_time(), cost = 0;
    json_t *json = c->waiting ? picture(k) : NULL;
    c->pictures++;
    for (unsigned i = 0; i < k->n; i++) {
        worker_report_clear(&k->parts[i].report);
        cost += k->parts[i].cost;
    }
    free(k);
    c->current = NULL;
    answer_all(c, json);
    json_decref(json);
    budget_spend(&c->budget, cost + cpu_time() - begin, ring_clock(c->ring));
    if (c->idle)
        c->idle(c->ctx);
}

// On the worker's thread. A report that finds no memory stays empty: the rest is still worth
// showing.
static void
report(struct letter *l)
{
    struct part *p = part_of(l);
    nstime begin = cpu_time();
    worker_report(p->worker->worker, &p->report);
    p->cost = cpu_time() - begin;
    l->deliver = part_returned;
    ring_post(p->of->collector->ring, l);
}

static bool
begin(struct collector *c)
{
    struct workers *workers = c->workers;
    struct collection *k = calloc(1, sizeof *k + workers->n * sizeof k->parts[0]);
    if (!k)
        return false;
    k->collector = c;
    k->owed = k->n = workers->n;
    c->current = k;
    for (unsigned i = 0; i < workers->n; i++) {
        struct part *p = &k->parts[i];
        p->of = k;
        p->worker = &workers->list[i];
        p->letter.deliver = report;
        ring_post(p->worker->ring, &p->letter);
    }
    return true;
}

bool
collector_is_spent(struct collector *c)
{
    return budget_is_spent(&c->budget, ring_clock(c->ring));
}

bool
collector_ask(struct collector *c, struct snapshot_waiter *w)
{
    if (!c->current && !begin(c))
        return false;
    w->next = c->waiting;
    c->waiting = w;
    return true;
}

void
collector_forget(struct collector *c, struct snapshot_waiter *w)
{
    struct snapshot_waiter **p = &c->waiting;
    while (*p && *p != w)
        p = &(*p)->next;
    if (*p)
        *p = w->next;
}

void
collector_close(struct collector *c, void (*idle)(void *ctx), void *ctx)
{
    c->idle = idle;
    c->ctx = ctx;
    if (!c->current)
        idle(ctx);
}
