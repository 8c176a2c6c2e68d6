// SPDX-License-Identifier: BSD-3-Clause
#include "watchdog.h"

#include "memory.h"

#include <base/log.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#define FEEDS 4 // in an interval: a letter has a quarter of it to come back

struct round_trip {
    struct letter letter;
    struct watchdog *dog;
    unsigned index; // of the worker
};

struct watchdog {
    struct ring *ring;
    struct workers *workers;
    const struct notifier *notifier;
    struct timer timer;
    nstime every;
    bool *out;  // whose letter is under way
    bool *told; // who has been called stuck
    nstime *sent;
    struct round_trip trips[];
};

unsigned
watchdog_next_stuck(const bool *out, unsigned n, unsigned from)
{
    while (from < n && !out[from])
        from++;
    return from;
}

static struct round_trip *
trip_of(struct letter *l)
{
    return (struct round_trip *)((char *)l - offsetof(struct round_trip, letter));
}

static void
returned(struct letter *l)
{
    struct round_trip *t = trip_of(l);
    t->dog->out[t->index] = false;
}

// On the worker's thread: that this is called at all is its progress.
static void
turned(struct letter *l)
{
    l->deliver = returned;
    ring_post(trip_of(l)->dog->ring, l);
}

static void
ask_all(struct watchdog *d)
{
    for (unsigned i = 0; i < d->workers->n; i++) {
        if (d->out[i])
            continue;
        d->out[i] = true;
        d->sent[i] = ring_clock(d->ring);
        d->trips[i].letter.deliver = turned;
        ring_post(d->workers->list[i].ring, &d->trips[i].letter);
    }
}

// Once for each time that it gets stuck.
static void
tell_progress(struct watchdog *d)
{
    for (unsigned i = 0; i < d->workers->n; i++) {
        char name[WORKER_NAME];
        workers_name(d->workers, i, name);
        if (d->out[i] && !d->told[i])
            log_error("%s has stopped turning its loop %" PRIu64
                      " ms ago: systemd's watchdog is not fed until it goes on",
                      name, (ring_clock(d->ring) - d->sent[i]) / NS_PER_MS);
        else if (!d->out[i] && d->told[i])
            log_info("%s goes on", name);
        d->told[i] = d->out[i];
    }
}

static void
tick(struct timer *t)
{
    struct watchdog *d = (struct watchdog *)((char *)t - offsetof(struct watchdog, timer));
    unsigned n = d->workers->n;
    tell_progress(d);
    if (watchdog_next_stuck(d->out, n, 0) == n)
        notify_alive(d->notifier);
    ask_all(d);
    timer_set(d->ring, t, ring_now(d->ring) + d->every);
}

struct watchdog *
watchdog_start(struct ring *main, struct workers *workers, const struct notifier *notifier)
{
    uint64_t usec = 0;
    int wanted = sd_watchdog_enabled(false, &usec);
    if (wanted < 0)
        log_warn("$WATCHDOG_USEC or $WATCHDOG_PID is not a number: systemd's watchdog is not fed");
    if (wanted <= 0 || !usec)
        return NULL;
    struct watchdog *d = need_zeroed(1, sizeof *d + workers->n * sizeof d->trips[0]);
    d->ring = main;
    d->workers = workers;
    d->notifier = notifier;
    d->every = usec * 1000 / FEEDS;
    d->out = need_zeroed(workers->n, sizeof *d->out);
    d->told = need_zeroed(workers->n, sizeof *d->told);
    d->sent = need_zeroed(workers->n, sizeof *d->sent);
    for (unsigned i = 0; i < workers->n; i++)
        d->trips[i] = (struct round_trip){.dog = d, .index = i};
    d->timer.fire = tick;
    notify_alive(notifier);
    ask_all(d);
    timer_set(main, &d->timer, ring_clock(main) + d->every);
    return d;
}

void
watchdog_stop(struct watchdog *d)
{
    if (d)
        timer_cancel(d->ring, &d->timer);
}

void
watchdog_free(struct watchdog *d)
{
    if (!d)
        return;
    free(d->out);
    free(d->told);
    free(d->sent);
    free(d);
}
