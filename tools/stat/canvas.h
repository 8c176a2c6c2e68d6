// SPDX-License-Identifier: BSD-3-Clause
// What a terminal shall show: lines of printable ASCII, each character with its paint. Pure, so
// that tests see the picture without a terminal; whoever has one prints it (here) or draws it
// (screen.c).
#ifndef STAT_CANVAS_H
#define STAT_CANVAS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum paint {
    PLAIN,
    HEADING,
    SORTED, // the heading by which rows are sorted
    STRONG,
    FAINT,
    GOOD,
    WARN,
    BAD,
    CHOSEN, // the row where the cursor is
    PAINTS_COUNT
};

// One byte of a line that stands for what was cut: shown as an ellipsis.
#define CUT_MARK '\x1f'

struct canvas_line {
    char *text; // a string
    unsigned char *paint;
    size_t len, cap;
};

struct canvas { // empty: all zero
    struct canvas_line *lines;
    size_t n;
};

// Begins a line; what follows is put at the end of the last one begun.
void canvas_line(struct canvas *c);
// Control characters and what is no ASCII come out as "?".
void canvas_put(struct canvas *c, enum paint paint, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void canvas_spaces(struct canvas *c, enum paint paint, size_t n);
void canvas_cut_mark(struct canvas *c, enum paint paint);
// Takes the lines of `from` over, which is empty then.
void canvas_append(struct canvas *c, struct canvas *from);
// Drops the lines from `rows` on, and cuts what is longer than `columns`.
void canvas_clip(struct canvas *c, size_t rows, size_t columns);
void canvas_free(struct canvas *c); // and it is empty

// How a stream takes what is printed.
struct ink {
    bool colour;     // by the escape sequences of every terminal
    bool utf8;       // it knows the character of an ellipsis; others get "~"
    const char *end; // of each line
};
void canvas_print(const struct canvas *c, FILE *to, const struct ink *ink);

#endif
