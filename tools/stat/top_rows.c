// SPDX-License-Identifier: BSD-3-Clause
// The table of top: its columns, its rows and their order.
#include "top.h"

#include "units.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define NOT_KNOWN (-1.0) // sorts below everything

enum form { TEXT, VERDICT, COUNT, SIZE, RATE, SIZE_RATE, LATENCY, AGE };

struct top_column {
    struct column shape;
    enum form form;
    struct top_value (*get)(const struct top *t, const struct top_row *r, const char *key);
    const char *key;
};

// Values ------------------------------------------------------------------------------------

static struct top_value
a_number(double n)
{
    return (struct top_value){.number = n};
}

static struct top_value
a_text(const char *text)
{
    return (struct top_value){.text = text};
}

static struct top_value
get_text(const struct top *t, const struct top_row *r, const char *key)
{
    return a_text(fact_text(r->now, key));
}

static struct top_value
get_number(const struct top *t, const struct top_row *r, const char *key)
{
    return a_number((double)fact_number(r->now, key));
}

static struct top_value
get_name(const struct top *t, const struct top_row *r, const char *key)
{
    return a_text(r->name);
}

static struct top_value
get_rate(const struct top *t, const struct top_row *r, const char *key)
{
    struct look l = {.now = &t->now, .before = &t->before};
    return a_number(look_rate(&l, r->now, r->before, key));
}

static struct top_value
get_zeroes(const struct top *t, const struct top_row *r, const char *key)
{
    struct look l = {.now = &t->now, .before = &t->before};
    const json_t *now = json_object_get(json_object_get(r->now, "commands"), "write_zeroes");
    const json_t *then = json_object_get(json_object_get(r->before, "commands"), "write_zeroes");
    return a_number(look_rate(&l, now, then, "count"));
}

static struct top_value
get_requests(const struct top *t, const struct top_row *r, const char *key)
{
    return a_number(r->traffic.requests);
}

static struct top_value
get_read(const struct top *t, const struct top_row *r, const char *key)
{
    return a_number(r->traffic.bytes_out);
}

static struct top_value
get_written(const struct top *t, const struct top_row *r, const char *key)
{
    return a_number(r->traffic.bytes_in);
}

// Of the command that was chosen, or the worst of all that were used.
static struct top_value
get_latency(const struct top *t, const struct top_row *r, const char *key)
{
    double worst = NOT_KNOWN;
    for (unsigned i = 0; i < COMMANDS_COUNT; i++) {
        const json_t *k = json_object_get(json_object_get(r->now, "commands"), command_keys[i]);
        if ((t->command != COMMANDS_COUNT && t->command != i) || !fact_number(k, "count"))
            continue;
        double us = (double)fact_number(json_object_get(k, "latency_us"), key);
        if (us > worst)
            worst = us;
    }
    return a_number(worst);
}

static struct top_value
get_verdict(const struct top *t, const struct top_row *r, const char *key)
{
    return a_text(r->verdict.word);
}

static struct top_value
get_verdict_age(const struct top *t, const struct top_row *r, const char *key)
{
    return a_number((double)r->verdict.age);
}

static struct top_value
get_reason(const struct top *t, const struct top_row *r, const char *key)
{
    return a_text(r->verdict.reason);
}

static struct top_value
get_tls(const struct top *t, const struct top_row *r, const char *key)
{
    return a_text(connection_tls(r->now));
}

static struct top_value
get_age(const struct top *t, const struct top_row *r, const char *key)
{
    int64_t age = t->now.time - (int64_t)fact_number(r->now, "since");
    return a_number(age > 0 ? (double)age : 0);
}

// Columns -----------------------------------------------------------------------------------

