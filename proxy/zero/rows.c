// SPDX-License-Identifier: BSD-3-Clause
// What is known about a class, as rows for people and dashboards.
#include "parts.h"

const char *
zero_verdict_name(enum zero_verdict v)
{
    static const char *const names[] = {
        [ZERO_UNKNOWN] = "unknown", [ZERO_SLOW] = "slow", [ZERO_FAST] = "fast"};
    return names[v];
}

const char *
zero_source_name(enum zero_source s)
{
    static const char *const names[] = {
        [ZERO_FROM_NOTHING] = "",    [ZERO_FROM_PROBE] = "probe", [ZERO_FROM_TRAFFIC] = "traffic",
        [ZERO_FROM_SAVED] = "saved", [ZERO_FROM_PIN] = "pinned",  [ZERO_FROM_UPSTREAM] = "upstream",
    };
    return names[s];
}

// From which size on the model says fast: by bisection, for zero_model_fast() is the definition.
// Searched up to the longest single piece; past it the fixed cost comes again with each piece.
static uint64_t
fast_from(const struct zero_model *m, const struct zero_rules *r)
{
    uint64_t low = 0, high = r->max_zero ? r->max_zero : UINT64_C(1) << 40;
    if (!zero_model_fast(m, r, high))
        return UINT64_MAX;
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        if (zero_model_fast(m, r, middle))
            high = middle;
        else
            low = middle;
    }
    return high;
}

static struct zero_row
cell_row(const struct zero_cell *cell, unsigned i)
{
    uint64_t size = UINT64_C(1) << (ZERO_CELL_SMALLEST + i);
    return (struct zero_row){
        .bytes_from = i == 0 ? 1 : size / 2 + 1,
        .bytes_to = size,
        .verdict = cell->verdict,
        .source = cell->verdict == ZERO_UNKNOWN ? ZERO_FROM_NOTHING : ZERO_FROM_TRAFFIC,
        .since = cell->since,
        .ratio = cell->write > 0 ? cell->zero / cell->write : -1,
        .samples = (unsigned)cell->n[ZERO_ARM_ZERO] + cell->n[ZERO_ARM_WRITE],
    };
}

// The verdict of a probe: one row, or two where the fixed cost of a zero makes small ones slow.
static unsigned
class_rows(const struct zero_class *c, const struct zero_rules *r, struct zero_row rows[2])
{
    if (c->verdict == ZERO_UNKNOWN && !c->has_model)
        return 0;
    rows[0] = (struct zero_row){
        .bytes_from = 1,
        .bytes_to = UINT64_MAX,
        .verdict = c->verdict,
        .source = c->source,
        .since = c->since,
        .ratio = c->has_model ? c->model.ratio : -1,
        .samples = c->samples,
    };
    uint64_t from = c->verdict == ZERO_FAST ? fast_from(&c->model, r) : 1;
    if (from == 1)
        return 1;
    rows[1] = rows[0];
    rows[0].verdict = ZERO_SLOW;
    if (from == UINT64_MAX)
        return 1;
    rows[0].bytes_to = from - 1;
    rows[1].bytes_from = from;
    return 2;
}

unsigned
zero_class_rows(struct zero_class *c, const struct zero_rules *r, nstime now, struct zero_row *rows,
                unsigned max)
{
    class_settle(c, now);
    unsigned n = 0;
    for (unsigned i = 0; i < ZERO_CELLS; i++) {
        cell_settle(&c->cells[i], now);
        if (c->cells[i].tries && n < max)
            rows[n++] = cell_row(&c->cells[i], i);
    }
    struct zero_row large[2];
    unsigned found = class_rows(c, r, large);
    for (unsigned i = 0; i < found && n < max; i++)
        rows[n++] = large[i];
    return n;
}
