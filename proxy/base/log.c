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
log_va(enum log_level level, const char *fmt, va_list ap)
{
    log_sink *sink = atomic_load(&current_sink);
    if (!sink)
        return;
    char line[LOG_LINE_MAX];
    int n = vsnprintf(line, sizeof line, fmt, ap);
    if (n < 0)
        return;
    sink(level, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

void
log_at(enum log_level level, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    log_va(level, fmt, ap);
    va_end(ap);
}
