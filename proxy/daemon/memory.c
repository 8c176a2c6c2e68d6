// SPDX-License-Identifier: BSD-3-Clause
#include "memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *
or_die(void *p)
{
    if (p)
        return p;
    fputs("nbdzero-proxy: out of memory\n", stderr);
    exit(1);
}

void *
need_zeroed(size_t n, size_t size)
{
    return or_die(calloc(n ? n : 1, size));
}

void *
need_array(void *old, size_t n, size_t size)
{
    return or_die(reallocarray(old, n ? n : 1, size));
}

char *
need_copy(const char *text)
{
    return or_die(strdup(text));
}

char *
need_text(const char *fmt, ...)
{
    char *text;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    return or_die(n < 0 ? NULL : text);
}
