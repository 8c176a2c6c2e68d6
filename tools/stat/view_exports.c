// SPDX-License-Identifier: BSD-3-Clause
#include "table.h"
#include "totals.h"
#include "units.h"
#include "views.h"

#include <stdlib.h>

static void
cell_latencies(struct table *t, const json_t *command)
{
    static const char *const keys[] = {"p50", "p90", "p99", "p999", "max"};
    const json_t *latency = json_object_get(command, "latency_us");
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        table_cell(t, "%s",
                   json_is_integer(json_object_get(latency, keys[i]))
                       ? units_latency(fact_number(latency, keys[i])).s
                       : "-");
}

// Commands that nobody has sent are left out.
static void
add_commands(struct table *t, const struct look *l, const json_t *e, bool named)
{
    bool rates = look_seconds(l) > 0;
    const json_t *before = json_object_get(look_export_before(l, e), "commands");
    for (unsigned i = 0; i < COMMANDS_COUNT; i++) {
        const json_t *k = json_object_get(json_object_get(e, "commands"), command_keys[i]);
        const json_t *then = json_object_get(before, command_keys[i]);
        if (!fact_number(k, "count"))
            continue;
        if (named) {
            char *name = fact_export(e);
            table_cell(t, "%s", name);
            free(name);
        }
        table_cell(t, "%s", command_words[i]);
        if (rates) {
            table_cell(t, "%s", units_rate(look_rate(l, k, then, "count")).s);
            table_cell(t, "%s", units_size_rate(look_rate(l, k, then, "bytes")).s);
        } else {
            table_cell(t, "%s", units_count(fact_number(k, "count")).s);
            table_cell(t, "%s", units_size(fact_number(k, "bytes")).s);
        }
        table_cell(t, "%s", units_count(fact_number(k, "errors")).s);
        if (fact_number(k, "errors"))
            table_paint(t, WARN);
        cell_latencies(t, k);
    }
}

#define LATENCY_COLUMNS                                                                            \
    {"ERRORS", RIGHT, 0, 2}, {"P50", RIGHT}, {"P90", RIGHT, 0, 3}, {"P99", RIGHT},                 \
        {"P999", RIGHT, 0, 1},                                                                     \
    {                                                                                              \
        "MAX", RIGHT                                                                               \
    }

void
view_commands(const struct look *l, struct canvas *c, const json_t *export)
{
    static const struct column totals[] = {
        {"EXPORT", LEFT, 8},    {"COMMAND", LEFT}, {"COUNT", RIGHT},
        {"BYTES", RIGHT, 0, 4}, LATENCY_COLUMNS,
    };
    static const struct column rates[] = {
        {"EXPORT", LEFT, 8},      {"COMMAND", LEFT}, {"OPS/s", RIGHT},
        {"BYTES/s", RIGHT, 0, 4}, LATENCY_COLUMNS,
    };
    struct table t;
    size_t n = sizeof totals / sizeof totals[0], i;
    const struct column *columns = look_seconds(l) > 0 ? rates : totals;
    json_t *e;
    table_begin(&t, columns + (export != NULL), n - (export != NULL));
    if (export)
        add_commands(&t, l, export, false);
    else
        json_array_foreach(json_object_get(l->now->snapshot, "exports"), i, e)
            add_commands(&t, l, e, true);
    table_draw(&t, c, l->width);
}
