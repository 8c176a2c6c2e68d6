// SPDX-License-Identifier: BSD-3-Clause
#include "views.h"

#include "table.h"
#include "totals.h"
#include "units.h"

#include <inttypes.h>
#include <stdlib.h>

void
view_process(const struct look *l, struct canvas *c)
{
    const json_t *s = l->now->snapshot;
    uint64_t threads = fact_number(s, "threads");
    canvas_line(c);
    canvas_put(c, STRONG, "nbdzero-proxy %s", fact_text(s, "version"));
    canvas_put(c, PLAIN, ", pid %" PRIu64 ", up %s, %" PRIu64 " thread%s", fact_number(s, "pid"),
               units_duration((int64_t)fact_number(s, "uptime_s")).s, threads,
               threads == 1 ? "" : "s");
}

static void
say_connections(const struct look *l, struct canvas *c)
{
    const json_t *s = l->now->snapshot;
    struct totals sum = totals_of(l);
    canvas_put(c, PLAIN, ", %s of %" PRIu64 " connections", units_count(sum.connections).s,
               fact_number(s, "max_connections"));
    if (sum.requests < 0)
        return;
    canvas_line(c);
    canvas_put(c, PLAIN, "%s requests/s, %s errors/s, %s/s read, %s/s written",
               units_rate(sum.requests).s, units_rate(sum.errors).s,
               units_size_rate(sum.bytes_out).s, units_size_rate(sum.bytes_in).s);
}

void
view_troubles(const struct look *l, struct canvas *c)
{
    const json_t *s = l->now->snapshot, *log = json_object_get(s, "log");
    uint64_t lost = fact_number(log, "lines_dropped") + fact_number(log, "lines_suppressed");
    if (lost) {
        canvas_line(c);
        canvas_put(c, WARN, "log: %s lines lost", units_count(lost).s);
    }
}

static void
cell_count(struct table *t, const json_t *object, const char *key)
{
    table_cell(t, "%s", units_count(fact_number(object, key)).s);
}

static void
show_listeners(const struct look *l, struct canvas *c)
{
    static const struct column columns[] = {
        {"LISTENER", LEFT, 8},    {"ADDRESS", LEFT, 16},  {"TLS", LEFT, 0, 3},
        {"UPSTREAM", LEFT, 8},    {"ACCEPTED", RIGHT, 0}, {"ACTIVE", RIGHT, 0, 2},
        {"REFUSED", RIGHT, 0, 1},
    };
    struct table t;
    table_begin(&t, columns, sizeof columns / sizeof columns[0]);
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(l->now->snapshot, "listeners"), i, one)
    {
        table_cell(&t, "%s", fact_text(one, "name"));
        table_cell(&t, "%s", fact_text(one, "address"));
        table_cell(&t, "%s",
                   json_is_null(json_object_get(one, "tls")) ? "off" : fact_text(one, "tls"));
        table_cell(&t, "%s", fact_text(one, "upstream"));
        cell_count(&t, one, "accepted");
        cell_count(&t, one, "active");
        cell_count(&t, one, "refused");
    }
    table_draw(&t, c, l->width);
}

// How the last connect went, of those that have been tried.
static void
cell_last(struct table *t, const json_t *upstream)
{
    bool down = json_is_true(json_object_get(upstream, "down"));
    table_cell(t, "%s", down ? "failed" : fact_number(upstream, "reached") ? "reached" : "-");
    if (down)
        table_paint(t, BAD);
}

static void
show_upstreams(const struct look *l, struct canvas *c)
{
    static const struct column columns[] = {
        {"UPSTREAM", LEFT, 8}, {"TLS", LEFT, 0},  {"REACHED", RIGHT, 0},
        {"FAILED", RIGHT, 0},  {"LAST", LEFT, 0},
    };
    struct table t;
    table_begin(&t, columns, sizeof columns / sizeof columns[0]);
    size_t i;
    json_t *u;
    json_array_foreach(json_object_get(l->now->snapshot, "upstreams"), i, u)
    {
        table_cell(&t, "%s", fact_text(u, "name"));
        table_cell(&t, "%s", json_is_true(json_object_get(u, "tls")) ? "on" : "off");
        cell_count(&t, u, "reached");
        cell_count(&t, u, "failed");
        cell_last(&t, u);
    }
    table_draw(&t, c, l->width);
}

static void
add_export(struct table *t, const json_t *e)
{
    const json_t *fast = json_object_get(e, "fast_zero");
    bool seen = json_is_integer(json_object_get(e, "size"));
    char *name = fact_export(e);
    table_cell(t, "%s", name);
    free(name);
    table_cell(t, "%s", seen ? units_size(fact_number(e, "size")).s : "-");
    table_cell(t, "%s", fact_text(fast, "policy"));
    cell_count(t, fast, "requests");
    cell_count(t, fast, "forwarded");
    cell_count(t, fast, "refused");
    cell_count(t, fast, "already_zero");
    cell_count(t, json_object_get(e, "probes"), "run");
}

static void
show_exports(const struct look *l, struct canvas *c)
{
    static const struct column columns[] = {
        {"EXPORT", LEFT, 8},       {"SIZE", RIGHT, 0, 2},      {"FAST-ZERO", LEFT, 0},
        {"ASKED", RIGHT, 0},       {"FORWARDED", RIGHT, 0, 1}, {"REFUSED", RIGHT, 0},
        {"WAS-ZERO", RIGHT, 0, 3}, {"PROBES", RIGHT, 0, 4},
    };
    struct table t;
    table_begin(&t, columns, sizeof columns / sizeof columns[0]);
    size_t i;
    json_t *e;
    json_array_foreach(json_object_get(l->now->snapshot, "exports"), i, e) add_export(&t, e);
    table_draw(&t, c, l->width);
}

static void
show_commands(const struct look *l, struct canvas *c)
{
    view_commands(l, c, NULL);
}

void
view_show(const struct look *l, struct canvas *c)
{
    static view_function *const tables[] = {show_listeners, show_upstreams, show_exports,
                                            show_commands, view_connections};
    view_process(l, c);
    say_connections(l, c);
    view_troubles(l, c);
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        canvas_line(c);
        tables[i](l, c);
    }
}
