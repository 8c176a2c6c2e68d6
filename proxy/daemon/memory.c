// SPDX-License-Identifier: BSD-3-Clause
#include "memory.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Atomic(void *) reserve;

bool
memory_reserve(size_t bytes)
{
    void *p = malloc(bytes);
    atomic_store(&reserve, p);
    return p;
}

static bool
use_reserve(void)
{
    void *p = atomic_exchange(&reserve, NULL);
    free(p);
    return p;
}

void
memory_release(void)
{
    (void)use_reserve();
}

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
    void *p;
    do
        p = calloc(n ? n : 1, size);
    while (!p && use_reserve());
    return or_die(p);
}

void *
need_array(void *old, size_t n, size_t size)
{
    void *p;
    do
        p = reallocarray(old, n ? n : 1, size);
    while (!p && use_reserve());
    return or_die(p);
}

char *
need_copy(const char *text)
{
    char *p;
    do
        p = strdup(text);
    while (!p && use_reserve());
    return or_die(p);
}

char *
need_text(const char *fmt, ...)
{
    char *text;
    int n;
    do {
        va_list ap;
        va_start(ap, fmt);
        n = vasprintf(&text, fmt, ap);
        va_end(ap);
    } while (n < 0 && use_reserve());
    return or_die(n < 0 ? NULL : text);
}

size_t
memory_resident(void)
{
    char text[128];
    size_t pages = 0;
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    if (sscanf(text, "%*u %zu", &pages) != 1)
        return 0;
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}
