// SPDX-License-Identifier: BSD-3-Clause
#include "faults.h"

#include "memory.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

static void
add(struct faults *f, unsigned line, bool warning, const char *fmt, va_list ap)
{
    char *text;
    if (vasprintf(&text, fmt, ap) < 0)
        text = need_copy("out of memory");
    f->list = need_array(f->list, f->n + 1, sizeof *f->list);
    f->list[f->n++] = (struct fault){.line = line, .warning = warning, .text = text};
    f->errors += !warning;
}

void
fault_at(struct faults *f, unsigned line, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add(f, line, false, fmt, ap);
    va_end(ap);
}

void
warning_at(struct faults *f, unsigned line, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add(f, line, true, fmt, ap);
    va_end(ap);
}

// Two of one line stay in the order in which they were found.
static void
sort_by_line(struct faults *f)
{
    for (size_t i = 1; i < f->n; i++) {
        struct fault moving = f->list[i];
        size_t at = i;
        for (; at > 0 && f->list[at - 1].line > moving.line; at--)
            f->list[at] = f->list[at - 1];
        f->list[at] = moving;
    }
}

void
faults_print(struct faults *f, const char *file, FILE *out)
{
    sort_by_line(f);
    for (size_t i = 0; i < f->n; i++) {
        fprintf(out, "%s:", file);
        if (f->list[i].line)
            fprintf(out, "%u:", f->list[i].line);
        fprintf(out, " %s%s\n", f->list[i].warning ? "warning: " : "", f->list[i].text);
    }
}

void
faults_clear(struct faults *f)
{
    for (size_t i = 0; i < f->n; i++)
        free(f->list[i].text);
    free(f->list);
    *f = (struct faults){0};
}
