// SPDX-License-Identifier: BSD-3-Clause
#include "world.h"

#include <base/log.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIRST_NOW  (1000 * NS_PER_SEC)
#define MOST_STEPS UINT64_C(20000000) // a run that takes more goes round in circles
#define LOG_KEPT   30

struct world world;
uint64_t world_steps_of_all;
bool world_verbose;

static char kept[LOG_KEPT][LOG_LINE_MAX];
static unsigned n_kept;

static void
keep(const struct log_head *head, const char *line, size_t len)
{
    (void)head;
    snprintf(kept[n_kept++ % LOG_KEPT], LOG_LINE_MAX, "%.6f %.*s",
             (double)(world.now - FIRST_NOW) / 1e9, (int)len, line);
    if (world_verbose)
        fprintf(stderr, "%s\n", kept[(n_kept - 1) % LOG_KEPT]);
}

static void
say_where(void)
{
    char text[400];
    int n = snprintf(text, sizeof text, "\nsim %s: seed %llu (%s), step %llu, at %.6f s\n",
                     world.scenario ? world.scenario : "-", (unsigned long long)world.seed,
                     world.detail, (unsigned long long)world.steps,
                     (double)(world.now - FIRST_NOW) / 1e9);
    if (n > 0)
        (void)!write(STDERR_FILENO, text, (size_t)n);
}

// Called by the sanitizers and by abort(): whatever goes wrong, the seed is printed.
void __asan_on_error(void);
void
__asan_on_error(void)
{
    say_where();
}

static void
died(int signal_number)
{
    (void)signal_number;
    say_where();
    _exit(1);
}

void
world_begin(const char *scenario, uint64_t seed)
{
    world = (struct world){.now = FIRST_NOW, .seed = seed, .scenario = scenario};
    world.chance = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    n_kept = 0;
    signal(SIGABRT, died);
    log_set_sink(keep);
    atomic_store(&log_threshold, world_verbose ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
}

void
world_fail(const char *fmt, ...)
{
    va_list ap;
    fprintf(stderr, "\nFAILED: ");
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    say_where();
    if (!world_verbose)
        for (unsigned i = n_kept > LOG_KEPT ? n_kept - LOG_KEPT : 0; i < n_kept; i++)
            fprintf(stderr, "  log: %s\n", kept[i % LOG_KEPT]);
    fprintf(stderr, "again, with all the log: nbdzero-sim %s --seed %llu\n", world.scenario,
            (unsigned long long)world.seed);
    _exit(1);
}

void
world_note(const char *fmt, ...)
{
    va_list ap;
    fprintf(stderr, "%.6f    ", (double)(world.now - FIRST_NOW) / 1e9);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

// Chance ----------------------------------------------------------------------------------

uint64_t
chance_next(void) // splitmix64
{
    uint64_t z = world.chance += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t
chance_below(uint64_t n)
{
    return chance_next() % n;
}

bool
chance_of(unsigned percent)
{
    return chance_below(100) < percent;
}

uint64_t
chance_between(uint64_t least, uint64_t most)
{
    unsigned bits = 0;
    while (bits < 63 && (least << bits) < most)
        bits++;
    uint64_t limit = least << chance_below(bits + 1);
    if (limit > most || limit < least)
        limit = most;
    return least + chance_below(limit - least + 1);
}

// Turns -----------------------------------------------------------------------------------

void
world_add(struct actor *a)
{
    a->next = world.actors;
    world.actors = a;
}

void
world_remove(struct actor *a)
{
    struct actor **p = &world.actors;
    while (*p != a)
        p = &(*p)->next;
    *p = a->next;
}

static nstime
next_time(void)
{
    nstime next = 0;
    for (struct actor *a = world.actors; a; a = a->next) {
        nstime t = a->next_time(a);
        if (t && (!next || t < next))
            next = t;
    }
    return next;
}

bool
world_step(nstime until)
{
    world_steps_of_all++;
    expect(++world.steps < MOST_STEPS, "the run does not come to an end");
    struct actor *chosen = NULL;
    unsigned n = 0;
    for (struct actor *a = world.actors; a; a = a->next)
        if (a->can_run(a) && chance_below(++n) == 0)
            chosen = a;
    if (chosen) {
        chosen->run(chosen);
        return true;
    }
    nstime next = next_time();
    if (until && (!next || next > until)) {
        world.now = until;
        return false;
    }
    if (!next)
        return false;
    expect(next > world.now, "somebody is due and does not run");
    world.now = next;
    return true;
}

void
world_run(nstime until)
{
    while (world_step(until))
        ;
}
