// SPDX-License-Identifier: BSD-3-Clause
// Lines on their way to the log, in a bounded ring of bytes. No lock, no clock: log.c has these.
#ifndef DAEMON_LOG_QUEUE_H
#define DAEMON_LOG_QUEUE_H

#include <base/log.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_QUEUE_BYTES (256u << 10)

struct log_line {
    int64_t time; // Unix time, microseconds
    enum log_level level;
    uint32_t len;
    char text[LOG_LINE_MAX];
};

struct log_queue {
    size_t head, used; // where the oldest begins, bytes in use
    uint8_t bytes[LOG_QUEUE_BYTES];
};

// False: no room, the line is dropped.
bool log_queue_put(struct log_queue *q, int64_t time, enum log_level level, const char *text,
                   size_t len);
bool log_queue_take(struct log_queue *q, struct log_line *line);

#endif
