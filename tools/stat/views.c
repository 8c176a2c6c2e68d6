// SPDX-License-Identifier: BSD-3-Clause
#include "views.h"

#include "table.h"
#include "units.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// What the daemon's reply lacks shows as a dash or nought: it may be of another version.
static const char *
text(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s ? s : "-";
}

static uint64_t
number(const json_t *object, const char *key)
{
    json_int_t n = json_integer_value(json_object_get(object, key));
    return n < 0 ? 0 : (uint64_t)n;
}

static void
cell_count(struct table *t, const json_t *object, const char *key)
{
    table_cell(t, "%s", units_count(number(object, key)).s);
}

// UPSTREAM/EXPORT; the default export has an empty name.
static void
cell_export(struct table *t, const json_t *object)
{
    const char *name = text(object, "export");
    table_cell(t, "%s/%s", text(object, "upstream"), *name ? name : "\"\"");
}

static void
print_head(const json_t *snapshot)
{
    uint64_t connections = json_array_size(json_object_get(snapshot, "connections"));
    uint64_t threads = number(snapshot, "threads");
    const json_t *log = json_object_get(snapshot, "log");
    uint64_t lost = number(log, "lines_dropped") + number(log, "lines_suppressed");
    char version[64];
    snprintf(version, sizeof version, "%s", text(snapshot, "version"));
    printf("nbdzero-proxy %s, pid %llu, up %s, %llu thread%s, %s of %llu connections\n",
           table_safe(version), (unsigned long long)number(snapshot, "pid"),
           units_duration((int64_t)number(snapshot, "uptime_s")).s, (unsigned long long)threads,
           threads == 1 ? "" : "s", units_count(connections).s,
           (unsigned long long)number(snapshot, "max_connections"));
    if (lost)
        printf("log: %s lines lost\n", units_count(lost).s);
}

static void
show_listeners(const json_t *snapshot)
{
    static const struct column columns[] = {
        {"LISTENER", LEFT, 8},  {"ADDRESS", LEFT, 16}, {"TLS", LEFT, 0},      {"UPSTREAM", LEFT, 8},
        {"ACCEPTED", RIGHT, 0}, {"ACTIVE", RIGHT, 0},  {"REFUSED", RIGHT, 0},
    };
    struct table t;
    table_begin(&t, columns, sizeof columns / sizeof columns[0]);
    size_t i;
    json_t *l;
    json_array_foreach(json_object_get(snapshot, "listeners"), i, l)
    {
        table_cell(&t, "%s", text(l, "name"));
        table_cell(&t, "%s", text(l, "address"));
        table_cell(&t, "%s", json_is_null(json_object_get(l, "tls")) ? "off" : text(l, "tls"));
        table_cell(&t, "%s", text(l, "upstream"));
        cell_count(&t, l, "accepted");
        cell_count(&t, l, "active");
        cell_count(&t, l, "refused");
    }
    table_end(&t, table_width());
}

// How the last connect went, of those that have been tried.
static const char *
last_of(const json_t *u)
{
    if (json_is_true(json_object_get(u, "down")))
        return "failed";
    return number(u, "reached") ? "reached" : "-";
}

static void
show_upstreams(const json_t *snapshot)
{
    static const struct column columns[] = {
        {"UPSTREAM", LEFT, 8}, {"TLS", LEFT, 0},  {"REACHED", RIGHT, 0},
        {"FAILED", RIGHT, 0},  {"LAST", LEFT, 0},
    };
    struct table t;
    table_begin(&t, columns, sizeof columns / sizeof columns[0]);
    size_t i;
    json_t *u;
    json_array_foreach(json_object_get(snapshot, "upstreams"), i, u)
    {
        table_cell(&t, "%s", text(u, "name"));
        table_cell(&t, "%s", json_is_true(json_object_get(u, "tls")) ? "on" : "off");
        cell_count(&t, u, "reached");
        cell_count(&t, u, "failed");
        table_cell(&t, "%s", last_of(u));
    }
    table_end(&t, table_width());
}

static void
show_exports(const json_t *snapshot)
{
    static const struct column columns[] = {
        {"EXPORT", LEFT, 8},    {"SIZE", RIGHT, 0},      {"FAST-ZERO", LEFT, 0},
        {"ASKED", RIGHT, 0},    {"FORWARDED", RIGHT, 0}, {"REFUSED", RIGHT, 0},
        {"WAS-ZERO", RIGHT, 0}, {"PROBES", RIGHT, 0},
    };
    struct table t;
    table_begin(&t, columns, sizeof columns / sizeof columns[0]);
    size_t i;
    json_t *e;
    json_array_foreach(json_object_get(snapshot, "exports"), i, e)
    {
        const json_t *fast = json_object_get(e, "fast_zero");
        bool seen = json_is_integer(json_object_get(e, "size"));
        cell_export(&t, e);
        table_cell(&t, "%s", seen ? units_size(number(e, "size")).s : "-");
        table_cell(&t, "%s", text(fast, "policy"));
        cell_count(&t, fast, "requests");
        cell_count(&t, fast, "forwarded");
        cell_count(&t, fast, "refused");
        cell_count(&t, fast, "already_zero");
        cell_count(&t, json_object_get(e, "probes"), "run");
    }
    table_end(&t, table_width());
}

