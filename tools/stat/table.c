// SPDX-License-Identifier: BSD-3-Clause
#include "table.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define USUAL_WIDTH 80
#define GAP         2
#define LEFT_OUT    ((size_t)-1) // as the width of a column

size_t
table_width(void)
{
    struct winsize size;
    if (!isatty(STDOUT_FILENO))
        return TABLE_ANY_WIDTH;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col)
        return size.ws_col;
    return USUAL_WIDTH;
}

void
table_begin(struct table *t, const struct column *columns, size_t n)
{
    *t = (struct table){
        .columns = columns, .n_columns = n, .sorted = TABLE_NONE, .chosen = TABLE_NONE};
}

void
table_cell(struct table *t, const char *fmt, ...)
{
    char *text;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    table_safe(or_die(n < 0 ? NULL : text));
    if (t->n_cells == t->cap)
        t->cells = or_die(reallocarray(t->cells, t->cap = t->cap * 2 + 64, sizeof *t->cells));
    t->cells[t->n_cells++] = (struct table_cell){text, PLAIN};
}

void
table_paint(struct table *t, enum paint paint)
{
    t->cells[t->n_cells - 1].paint = paint;
}

static size_t
sum_of(const struct table *t, const size_t *widths)
{
    size_t sum = 0;
    for (size_t i = 0; i < t->n_columns; i++)
        if (widths[i] != LEFT_OUT)
            sum += widths[i] + (sum ? GAP : 0);
    return sum;
}

// Cuts the widest of those that may be cut, until all fit.
static void
narrow(const struct table *t, size_t *widths, size_t width)
{
    for (size_t sum = sum_of(t, widths); sum > width; sum--) {
        size_t widest = t->n_columns;
        for (size_t i = 0; i < t->n_columns; i++)
            if (widths[i] != LEFT_OUT && t->columns[i].least && widths[i] > t->columns[i].least &&
                (widest == t->n_columns || widths[i] > widths[widest]))
                widest = i;
        if (widest == t->n_columns)
            return;
        widths[widest]--;
    }
}

// Names that are cut to their least come before columns that are left out altogether.
static size_t
least_sum(const struct table *t, const size_t *widths)
{
    size_t least[TABLE_COLUMNS_MAX];
    memcpy(least, widths, t->n_columns * sizeof *least);
    for (size_t i = 0; i < t->n_columns; i++)
        if (least[i] != LEFT_OUT && t->columns[i].least && least[i] > t->columns[i].least)
            least[i] = t->columns[i].least;
    return sum_of(t, least);
}

static void
leave_out(const struct table *t, size_t *widths, size_t width)
{
    while (least_sum(t, widths) > width) {
        size_t worst = t->n_columns;
        for (size_t i = 0; i < t->n_columns; i++)
            if (widths[i] != LEFT_OUT && t->columns[i].drop &&
                (worst == t->n_columns || t->columns[i].drop > t->columns[worst].drop))
                worst = i;
        if (worst == t->n_columns)
            return;
        widths[worst] = LEFT_OUT;
    }
}

static void
measure(const struct table *t, size_t *widths, size_t width)
{
    for (size_t i = 0; i < t->n_columns; i++) {
        widths[i] = strlen(t->columns[i].heading);
        if (widths[i] < t->columns[i].steady)
            widths[i] = t->columns[i].steady;
    }
    for (size_t i = 0; i < t->n_cells; i++) {
        size_t len = strlen(t->cells[i].text);
        if (len > widths[i % t->n_columns])
            widths[i % t->n_columns] = len;
    }
    leave_out(t, widths, width);
    narrow(t, widths, width);
}

static void
draw_text(struct canvas *c, const char *text, size_t width, bool right, enum paint paint)
{
    size_t len = strlen(text);
    if (len > width) {
        canvas_put(c, paint, "%.*s", (int)width - 1, text);
        canvas_cut_mark(c, paint);
        return;
    }
    if (right)
        canvas_spaces(c, paint, width - len);
    canvas_put(c, paint, "%s", text);
    if (!right)
        canvas_spaces(c, paint, width - len);
}

static size_t
last_of(const struct table *t, const size_t *widths)
{
    size_t last = t->n_columns - 1;
    while (last && widths[last] == LEFT_OUT)
        last--;
    return last;
}

static void
draw_headings(const struct table *t, struct canvas *c, const size_t *widths)
{
    size_t last = last_of(t, widths);
    canvas_line(c);
    for (size_t i = 0; i <= last; i++) {
        const char *text = t->columns[i].heading;
        if (widths[i] == LEFT_OUT)
            continue;
        bool right = t->columns[i].align == RIGHT;
        // Behind the last one there is nothing to be aligned.
        size_t width = i == last && !right && strlen(text) < widths[i] ? strlen(text) : widths[i];
        draw_text(c, text, width, right, i == t->sorted ? SORTED : HEADING);
        if (i < last)
            canvas_spaces(c, HEADING, GAP);
    }
}

static void
draw_row(const struct table *t, size_t row, struct canvas *c, const size_t *widths, size_t width)
{
    size_t last = last_of(t, widths);
    bool chosen = row == t->chosen;
    canvas_line(c);
    for (size_t i = 0; i <= last; i++) {
        const struct table_cell *cell = &t->cells[row * t->n_columns + i];
        if (widths[i] == LEFT_OUT)
            continue;
        bool right = t->columns[i].align == RIGHT;
        size_t len = strlen(cell->text);
        size_t wide = i == last && !right && len < widths[i] ? len : widths[i];
        draw_text(c, cell->text, wide, right, chosen ? CHOSEN : cell->paint);
        if (i < last)
            canvas_spaces(c, chosen ? CHOSEN : PLAIN, GAP);
    }
    size_t len = c->lines[c->n - 1].len;
    if (chosen && len < width && width < TABLE_ANY_WIDTH)
        canvas_spaces(c, CHOSEN, width - len); // the cursor is a bar
}

void
table_draw(struct table *t, struct canvas *c, size_t width)
{
    size_t widths[TABLE_COLUMNS_MAX];
    measure(t, widths, width);
    draw_headings(t, c, widths);
    for (size_t row = 0; row < t->n_cells / t->n_columns; row++)
        draw_row(t, row, c, widths, width);
    if (!t->n_cells) {
        canvas_line(c);
        canvas_put(c, FAINT, "(none)");
    }
    for (size_t i = 0; i < t->n_cells; i++)
        free(t->cells[i].text);
    free(t->cells);
    *t = (struct table){0};
}

void
table_end(struct table *t, size_t width)
{
    struct canvas c = {0};
    table_draw(t, &c, width);
    canvas_print(&c, stdout, &(struct ink){.end = "\n"});
    canvas_free(&c);
}
