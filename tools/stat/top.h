// SPDX-License-Identifier: BSD-3-Clause
// nbdzero-stat top: its state, what keys do to it, and the picture that it makes. Pure: time, keys
// and snapshots come in as arguments, the picture goes out as a canvas. screen.c has the terminal.
#ifndef STAT_TOP_H
#define STAT_TOP_H

#include "ask.h"
#include "canvas.h"
#include "sample.h"
#include "table.h"
#include "totals.h"
#include "views.h"

enum top_view { TOP_EXPORTS, TOP_CONNECTIONS, TOP_VIEWS };

// Keys that are no characters.
enum top_key {
    TOP_KEY_UP = 0x1000,
    TOP_KEY_DOWN,
    TOP_KEY_PAGE_UP,
    TOP_KEY_PAGE_DOWN,
    TOP_KEY_FIRST,
    TOP_KEY_LAST,
    TOP_KEY_LEFT,
    TOP_KEY_RIGHT,
    TOP_KEY_HELP,
    TOP_KEY_QUIT,
};

struct top_value {
    double number;    // of text columns: 0
    const char *text; // of text columns
};

struct top_row {
    const json_t *now, *before;
    char *name;             // UPSTREAM/EXPORT
    char id[24];            // of a connection
    struct traffic traffic; // of an export
    struct verdict_word verdict;
    struct top_value key; // that it is sorted by
};

struct top {
    enum top_view view;
    unsigned sorted[TOP_VIEWS]; // columns
    bool upwards[TOP_VIEWS];    // the smallest first
    unsigned command;           // whose latencies the table shows; COMMANDS_COUNT: the worst of all
    bool help, paused, bare;    // bare: without the lower part
    double every;               // seconds between redraws
    struct sample now, before;
    struct top_row *rows; // in order
    size_t n_rows;
    char *chosen; // what the row under the cursor is called; NULL: the first
    size_t first; // row on the screen
    size_t page;  // rows that were on the screen
    char
        trouble[sizeof((struct answer *)0)->error]; // why the daemon does not answer; "" if it does
    double trouble_since;
};

void top_begin(struct top *t, double every);
void top_end(struct top *t);
// False: quit.
bool top_press(struct top *t, int key);
// What the daemon has said, or why not, at that time of clock_now().
void top_take(struct top *t, const struct answer *a, double at, int64_t unix_time);
// The picture: at most so many rows and columns.
void top_draw(struct top *t, struct canvas *c, size_t rows, size_t columns, double at);

// Of the rows (top_rows.c) -----------------------------------------------------------------
unsigned top_columns(const struct top *t);
const char *top_column_name(const struct top *t, unsigned column);
// Text goes upwards at first, numbers downwards.
bool top_column_upwards(const struct top *t, unsigned column);
void top_list(struct top *t);           // anew, from the samples
void top_order(struct top *t);          // sorts what is listed
size_t top_chosen(const struct top *t); // the row under the cursor
void top_choose(struct top *t, size_t row);
// Rows from `first` on.
void top_table(const struct top *t, struct canvas *c, size_t first, size_t n, size_t width);
struct look top_look(const struct top *t, size_t width);

#endif
