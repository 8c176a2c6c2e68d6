// SPDX-License-Identifier: BSD-3-Clause
#include "scratch_area.h"

#include <session/routes.h>

#include <base/text.h>
#include <stdio.h>

static bool
of_upstream(const struct upstream_settings *u, struct scratch_area *area)
{
    const struct scratch_settings *s = &u->scratch;
    *area = (struct scratch_area){
        .upstream = u,
        .policy = &u->policy,
        .holder = s->elsewhere ? s->holder : route_upstream_name(u, bytes_of(NULL, 0)),
        .range = s->range,
        .elsewhere = s->elsewhere,
    };
    return s->given;
}

static bool
of_export(const struct export_settings *e, struct scratch_area *area)
{
    const struct scratch_settings *s = &e->scratch;
    *area = (struct scratch_area){
        .upstream = e->upstream,
        .policy = &e->policy,
        .holder = s->elsewhere ? s->holder : e->upstream_name,
        .range = s->range,
        .elsewhere = s->elsewhere,
        .borrowers = &e->upstream_name,
    };
    return s->given;
}

static bool
area_at(const struct settings *s, unsigned at, struct scratch_area *area)
{
    return at < s->n_upstreams ? of_upstream(&s->upstreams[at], area)
                               : of_export(&s->exports[at - s->n_upstreams], area);
}

static bool
same_names(const struct bytes *a, const struct bytes *b)
{
    return a && b ? bytes_equal(*a, *b) : a == b;
}

// A section that is for listeners of several upstreams is there for each of these.
static bool
named_before(const struct settings *s, unsigned at, const struct scratch_area *area)
{
    struct scratch_area other;
    for (unsigned i = 0; i < at; i++)
        if (area_at(s, i, &other) && other.upstream == area->upstream &&
            other.range.offset == area->range.offset && other.range.length == area->range.length &&
            bytes_equal(other.holder, area->holder) && same_names(other.borrowers, area->borrowers))
            return true;
    return false;
}

bool
scratch_area_next(const struct settings *s, unsigned *at, struct scratch_area *area)
{
    while (*at < s->n_upstreams + s->n_exports) {
        unsigned i = (*at)++;
        if (area_at(s, i, area) && !named_before(s, i, area))
            return true;
    }
    return false;
}

void
scratch_area_text(const struct scratch_area *a, char *text, size_t cap)
{
    char name[160];
    snprintf(text, cap, "scratch %llu:%llu of export \"%s\" of [upstream %s]",
             (unsigned long long)a->range.offset, (unsigned long long)a->range.length,
             text_escape(name, sizeof name, a->holder), a->upstream->name);
}
