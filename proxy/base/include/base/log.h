// SPDX-License-Identifier: BSD-3-Clause
// The words of logging, without a log: rooms that may log call log_at(), which hands a finished
// line to whatever sink the process set (the daemon's bounded queue, a test's buffer). Pure rooms
// don't.
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>

enum log_level {
    LOG_LEVEL_ERROR, // the operator must act
    LOG_LEVEL_WARN,  // a peer misbehaved
    LOG_LEVEL_INFO,  // life events
    LOG_LEVEL_DEBUG, // each request
};

// Takes a line without newline, at most LOG_LINE_MAX bytes, from any thread; must not block.
typedef void log_sink(enum log_level level, const char *line, size_t len);

#define LOG_LINE_MAX 1024

extern _Atomic int log_threshold; // an enum log_level: lines above it are not even formatted
void log_set_sink(log_sink *sink);

void log_at(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void log_va(enum log_level level, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));

#define log_error(...) log_if_(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_if_(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_if_(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_if_(LOG_LEVEL_DEBUG, __VA_ARGS__)

#define log_if_(level, ...)                                                                        \
    do {                                                                                           \
        if (log_enabled(level))                                                                    \
            log_at(level, __VA_ARGS__);                                                            \
    } while (0)

static inline int
log_enabled(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&log_threshold, memory_order_relaxed);
}

#endif
