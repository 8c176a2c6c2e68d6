// SPDX-License-Identifier: BSD-3-Clause
// Aligned tables that fit the terminal. Cells are printable ASCII whatever they were made from: no
// name of a stranger reaches the terminal as an escape sequence.
#ifndef STAT_TABLE_H
#define STAT_TABLE_H

#include "canvas.h"
#include "safe.h"

#include <stddef.h>

#define TABLE_COLUMNS_MAX 16
#define TABLE_ANY_WIDTH   ((size_t)100000) // no terminal: nothing need be cut

struct column {
    const char *heading;
    enum { LEFT, RIGHT } align;
    size_t least;  // may be cut down to so many characters where the table is too wide; 0: never
    unsigned drop; // left out where that is not enough, the highest first; 0: never
    size_t steady; // at least so wide, lest the columns behind it jump about; 0: as the cells are
};

struct table {
    const struct column *columns;
    size_t n_columns;
    struct table_cell {
        char *text;
        enum paint paint;
    } * cells; // row by row
    size_t n_cells, cap;
    // Set after table_begin(), where there are such.
    size_t sorted; // the column by which rows are sorted, or TABLE_NONE
    size_t chosen; // the row where the cursor is, or TABLE_NONE
};
#define TABLE_NONE ((size_t)-1)

void table_begin(struct table *t, const struct column *columns, size_t n);
// The next cell, row by row.
void table_cell(struct table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void table_paint(struct table *t, enum paint paint); // the cell that was last
// Draws the heading, and the rows or "(none)"; then frees all.
void table_draw(struct table *t, struct canvas *c, size_t width);
// The same on stdout, in no colour.
void table_end(struct table *t, size_t width);

// Of the terminal that stdout is (80 where it does not tell); TABLE_ANY_WIDTH where it is none.
size_t table_width(void);

#endif
