// SPDX-License-Identifier: BSD-3-Clause
// Lines on their way to the log, in a bounded ring of bytes. No lock, no clock: log.c has these.
#ifndef DAEMON_LOG_QUEUE_H
#define DAEMON_LOG_QUEUE_H

#include <base/log.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_QUEUE_BYTES (256u << 10)

// What is known of whom a line is about, in this order; each up to so many bytes, and the export's
// name gets the rest.
enum log_field { LOG_CLIENT, LOG_LISTENER, LOG_UPSTREAM, LOG_EXPORT, LOG_FIELDS };
#define LOG_FIELD_MAX  128u
#define LOG_FIELDS_MAX 1024u

struct log_line {
    int64_t time; // Unix time, microseconds
    enum log_level level;
    const struct log_site *site; // or NULL
    uint64_t connection;         // 0: none
    uint8_t known;               // bits, 1 << enum log_field
    uint32_t len;
    uint32_t fields_len;
    char text[LOG_LINE_MAX];
    char fields[LOG_FIELDS_MAX]; // those that are known, each with a NUL behind it
};

struct log_queue {
    size_t head, used; // where the oldest begins, bytes in use
    uint8_t bytes[LOG_QUEUE_BYTES];
};

// False: no room, the line is dropped.
bool log_queue_put(struct log_queue *q, int64_t time, const struct log_head *head, const char *text,
                   size_t len);
bool log_queue_take(struct log_queue *q, struct log_line *line);

#endif
