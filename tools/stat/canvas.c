// SPDX-License-Identifier: BSD-3-Clause
#include "canvas.h"

#include "safe.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define LINES_AT_ONCE 64 // grows by so many

void
canvas_line(struct canvas *c)
{
    if (c->n % LINES_AT_ONCE == 0)
        c->lines = or_die(reallocarray(c->lines, c->n + LINES_AT_ONCE, sizeof *c->lines));
    c->lines[c->n++] = (struct canvas_line){0};
}

// Room for n more characters at the end of the last line, painted already.
static char *
extend(struct canvas *c, enum paint paint, size_t n)
{
    if (!c->n)
        canvas_line(c);
    struct canvas_line *l = &c->lines[c->n - 1];
    if (l->len + n >= l->cap) {
        l->cap = (l->len + n + 1) * 2;
        l->text = or_die(realloc(l->text, l->cap));
        l->paint = or_die(realloc(l->paint, l->cap));
    }
    memset(l->paint + l->len, (int)paint, n);
    char *place = l->text + l->len;
    l->len += n;
    l->text[l->len] = '\0';
    return place;
}

void
canvas_put(struct canvas *c, enum paint paint, const char *fmt, ...)
{
    char *text;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    table_safe(or_die(n < 0 ? NULL : text));
    memcpy(extend(c, paint, (size_t)n), text, (size_t)n);
    free(text);
}

void
canvas_spaces(struct canvas *c, enum paint paint, size_t n)
{
    memset(extend(c, paint, n), ' ', n);
}

void
canvas_cut_mark(struct canvas *c, enum paint paint)
{
    *extend(c, paint, 1) = CUT_MARK;
}

void
canvas_append(struct canvas *c, struct canvas *from)
{
    for (size_t i = 0; i < from->n; i++) {
        canvas_line(c);
        c->lines[c->n - 1] = from->lines[i];
    }
    free(from->lines);
    *from = (struct canvas){0};
}

static void
free_lines(struct canvas *c, size_t from)
{
    for (size_t i = from; i < c->n; i++) {
        free(c->lines[i].text);
        free(c->lines[i].paint);
    }
    if (from < c->n)
        c->n = from;
}

void
canvas_clip(struct canvas *c, size_t rows, size_t columns)
{
    free_lines(c, rows);
    for (size_t i = 0; i < c->n; i++) {
        struct canvas_line *l = &c->lines[i];
        if (l->len <= columns)
            continue;
        l->len = columns;
        l->text[columns] = '\0';
        if (columns)
            l->text[columns - 1] = CUT_MARK;
    }
}

void
canvas_free(struct canvas *c)
{
    free_lines(c, 0);
    free(c->lines);
    *c = (struct canvas){0};
}

static const char *
escape_of(unsigned char paint)
{
    static const char *const escapes[PAINTS_COUNT] = {
        [PLAIN] = "\x1b[0m",    [HEADING] = "\x1b[0;1m", [SORTED] = "\x1b[0;1;7m",
        [STRONG] = "\x1b[0;1m", [FAINT] = "\x1b[0;2m",   [GOOD] = "\x1b[0;32m",
        [WARN] = "\x1b[0;33m",  [BAD] = "\x1b[0;1;31m",  [CHOSEN] = "\x1b[0;7m",
    };
    return escapes[paint];
}

static void
print_line(const struct canvas_line *l, FILE *to, const struct ink *ink)
{
    unsigned char paint = PLAIN;
    for (size_t i = 0; i < l->len; i++) {
        if (ink->colour && l->paint[i] != paint)
            fputs(escape_of(paint = l->paint[i]), to);
        if (l->text[i] == CUT_MARK)
            fputs(ink->utf8 ? "\xe2\x80\xa6" : "~", to);
        else
            fputc(l->text[i], to);
    }
    if (paint != PLAIN)
        fputs(escape_of(PLAIN), to);
    fputs(ink->end, to);
}

void
canvas_print(const struct canvas *c, FILE *to, const struct ink *ink)
{
    for (size_t i = 0; i < c->n; i++)
        print_line(&c->lines[i], to, ink);
}
