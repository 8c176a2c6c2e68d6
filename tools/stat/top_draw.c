// SPDX-License-Identifier: BSD-3-Clause
// The picture of top: the process above, the table in the middle, what is known of the row under
// the cursor below it, and the keys at the bottom.
#include "top.h"

#include "units.h"

#include <stdlib.h>
#include <string.h>

#define ROWS_FOR_DETAILS 16 // below, there is no room for anything but the table
#define ROWS_FOR_FOOTER  8
#define ROWS_OF_TABLE    4 // that details leave to it at least, heading included

static void
draw_throughput(const struct look *l, struct canvas *c)
{
    struct totals s = totals_of(l);
    canvas_line(c);
    canvas_put(c, STRONG, "%s", units_count(s.connections).s);
    canvas_put(c, PLAIN, " of %s connections, ",
               units_count(fact_number(l->now->snapshot, "max_connections")).s);
    canvas_put(c, STRONG, "%s", units_rate(s.requests).s);
    canvas_put(c, PLAIN, " requests/s, %s in flight, ", units_count(s.in_flight).s);
    canvas_put(c, s.errors > 0 ? BAD : PLAIN, "%s errors/s", units_rate(s.errors).s);
    canvas_line(c);
    canvas_put(c, PLAIN, "reading ");
    canvas_put(c, STRONG, "%s/s", units_size_rate(s.bytes_out).s);
    canvas_put(c, PLAIN, ", writing ");
    canvas_put(c, STRONG, "%s/s", units_size_rate(s.bytes_in).s);
}

static void
draw_state(const struct top *t, struct canvas *c)
{
    canvas_put(c, PLAIN, ", sorted by ");
    canvas_put(c, STRONG, "%s %s", top_column_name(t, t->sorted[t->view]),
               t->upwards[t->view] ? "upwards" : "downwards");
    if (t->paused)
        canvas_put(c, WARN, ", paused");
    if (t->view == TOP_EXPORTS)
        canvas_put(c, PLAIN, ", latency of %s",
                   t->command == COMMANDS_COUNT ? "the slowest" : command_words[t->command]);
}

static void
draw_trouble(const struct top *t, struct canvas *c, double at)
{
    canvas_line(c);
    canvas_put(c, BAD, "No answer for %s, trying again: ",
               units_duration((int64_t)(at - t->trouble_since)).s);
    canvas_put(c, BAD, "%s", t->trouble);
}

static void
draw_head(struct top *t, struct canvas *c, size_t width, double at)
{
    struct look l = top_look(t, width);
    if (t->now.snapshot) {
        view_process(&l, c);
        draw_throughput(&l, c);
        draw_state(t, c);
    } else {
        canvas_line(c);
        canvas_put(c, STRONG, "nbdzero-stat top");
    }
    if (*t->trouble)
        draw_trouble(t, c, at);
    else if (!t->now.snapshot)
        canvas_put(c, PLAIN, ": waiting for the first answer");
    else
        view_troubles(&l, c);
}

// Of a connection: what does not fit its row.
static void
draw_connection(const json_t *connection, struct canvas *c)
{
    const json_t *tls = json_object_get(connection, "tls");
    canvas_line(c);
    canvas_put(c, STRONG, "Connection %llu", (unsigned long long)fact_number(connection, "id"));
    canvas_put(c, PLAIN, " of %s by %s", fact_text(connection, "client"),
               fact_text(connection, "listener"));
    if (json_is_object(tls))
        canvas_put(c, PLAIN, ", %s %s, peer %s", fact_text(tls, "version"),
                   fact_text(tls, "cipher"), fact_text(tls, "peer"));
}

static const json_t *
find_export(const struct top *t, const char *name)
{
    size_t i;
    json_t *e;
    json_array_foreach(json_object_get(t->now.snapshot, "exports"), i, e)
    {
        char *other = fact_export(e);
        bool same = strcmp(other, name) == 0;
        free(other);
        if (same)
            return e;
    }
    return NULL;
}

