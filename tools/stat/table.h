// SPDX-License-Identifier: BSD-3-Clause
// Aligned tables that fit the terminal. Cells are printable ASCII whatever they were made from: no
// name of a stranger reaches the terminal as an escape sequence.
#ifndef STAT_TABLE_H
#define STAT_TABLE_H

#include <stddef.h>

#define TABLE_COLUMNS_MAX 12

struct column {
    const char *heading;
    enum { LEFT, RIGHT } align;
    size_t least; // may be cut down to so many characters where the table is too wide; 0: never
};

struct table {
    const struct column *columns;
    size_t n_columns;
    char **cells; // row by row
    size_t n_cells;
};

void table_begin(struct table *t, const struct column *columns, size_t n);
// The next cell, row by row.
void table_cell(struct table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
// Prints the heading, and the rows or "(none)"; then frees all.
void table_end(struct table *t, size_t width);

// 80, or more where stdout is a wider terminal.
size_t table_width(void);
// Makes text safe for a terminal, in place; returns it.
char *table_safe(char *text);

#endif
