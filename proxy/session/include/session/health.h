// SPDX-License-Identifier: BSD-3-Clause
// How the last attempt to reach an upstream went. Sessions keep the settings that they began with,
// while what they count goes by the upstream's name: what one with older settings meets says
// nothing of an upstream that has been read anew since. So the word has the reading's number in it.
#ifndef SESSION_HEALTH_H
#define SESSION_HEALTH_H

#include <session/settings.h>

enum upstream_health {
    UPSTREAM_FINE,
    UPSTREAM_UNREACHED, // or did not greet us
    UPSTREAM_INSECURE,  // TLS failed
};

#define HEALTH_BITS 2u
#define HEALTH_MASK ((1u << HEALTH_BITS) - 1)

static inline bool
upstream_is_down(const struct upstream_counters *c)
{
    return (atomic_load(&c->health) & HEALTH_MASK) != UPSTREAM_FINE;
}

// By any thread.
static inline void
upstream_note(const struct upstream_settings *u, enum upstream_health h)
{
    atomic_uint *health = &u->counters->health;
    unsigned seen = atomic_load(health);
    while (seen >> HEALTH_BITS <= u->reading &&
           !atomic_compare_exchange_weak(health, &seen, u->reading << HEALTH_BITS | (unsigned)h))
        ;
}

// The settings are in force from now on. That another place was not reached says nothing of this
// one; nor do old certificates and keys of the new ones.
static inline void
upstream_begins(const struct upstream_settings *u, bool moved)
{
    atomic_uint *health = &u->counters->health;
    unsigned next, seen = atomic_load(health);
    do {
        unsigned h = seen & HEALTH_MASK;
        if (seen >> HEALTH_BITS >= u->reading) // a session has been faster
            return;
        next = u->reading << HEALTH_BITS | (moved || h == UPSTREAM_INSECURE ? UPSTREAM_FINE : h);
    } while (!atomic_compare_exchange_weak(health, &seen, next));
}

#endif
