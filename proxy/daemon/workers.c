// SPDX-License-Identifier: BSD-3-Clause
#include "workers.h"

#include "config_keys.h"
#include "memory.h"

#include <errno.h>
#include <sched.h>
#include <session/scratch.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define SCRATCH_NICE 10

#define THREAD_OF(l, member)                                                                       \
    ((struct worker_thread *)((char *)(l)-offsetof(struct worker_thread, member)))

struct handover {
    struct letter letter;
    struct worker_thread *to;
    int fd;
    struct settings *settings;
    const struct listener_settings *listener;
    struct client_counter *client;
    uint64_t id;
};

unsigned
cpus_allowed(void)
{
    cpu_set_t set;
    unsigned most = (unsigned)config_keys[KEY_THREADS].max;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return n < 1 ? 1 : (unsigned)n > most ? most : (unsigned)n;
}

const char *
workers_name(const struct workers *w, unsigned index, char *name)
{
    snprintf(name, WORKER_NAME, "%s-%u", index < w->serving ? "worker" : "scratch", index % 1000);
    return name;
}

static void *
run(void *ctx)
{
    struct worker_thread *t = ctx;
    ring_run(t->ring);
    return NULL;
}

static bool
start_thread(struct worker_thread *t, unsigned index, char *err, size_t errlen)
{
    char name[WORKER_NAME];
    int rc = pthread_create(&t->thread, NULL, run, t);
    if (rc) {
        snprintf(err, errlen, "cannot start worker thread %u: %s", index, strerror(rc));
        return false;
    }
    t->started = true;
    pthread_setname_np(t->thread, workers_name(t->all, index, name));
    return true;
}

static bool
make_worker(struct worker_thread *t, struct registry *registry, unsigned index, char *err,
            size_t errlen)
{
    t->ring = ring_new(err, errlen);
    if (!t->ring)
        return false;
    t->worker = worker_new(t->ring, registry, index);
    if (!t->worker)
        snprintf(err, errlen, "out of memory for worker %u", index);
    return t->worker;
}

struct workers *
workers_start(struct ring *main, struct registry *registry, unsigned n, bool measures, char *err,
              size_t errlen)
{
    struct workers *w = need_zeroed(1, sizeof *w);
    w->serving = n;
    w->n = n + measures;
    w->list = need_zeroed(w->n, sizeof *w->list);
    w->main = main;
    bool good = true;
    for (unsigned i = 0; good && i < w->n; i++) {
        w->list[i].all = w;
        good = make_worker(&w->list[i], registry, i, err, errlen);
    }
    // Workers find each other through the registry: none runs before all are there.
    for (unsigned i = 0; good && i < w->n; i++)
        good = start_thread(&w->list[i], i, err, errlen);
    if (good)
        return w;
    workers_stop(w);
    return NULL;
}

static struct worker_thread *
least_busy(struct workers *w)
{
    struct worker_thread *best = NULL;
    unsigned least = 0;
    for (unsigned i = 1; i <= w->serving; i++) { // equal ones take turns
        struct worker_thread *t = &w->list[(w->last + i) % w->serving];
        unsigned load = worker_sessions(t->worker) + atomic_load(&t->coming);
        if (!best || load < least) {
            best = t;
            least = load;
        }
    }
    w->last = (unsigned)(best - w->list);
    return best;
}

static void
receive(struct letter *l)
{
    struct handover *h = (struct handover *)((char *)l - offsetof(struct handover, letter));
    worker_accept(h->to->worker, h->fd, h->settings, h->listener, h->client, h->id);
    atomic_fetch_sub(&h->to->coming, 1);
    free(h);
}

bool
workers_hand_over(struct workers *w, int fd, struct settings *settings,
                  const struct listener_settings *listener, struct client_counter *client,
                  uint64_t id)
{
    struct handover *h = malloc(sizeof *h);
    if (!h) {
        close(fd);
        connection_left(listener, client);
        return false;
    }
    struct worker_thread *to = least_busy(w);
    *h = (struct handover){.letter = {.deliver = receive},
                           .to = to,
                           .fd = fd,
                           .settings = settings_ref(settings),
                           .listener = listener,
                           .client = client,
                           .id = id};
    atomic_fetch_add(&to->coming, 1);
    ring_post(to->ring, &h->letter);
    return true;
}

struct areas {
    struct letter letter;
    struct worker_thread *to;
    struct settings *settings;
};

static void
receive_areas(struct letter *l)
{
    struct areas *a = (struct areas *)((char *)l - offsetof(struct areas, letter));
    // Nobody waits for what this thread does.
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), SCRATCH_NICE);
    worker_scratch(a->to->worker, a->settings);
    if (a->settings)
        settings_unref(a->settings);
    free(a);
}

bool
workers_scratch(struct workers *w, struct settings *settings)
{
    if (w->n == w->serving)
        return !settings || !scratch_wanted(settings);
    struct areas *a = need_zeroed(1, sizeof *a);
    *a = (struct areas){.letter = {.deliver = receive_areas},
                        .to = &w->list[w->serving],
                        .settings = settings ? settings_ref(settings) : NULL};
    ring_post(a->to->ring, &a->letter);
    return true;
}

static void
count_drained(struct letter *l)
{
    struct workers *w = THREAD_OF(l, drained)->all;
    if (++w->drained == w->n)
        w->all_drained(w->ctx);
}

// On the worker's thread. It goes on running its ring: statistics may still be asked for.
static void
tell_drained(void *ctx)
{
    struct worker_thread *t = ctx;
    if (t->has_drained)
        return;
    t->has_drained = true;
    t->drained.deliver = count_drained;
    ring_post(t->all->main, &t->drained);
}

static void
drain_first(struct letter *l)
{
    struct worker_thread *t = THREAD_OF(l, drain[0]);
    worker_drain(t->worker, t->deadline[0], tell_drained, t);
}

static void
drain_second(struct letter *l)
{
    struct worker_thread *t = THREAD_OF(l, drain[1]);
    if (!t->has_drained)
        worker_drain(t->worker, t->deadline[1], tell_drained, t);
}

void
workers_drain(struct workers *w, nstime deadline, void (*all_drained)(void *ctx), void *ctx)
{
    unsigned which = w->drains++;
    if (which > 1) // it cannot be hurried more
        return;
    w->all_drained = all_drained;
    w->ctx = ctx;
    for (unsigned i = 0; i < w->n; i++) {
        struct worker_thread *t = &w->list[i];
        t->deadline[which] = deadline;
        t->drain[which].deliver = which == 0 ? drain_first : drain_second;
        ring_post(t->ring, &t->drain[which]);
    }
}

static void
stop_ring(struct letter *l)
{
    ring_stop(THREAD_OF(l, stop)->ring);
}

void
workers_stop(struct workers *w)
{
    for (unsigned i = 0; i < w->n; i++) {
        struct worker_thread *t = &w->list[i];
        t->stop.deliver = stop_ring;
        if (t->started)
            ring_post(t->ring, &t->stop);
    }
    for (unsigned i = 0; i < w->n; i++)
        if (w->list[i].started)
            pthread_join(w->list[i].thread, NULL);
    // Only now: until the last thread has ended a worker may write to another.
    for (unsigned i = 0; i < w->n; i++)
        if (w->list[i].worker)
            worker_end(w->list[i].worker);
    for (unsigned i = 0; i < w->n; i++)
        if (w->list[i].worker)
            worker_free(w->list[i].worker);
    for (unsigned i = 0; i < w->n; i++)
        if (w->list[i].ring)
            ring_free(w->list[i].ring);
    free(w->list);
    free(w);
}
