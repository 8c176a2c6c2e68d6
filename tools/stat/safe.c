// SPDX-License-Identifier: BSD-3-Clause
#include "safe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

char *
table_safe(char *text)
{
    for (char *p = text; *p; p++)
        if (*p < 0x20 || *p > 0x7e)
            *p = '?';
    return text;
}

void *
or_die(void *p)
{
    if (p)
        return p;
    fprintf(stderr, "%s: out of memory\n", program_invocation_short_name);
    exit(1);
}

double
clock_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}