static void
draw_details(struct top *t, struct canvas *c, size_t width)
{
    struct look l = top_look(t, width);
    const struct top_row *r = &t->rows[top_chosen(t)];
    const json_t *e = t->view == TOP_EXPORTS ? r->now : find_export(t, r->name);
    canvas_line(c);
    if (t->view == TOP_CONNECTIONS)
        draw_connection(r->now, c);
    canvas_line(c);
    canvas_put(c, STRONG, "%s", r->name);
    if (!e)
        return;
    canvas_put(c, PLAIN, ": %s, fast-zero %s",
               json_is_integer(json_object_get(e, "size")) ? units_size(fact_number(e, "size")).s
                                                           : "not used yet",
               fact_text(json_object_get(e, "fast_zero"), "policy"));
    view_commands(&l, c, e);
    view_verdicts_of(&l, c, e);
}

// Keeps the cursor on the screen.
static void
scroll(struct top *t, size_t rows)
{
    size_t chosen = top_chosen(t);
    t->page = rows ? rows : 1;
    if (chosen < t->first)
        t->first = chosen;
    if (chosen >= t->first + t->page)
        t->first = chosen - t->page + 1;
    size_t last = t->n_rows > t->page ? t->n_rows - t->page : 0;
    if (t->first > last)
        t->first = last;
}

static void
draw_help(const struct top *t, struct canvas *c)
{
    static const char *const lines[] = {
        "q          quit",
        "Tab e c    exports or connections",
        "< > arrows sort by the column to the left or right",
        "1 to 9, 0  sort by the first to the tenth column",
        "r          reverse the order",
        "up down    move; also Page Up, Page Down, Home, End",
        "l          whose latencies the table shows: the slowest command, or each",
        "d          details of the chosen row, or none",
        "p          pause",
        "+ -        redraw less often, more often",
        "h ?        this help",
    };
    canvas_line(c);
    canvas_put(c, STRONG, "nbdzero-stat top %s", NBDZERO_VERSION);
    canvas_put(c, PLAIN, ", every %g s", t->every);
    canvas_line(c);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        canvas_line(c);
        canvas_put(c, PLAIN, "%s", lines[i]);
    }
    canvas_line(c);
    canvas_line(c);
    canvas_put(c, FAINT, "Rates are since the last redraw, latencies since the daemon's start.");
    canvas_line(c);
    canvas_put(c, FAINT, "Any key goes back.");
}

static void
draw_footer(const struct top *t, struct canvas *c, size_t rows)
{
    while (c->n + 1 < rows)
        canvas_line(c);
    canvas_line(c);
    canvas_put(c, FAINT, "q quit  h help  Tab %s  < > sort  r reverse  l latency  d details",
               t->view == TOP_EXPORTS ? "connections" : "exports");
}

// The table has what the details leave, but not less than a few rows.
static void
draw_body(struct top *t, struct canvas *c, size_t rows, size_t width)
{
    struct canvas details = {0};
    if (!t->bare && t->n_rows && rows + 4 >= ROWS_FOR_DETAILS)
        draw_details(t, &details, width);
    size_t wanted = t->n_rows + 1 < ROWS_OF_TABLE ? t->n_rows + 1 : ROWS_OF_TABLE;
    if (details.n + wanted > rows)
        canvas_clip(&details, rows > wanted ? rows - wanted : 0, width);
    size_t table = rows - details.n;
    scroll(t, table ? table - 1 : 0);
    top_table(t, c, t->first, t->page, width);
    canvas_append(c, &details);
}

void
top_draw(struct top *t, struct canvas *c, size_t rows, size_t columns, double at)
{
    size_t footer = rows >= ROWS_FOR_FOOTER;
    if (t->help) {
        draw_help(t, c);
    } else {
        draw_head(t, c, columns, at);
        if (rows < ROWS_FOR_FOOTER && !*t->trouble)
            canvas_clip(c, 1, columns);
        if (t->now.snapshot && c->n + footer < rows)
            draw_body(t, c, rows - c->n - footer, columns);
    }
    canvas_clip(c, rows - footer, columns);
    if (footer)
        draw_footer(t, c, rows);
    canvas_clip(c, rows, columns);
}
