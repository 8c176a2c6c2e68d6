// SPDX-License-Identifier: BSD-3-Clause
#include "table.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define USUAL_WIDTH 80
#define GAP         2

static void *
or_die(void *p)
{
    if (p)
        return p;
    fprintf(stderr, "%s: out of memory\n", program_invocation_short_name);
    exit(1);
}

char *
table_safe(char *text)
{
    for (char *p = text; *p; p++)
        if (*p < 0x20 || *p > 0x7e)
            *p = '?';
    return text;
}

size_t
table_width(void)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > USUAL_WIDTH)
        return size.ws_col;
    return USUAL_WIDTH;
}

void
table_begin(struct table *t, const struct column *columns, size_t n)
{
    *t = (struct table){.columns = columns, .n_columns = n};
}

void
table_cell(struct table *t, const char *fmt, ...)
{
    char *text;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    t->cells = or_die(reallocarray(t->cells, t->n_cells + 1, sizeof(char *)));
    t->cells[t->n_cells++] = table_safe(or_die(n < 0 ? NULL : text));
}

// Cuts the widest of those that may be cut, until all fit.
static void
narrow(const struct table *t, size_t *widths, size_t width)
{
    for (;;) {
        size_t sum = GAP * (t->n_columns - 1), widest = t->n_columns;
        for (size_t i = 0; i < t->n_columns; i++) {
            sum += widths[i];
            if (t->columns[i].least && widths[i] > t->columns[i].least &&
                (widest == t->n_columns || widths[i] > widths[widest]))
                widest = i;
        }
        if (sum <= width || widest == t->n_columns)
            return;
        widths[widest]--;
    }
}

static void
measure(const struct table *t, size_t *widths, size_t width)
{
    for (size_t i = 0; i < t->n_columns; i++)
        widths[i] = strlen(t->columns[i].heading);
    for (size_t i = 0; i < t->n_cells; i++) {
        size_t len = strlen(t->cells[i]);
        if (len > widths[i % t->n_columns])
            widths[i % t->n_columns] = len;
    }
    narrow(t, widths, width);
}

// What is cut ends in "~".
static void
print_cell(const struct table *t, size_t column, const char *text, const size_t *widths)
{
    size_t width = widths[column], len = strlen(text);
    if (len > width)
        printf("%.*s~", (int)(width - 1), text);
    else if (t->columns[column].align == RIGHT)
        printf("%*s", (int)width, text);
    else if (column + 1 < t->n_columns)
        printf("%-*s", (int)width, text);
    else
        printf("%s", text);
    printf("%s", column + 1 < t->n_columns ? "  " : "\n");
}

void
table_end(struct table *t, size_t width)
{
    size_t widths[TABLE_COLUMNS_MAX];
    measure(t, widths, width);
    for (size_t i = 0; i < t->n_columns; i++)
        print_cell(t, i, t->columns[i].heading, widths);
    for (size_t i = 0; i < t->n_cells; i++)
        print_cell(t, i % t->n_columns, t->cells[i], widths);
    if (!t->n_cells)
        puts("(none)");
    for (size_t i = 0; i < t->n_cells; i++)
        free(t->cells[i]);
    free(t->cells);
}
