// SPDX-License-Identifier: BSD-3-Clause
// The words of logging, without a log: rooms that may log call log_at(), which hands a finished
// line to whatever sink the process set (the daemon's bounded queue, a test's buffer). Pure rooms
// don't.
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <base/log_bound.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum log_level {
    LOG_LEVEL_ERROR, // the operator must act
    LOG_LEVEL_WARN,  // a peer misbehaved
    LOG_LEVEL_INFO,  // life events
    LOG_LEVEL_DEBUG, // each request
};

#define LOG_LINE_MAX 1024
#define LOG_LIKE_MAX 120

// A place in the code that logs: rates are limited for each. Static; all but the first line is the
// sink's, under its lock.
struct log_site {
    const char *file;
    unsigned line;
    struct log_bound bound;
    uint64_t dropped;        // lines of this site that were not written, and that nobody was told
    struct log_site *next;   // of those with such lines
    char like[LOG_LIKE_MAX]; // how the last line began that was written
};

// Whom a line is about, for logs that have fields. Text is the caller's, and read at once; NULL is
// what is not known, and "" the default export. connection 0: of none.
struct log_about {
    uint64_t connection;
    const char *client, *listener, *upstream, *export;
};

struct log_head {
    struct log_site *site; // NULL: not limited by itself
    enum log_level level;
    const struct log_about *about; // or NULL
};

// Takes a line without newline, at most LOG_LINE_MAX bytes, from any thread; must not block.
typedef void log_sink(const struct log_head *head, const char *line, size_t len);

extern _Atomic int log_threshold; // an enum log_level: lines above it are not even formatted. May
                                  // change at any time, in any thread.
void log_set_sink(log_sink *sink);

void log_at(struct log_head head, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_if_(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_if_(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_if_(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_if_(LOG_LEVEL_DEBUG, __VA_ARGS__)

#define log_if_(level_, ...)                                                                       \
    do {                                                                                           \
        LOG_SITE(site_);                                                                           \
        if (log_enabled(level_))                                                                   \
            log_at((struct log_head){.site = &site_, .level = (level_)}, __VA_ARGS__);             \
    } while (0)

// Declares the place in the code where it stands.
#define LOG_SITE(name) static struct log_site name = {.file = __FILE__, .line = __LINE__}

static inline int
log_enabled(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&log_threshold, memory_order_relaxed);
}

#endif
