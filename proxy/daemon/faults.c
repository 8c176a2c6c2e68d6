// SPDX-License-Identifier: BSD-3-Clause
#include "faults.h"

#include "memory.h"

#include <base/log.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#define PLACE 4200 // a path and a line

static void
add(struct faults *f, struct fault kind, const char *fmt, va_list ap)
{
    if (vasprintf(&kind.text, fmt, ap) < 0)
        kind.text = need_copy("out of memory");
    f->list = need_array(f->list, f->n + 1, sizeof *f->list);
    f->list[f->n++] = kind;
    f->errors += !kind.warning;
}

void
fault_at(struct faults *f, unsigned line, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add(f, (struct fault){.line = line}, fmt, ap);
    va_end(ap);
}

void
warning_at(struct faults *f, unsigned line, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add(f, (struct fault){.line = line, .warning = true}, fmt, ap);
    va_end(ap);
}

void
alarm_at(struct faults *f, unsigned line, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add(f, (struct fault){.line = line, .warning = true, .alarm = true}, fmt, ap);
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

// "FILE:LINE:", or "FILE:" of what is of no line.
static const char *
place(const struct fault *one, const char *file, char *buf, size_t cap)
{
    if (one->line)
        snprintf(buf, cap, "%s:%u:", file, one->line);
    else
        snprintf(buf, cap, "%s:", file);
    return buf;
}

void
faults_print(struct faults *f, const char *file, FILE *out)
{
    char at[PLACE];
    sort_by_line(f);
    for (size_t i = 0; i < f->n; i++)
        fprintf(out, "%s %s%s\n", place(&f->list[i], file, at, sizeof at),
                f->list[i].warning ? "warning: " : "", f->list[i].text);
}

void
faults_log(struct faults *f, const char *file)
{
    char at[PLACE];
    sort_by_line(f);
    for (size_t i = 0; i < f->n; i++) {
        const struct fault *one = &f->list[i];
        if (one->warning && !one->alarm)
            log_warn("%s %s", place(one, file, at, sizeof at), one->text);
        else
            log_error("%s %s", place(one, file, at, sizeof at), one->text);
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