// The client's side; that to the upstream is as show_upstreams() has it. "TLSv1.3" becomes "1.3".
static void
cell_tls(struct table *t, const json_t *connection)
{
    const json_t *tls = json_object_get(connection, "tls");
    const char *version = text(tls, "version");
    if (!json_is_object(tls))
        version = "off";
    else if (strncmp(version, "TLSv", 4) == 0)
        version += 4;
    table_cell(t, "%s", version);
}

void
view_connections(const json_t *snapshot)
{
    static const struct column columns[] = {
        {"ID", RIGHT, 6},        {"CLIENT", LEFT, 12}, {"LISTENER", LEFT, 8},
        {"TLS", LEFT, 3},        {"EXPORT", LEFT, 8},  {"AGE", RIGHT, 0},
        {"IN-FLIGHT", RIGHT, 0}, {"IN", RIGHT, 0},     {"OUT", RIGHT, 0},
    };
    struct table t;
    table_begin(&t, columns, sizeof columns / sizeof columns[0]);
    size_t i;
    json_t *c;
    json_array_foreach(json_object_get(snapshot, "connections"), i, c)
    {
        table_cell(&t, "%llu", (unsigned long long)number(c, "id"));
        table_cell(&t, "%s", text(c, "client"));
        table_cell(&t, "%s", text(c, "listener"));
        cell_tls(&t, c);
        cell_export(&t, c);
        table_cell(&t, "%s", units_duration((int64_t)time(NULL) - (int64_t)number(c, "since")).s);
        cell_count(&t, c, "in_flight");
        table_cell(&t, "%s", units_size(number(c, "bytes_from_client")).s);
        table_cell(&t, "%s", units_size(number(c, "bytes_to_client")).s);
    }
    table_end(&t, table_width());
}

void
view_show(const json_t *snapshot)
{
    print_head(snapshot);
    puts("");
    show_listeners(snapshot);
    puts("");
    show_upstreams(snapshot);
    puts("");
    show_exports(snapshot);
    puts("");
    view_connections(snapshot);
}

// "64K" for one size, "512-1M", and "16M and up" where it reaches to the export's end.
static void
cell_sizes(struct table *t, const json_t *e, const json_t *v)
{
    uint64_t from = number(v, "bytes_from"), to = number(v, "bytes_to");
    struct units_text a = units_size(from), b = units_size(to);
    if (to >= number(e, "size"))
        table_cell(t, "%s and up", a.s);
    else if (strcmp(a.s, b.s) == 0)
        table_cell(t, "%s", a.s);
    else
        table_cell(t, "%s-%s", a.s, b.s);
}

static void
verdict_row(struct table *t, const json_t *e, const json_t *v)
{
    const json_t *ratio = json_object_get(v, "ratio"), *age = json_object_get(v, "age_s");
    cell_export(t, e);
    table_cell(t, "%s", json_is_true(json_object_get(v, "no_hole")) ? "yes" : "no");
    cell_sizes(t, e, v);
    table_cell(t, "%s", text(v, "verdict"));
    table_cell(t, "%s", text(v, "source"));
    if (json_is_number(ratio))
        table_cell(t, "%.2f", json_number_value(ratio));
    else
        table_cell(t, "-");
    cell_count(t, v, "samples");
    table_cell(t, "%s", json_is_integer(age) ? units_duration(json_integer_value(age)).s : "-");
}

void
view_verdicts(const json_t *snapshot)
{
    static const struct column columns[] = {
        {"EXPORT", LEFT, 8}, {"NO_HOLE", LEFT, 0}, {"SIZES", LEFT, 0},    {"VERDICT", LEFT, 0},
        {"SOURCE", LEFT, 0}, {"RATIO", RIGHT, 0},  {"SAMPLES", RIGHT, 0}, {"AGE", RIGHT, 0},
    };
    struct table t;
    table_begin(&t, columns, sizeof columns / sizeof columns[0]);
    size_t i, j;
    json_t *e, *v;
    json_array_foreach(json_object_get(snapshot, "exports"), i, e)
        json_array_foreach(json_object_get(e, "verdicts"), j, v) verdict_row(&t, e, v);
    table_end(&t, table_width());
}