static const struct top_column exports[] = {
    {{"EXPORT", LEFT, 8}, TEXT, get_name},
    {{"CONN", RIGHT, 0, 6, 4}, COUNT, get_number, "connections"},
    {{"OPS/s", RIGHT, 0, 0, 6}, RATE, get_requests},
    {{"READ/s", RIGHT, 0, 3, 6}, SIZE_RATE, get_read},
    {{"WRITE/s", RIGHT, 0, 2, 7}, SIZE_RATE, get_written},
    {{"ZERO/s", RIGHT, 0, 5, 6}, RATE, get_zeroes},
    {{"P50", RIGHT, 0, 7, 5}, LATENCY, get_latency, "p50"},
    {{"P90", RIGHT, 0, 10, 5}, LATENCY, get_latency, "p90"},
    {{"P99", RIGHT, 0, 1, 5}, LATENCY, get_latency, "p99"},
    {{"P999", RIGHT, 0, 9, 5}, LATENCY, get_latency, "p999"},
    {{"MAX", RIGHT, 0, 8, 5}, LATENCY, get_latency, "max"},
    {{"VERDICT", LEFT, 0, 0, 7}, VERDICT, get_verdict},
    {{"AGE", RIGHT, 0, 4, 6}, AGE, get_verdict_age},
    {{"REASON", LEFT, 20, 11}, TEXT, get_reason},
};

static const struct top_column connections[] = {
    {{"ID", RIGHT, 0, 0, 4}, COUNT, get_number, "id"},
    {{"CLIENT", LEFT, 15}, TEXT, get_text, "client"},
    {{"LISTENER", LEFT, 8, 6}, TEXT, get_text, "listener"},
    {{"TLS", LEFT, 0, 5}, TEXT, get_tls},
    {{"EXPORT", LEFT, 8, 4}, TEXT, get_name},
    {{"AGE", RIGHT, 0, 3, 6}, AGE, get_age},
    {{"IN-FL", RIGHT, 0, 2, 5}, COUNT, get_number, "in_flight"},
    {{"IN/s", RIGHT, 0, 0, 6}, SIZE_RATE, get_rate, "bytes_from_client"},
    {{"OUT/s", RIGHT, 0, 0, 6}, SIZE_RATE, get_rate, "bytes_to_client"},
    {{"IN", RIGHT, 0, 8, 6}, SIZE, get_number, "bytes_from_client"},
    {{"OUT", RIGHT, 0, 7, 6}, SIZE, get_number, "bytes_to_client"},
};

static const struct {
    const struct top_column *columns;
    unsigned n;
} shapes[TOP_VIEWS] = {
    [TOP_EXPORTS] = {exports, sizeof exports / sizeof exports[0]},
    [TOP_CONNECTIONS] = {connections, sizeof connections / sizeof connections[0]},
};

unsigned
top_columns(const struct top *t)
{
    return shapes[t->view].n;
}

const char *
top_column_name(const struct top *t, unsigned column)
{
    return shapes[t->view].columns[column].shape.heading;
}

bool
top_column_upwards(const struct top *t, unsigned column)
{
    enum form form = shapes[t->view].columns[column].form;
    return form == TEXT || form == VERDICT;
}

// Rows --------------------------------------------------------------------------------------

struct look
top_look(const struct top *t, size_t width)
{
    return (struct look){.now = &t->now, .before = &t->before, .width = width};
}

static void
forget_rows(struct top *t)
{
    for (size_t i = 0; i < t->n_rows; i++)
        free(t->rows[i].name);
    free(t->rows);
    t->rows = NULL;
    t->n_rows = 0;
}

static void
list_one(struct top *t, const struct look *l, const json_t *object, struct top_row *r)
{
    *r = (struct top_row){.now = object, .name = fact_export(object)};
    if (t->view == TOP_EXPORTS) {
        r->before = look_export_before(l, object);
        r->traffic = traffic_of(l, object, r->before);
        r->verdict = verdict_word_of(object);
    } else {
        r->before = look_connection_before(l, object);
        snprintf(r->id, sizeof r->id, "%" PRIu64, fact_number(object, "id"));
    }
}

