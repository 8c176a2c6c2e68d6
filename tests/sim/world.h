// SPDX-License-Identifier: BSD-3-Clause
// The world of one run: a virtual clock, one source of chance, and the actors (rings, clients,
// upstreams) that take turns in an order that chance decides. Time passes only when nobody can do
// anything. One world at a time; a run is wholly decided by its seed.
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include <base/time.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct actor {
    struct actor *next;
    bool (*can_run)(struct actor *a);
    void (*run)(struct actor *a);
    nstime (*next_time)(struct actor *a); // when it wants to run at the latest; 0: never
};

struct world {
    nstime now;
    uint64_t seed, chance, steps;
    struct actor *actors;
    const char *scenario;
    char detail[200]; // what is being tried, for reports of failures
};

extern struct world world;
extern uint64_t world_steps_of_all; // of all worlds
extern bool world_verbose;          // the proxy's log and the peers' doings go to stderr

void world_begin(const char *scenario, uint64_t seed);
void world_add(struct actor *a);
void world_remove(struct actor *a);
// Runs until nobody can do anything any more, now or later, or `until` (0: no end) is reached.
void world_run(nstime until);
// One turn of somebody, or one step of time; false: nothing will ever happen again.
bool world_step(nstime until);

uint64_t chance_next(void);
uint64_t chance_below(uint64_t n); // 0 to n - 1
bool chance_of(unsigned percent);
// From least to most, small values as likely as large ones.
uint64_t chance_between(uint64_t least, uint64_t most);

// Reports scenario, seed and the proxy's last log lines, and exits 1.
_Noreturn void world_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
#define expect(condition, ...)                                                                     \
    do {                                                                                           \
        if (!(condition))                                                                          \
            world_fail(__VA_ARGS__);                                                               \
    } while (0)

void world_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
#define note(...)                                                                                  \
    do {                                                                                           \
        if (world_verbose)                                                                         \
            world_note(__VA_ARGS__);                                                               \
    } while (0)

#endif
