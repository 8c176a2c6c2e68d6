// SPDX-License-Identifier: BSD-3-Clause
#include "map.h"

#define QUERY_MOST (UINT64_C(1) << 31) // fits a compact request, at any alignment

void
map_begin(struct map *m, struct range whole)
{
    *m = (struct map){.whole = whole, .at = whole.offset};
}

bool
map_next(struct map *m, struct range *query)
{
    uint64_t left = range_end(m->whole) - m->at;
    if (!left || m->best.length >= MAP_ENOUGH || m->queries == MAP_QUERIES)
        return false;
    m->queries++;
    *query = (struct range){m->at, left < QUERY_MOST ? left : QUERY_MOST};
    return true;
}

void
map_extent(struct map *m, uint64_t length, bool data)
{
    uint64_t left = range_end(m->whole) - m->at;
    if (length > left)
        length = left;
    if (!data)
        m->run.length = 0;
    else if (!m->run.length)
        m->run = (struct range){m->at, length};
    else
        m->run.length += length;
    if (!m->first.length)
        m->first = m->run;
    if (m->run.length > m->best.length)
        m->best = m->run;
    m->at += length;
}

struct range
map_choice(const struct map *m)
{
    if (!m->best.length)
        return (struct range){0};
    uint64_t from = m->best.length >= MAP_USEFUL ? m->best.offset : m->first.offset;
    return (struct range){from, range_end(m->whole) - from};
}