void
top_list(struct top *t)
{
    static const char *const keys[TOP_VIEWS] = {"exports", "connections"};
    const json_t *list = json_object_get(t->now.snapshot, keys[t->view]);
    struct look l = top_look(t, 0);
    size_t i, n = json_array_size(list);
    json_t *object;
    forget_rows(t);
    t->rows = or_die(calloc(n + 1, sizeof *t->rows));
    json_array_foreach(list, i, object) list_one(t, &l, object, &t->rows[i]);
    t->n_rows = n;
    top_order(t);
}

static int
compare(const void *a, const void *b, void *ctx)
{
    const struct top *t = ctx;
    const struct top_row *x = a, *y = b;
    int order = x->key.text && y->key.text
                    ? strcmp(x->key.text, y->key.text)
                    : (x->key.number > y->key.number) - (x->key.number < y->key.number);
    if (!t->upwards[t->view])
        order = -order;
    // What is equal keeps its place from one redraw to the next.
    if (!order)
        order = strcmp(x->name, y->name);
    uint64_t i = fact_number(x->now, "id"), j = fact_number(y->now, "id");
    return order ? order : (i > j) - (i < j);
}

void
top_order(struct top *t)
{
    const struct top_column *c = &shapes[t->view].columns[t->sorted[t->view]];
    for (size_t i = 0; i < t->n_rows; i++)
        t->rows[i].key = c->get(t, &t->rows[i], c->key);
    if (t->n_rows)
        qsort_r(t->rows, t->n_rows, sizeof *t->rows, compare, t);
}

static const char *
name_of(const struct top *t, const struct top_row *r)
{
    return t->view == TOP_EXPORTS ? r->name : r->id;
}

size_t
top_chosen(const struct top *t)
{
    for (size_t i = 0; t->chosen && i < t->n_rows; i++)
        if (strcmp(name_of(t, &t->rows[i]), t->chosen) == 0)
            return i;
    return 0;
}

void
top_choose(struct top *t, size_t row)
{
    free(t->chosen);
    t->chosen = NULL;
    if (row < t->n_rows)
        t->chosen = or_die(strdup(name_of(t, &t->rows[row])));
}

static void
add_cell(struct table *table, const struct top_column *c, struct top_value v)
{
    bool known = v.number >= 0;
    uint64_t n = known ? (uint64_t)v.number : 0;
    switch (c->form) {
    case TEXT: table_cell(table, "%s", v.text); break;
    case VERDICT:
        table_cell(table, "%s", v.text);
        table_paint(table, verdict_paint(v.text));
        break;
    case COUNT: table_cell(table, "%s", units_count(n).s); break;
    case SIZE: table_cell(table, "%s", units_size(n).s); break;
    case RATE: table_cell(table, "%s", units_rate(v.number).s); break;
    case SIZE_RATE: table_cell(table, "%s", units_size_rate(v.number).s); break;
    case LATENCY: table_cell(table, "%s", known ? units_latency(n).s : "-"); break;
    case AGE: table_cell(table, "%s", known ? units_duration((int64_t)n).s : "-"); break;
    }
}

void
top_table(const struct top *t, struct canvas *c, size_t first, size_t n, size_t width)
{
    const struct top_column *columns = shapes[t->view].columns;
    struct column shown[TABLE_COLUMNS_MAX];
    struct table table;
    for (unsigned i = 0; i < top_columns(t); i++)
        shown[i] = columns[i].shape;
    shown[t->sorted[t->view]].drop = 0; // whatever the width: one must see what sorts
    table_begin(&table, shown, top_columns(t));
    table.sorted = t->sorted[t->view];
    table.chosen = top_chosen(t) - first;
    for (size_t row = first; row < t->n_rows && row < first + n; row++)
        for (unsigned i = 0; i < top_columns(t); i++)
            add_cell(&table, &columns[i], columns[i].get(t, &t->rows[row], columns[i].key));
    table_draw(&table, c, width);
}
