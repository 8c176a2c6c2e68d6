// SPDX-License-Identifier: BSD-3-Clause
#include <base/log.h>

#include <stdio.h>

_Atomic int log_threshold = LOG_LEVEL_INFO;
static _Atomic(log_sink *) current_sink;

void
log_set_sink(log_sink *sink)
{
    atomic_store(&current_sink, sink);
}

void
log_at(struct log_head head, const char *fmt, ...)
{
    log_sink *sink = atomic_load(&current_sink);
    if (!sink)
        return;
    char line[LOG_LINE_MAX];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (n < 0)
        return;
    sink(&head, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}
