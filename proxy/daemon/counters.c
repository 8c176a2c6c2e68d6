// SPDX-License-Identifier: BSD-3-Clause
#include "counters.h"

#include "memory.h"

#include <stdlib.h>
#include <string.h>

struct entry {
    struct entry *next;
    char *name;
    union {
        struct listener_counters listener;
        struct upstream_counters upstream;
    };
};

struct counters {
    unsigned refs, readings;
    struct entry *listeners, *upstreams;
};

struct counters *
counters_new(void)
{
    struct counters *c = need_zeroed(1, sizeof *c);
    c->refs = 1;
    return c;
}

struct counters *
counters_ref(struct counters *c)
{
    c->refs++;
    return c;
}

static void
free_list(struct entry *e)
{
    while (e) {
        struct entry *next = e->next;
        free(e->name);
        free(e);
        e = next;
    }
}

void
counters_unref(struct counters *c)
{
    if (--c->refs)
        return;
    free_list(c->listeners);
    free_list(c->upstreams);
    free(c);
}

static struct entry *
find(struct entry **list, const char *name)
{
    for (; *list; list = &(*list)->next)
        if (strcmp((*list)->name, name) == 0)
            return *list;
    struct entry *e = *list = need_zeroed(1, sizeof *e);
    e->name = need_copy(name);
    return e;
}

struct listener_counters *
counters_of_listener(struct counters *c, const char *name)
{
    return &find(&c->listeners, name)->listener;
}

struct upstream_counters *
counters_of_upstream(struct counters *c, const char *name)
{
    return &find(&c->upstreams, name)->upstream;
}

unsigned
counters_next_reading(struct counters *c)
{
    return ++c->readings;
}

unsigned
counters_active(const struct counters *c)
{
    unsigned sum = 0;
    for (const struct entry *e = c->listeners; e; e = e->next)
        sum += atomic_load(&e->listener.active);
    return sum;
}
