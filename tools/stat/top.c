// SPDX-License-Identifier: BSD-3-Clause
#include "top.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define EVERY_LEAST 0.25
#define EVERY_MOST  64.0

void
top_begin(struct top *t, double every)
{
    *t = (struct top){.every = every, .command = COMMANDS_COUNT, .page = 1};
    t->sorted[TOP_EXPORTS] = 2;     // requests a second
    t->sorted[TOP_CONNECTIONS] = 7; // bytes a second
}

void
top_end(struct top *t)
{
    sample_free(&t->now);
    top_list(t); // of nothing
    free(t->rows);
    free(t->chosen);
    sample_free(&t->before);
}

void
top_take(struct top *t, const struct answer *a, double at, int64_t unix_time)
{
    if (a->kind != ANSWER_RESULT) {
        if (!*t->trouble)
            t->trouble_since = at;
        snprintf(t->trouble, sizeof t->trouble, "%s", a->error);
        return;
    }
    *t->trouble = '\0';
    if (sample_is_known(&t->now, at, a->age))
        return;
    sample_take(&t->now, &t->before, a->result, at - a->age, unix_time);
    top_list(t);
}

static void
move(struct top *t, long by)
{
    long row = (long)top_chosen(t) + by;
    if (row >= (long)t->n_rows)
        row = (long)t->n_rows - 1;
    top_choose(t, row < 0 ? 0 : (size_t)row);
}

static void
sort_by(struct top *t, unsigned column)
{
    if (column >= top_columns(t))
        return;
    t->sorted[t->view] = column;
    t->upwards[t->view] = top_column_upwards(t, column);
    top_order(t);
    t->first = 0;
}

static void
switch_to(struct top *t, enum top_view view)
{
    t->view = view;
    t->first = 0;
    top_list(t);
    top_choose(t, 0);
}

static void
set_pace(struct top *t, double every)
{
    t->every = every < EVERY_LEAST ? EVERY_LEAST : every > EVERY_MOST ? EVERY_MOST : every;
}

static bool
press_cursor(struct top *t, int key)
{
    unsigned n = top_columns(t), sorted = t->sorted[t->view];
    long page = (long)t->page;
    switch (key) {
    case TOP_KEY_UP: move(t, -1); break;
    case TOP_KEY_DOWN: move(t, 1); break;
    case TOP_KEY_PAGE_UP: move(t, -page); break;
    case TOP_KEY_PAGE_DOWN: move(t, page); break;
    case TOP_KEY_FIRST: top_choose(t, 0); break;
    case TOP_KEY_LAST: move(t, (long)t->n_rows); break;
    case '<':
    case TOP_KEY_LEFT: sort_by(t, (sorted + n - 1) % n); break;
    case '>':
    case TOP_KEY_RIGHT: sort_by(t, (sorted + 1) % n); break;
    default: return false;
    }
    return true;
}

bool
top_press(struct top *t, int key)
{
    if (key == 'q' || key == TOP_KEY_QUIT)
        return false;
    if (t->help) { // any key leaves it
        t->help = false;
        return true;
    }
    if (press_cursor(t, key))
        return true;
    switch (key) {
    case 'h':
    case '?':
    case TOP_KEY_HELP: t->help = true; break;
    case '\t': switch_to(t, t->view == TOP_EXPORTS ? TOP_CONNECTIONS : TOP_EXPORTS); break;
    case 'e': switch_to(t, TOP_EXPORTS); break;
    case 'c': switch_to(t, TOP_CONNECTIONS); break;
    case 'r':
        t->upwards[t->view] = !t->upwards[t->view];
        top_order(t);
        break;
    case 'l':
        t->command = (t->command + 1) % (COMMANDS_COUNT + 1);
        top_order(t);
        break;
    case 'd': t->bare = !t->bare; break;
    case 'p': t->paused = !t->paused; break;
    case '+': set_pace(t, t->every * 2); break;
    case '-': set_pace(t, t->every / 2); break;
    default:
        if (key >= '0' && key <= '9')
            sort_by(t, key == '0' ? 9 : (unsigned)(key - '1'));
    }
    return true;
}
