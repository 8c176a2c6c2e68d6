// SPDX-License-Identifier: BSD-3-Clause
// The process's log: lines from any thread go into a bounded queue, a thread of its own writes
// them. A full pipe or a slow disk stalls nobody; what is lost is counted, and said.
#ifndef DAEMON_LOG_H
#define DAEMON_LOG_H

#include <base/log.h>
#include <stdbool.h>
#include <stdint.h>

enum log_style {
    LOG_STYLE_PLAIN,   // "warn text"
    LOG_STYLE_TIMED,   // with the local time before it: terminals and files
    LOG_STYLE_JOURNAL, // systemd's journal, with fields; "<4>text" where it does not take them
};

// What suits the descriptor. `journal_stream`: $JOURNAL_STREAM, or NULL.
enum log_style log_style_for(int fd, const char *journal_stream);

// Takes over as the sink of base/log.h. `journal`: the socket of the journal for
// LOG_STYLE_JOURNAL, kept; where nobody answers there, lines go to the descriptor. False: no thread
// could be started. Once a process at a time.
bool log_start(int fd, enum log_style style, const char *journal);
// Writes what is queued, for at most a second, and ends.
void log_stop(void);

struct log_losses {
    uint64_t dropped;    // the queue was full
    uint64_t suppressed; // more than may be written a second
};
struct log_losses log_losses(void);

#endif
