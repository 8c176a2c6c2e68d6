// SPDX-License-Identifier: BSD-3-Clause
// What a line of the log looks like to who reads it.
#ifndef DAEMON_LOG_WORDS_H
#define DAEMON_LOG_WORDS_H

#include "log.h"
#include "log_queue.h"

#define LOG_PLAIN_BYTES  (LOG_LINE_MAX + 64)
#define LOG_NATIVE_BYTES (LOG_LINE_MAX + LOG_FIELDS_MAX + 512)

// A line of text with its newline, in at most LOG_PLAIN_BYTES; returns its size.
size_t log_plain(const struct log_line *line, enum log_style style, char *out);
// A datagram of systemd's journal, in at most LOG_NATIVE_BYTES; returns its size.
size_t log_native(const struct log_line *line, char *out);

#endif
