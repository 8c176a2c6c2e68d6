// SPDX-License-Identifier: BSD-3-Clause
// systemd's journal by its native protocol: a datagram a line, with fields. By a socket of our own:
// sd_journal_sendv() would wait for a journal that is full, and calls it a success where there is
// none.
#ifndef DAEMON_LOG_JOURNAL_H
#define DAEMON_LOG_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>

#define LOG_JOURNAL "/run/systemd/journal/socket"

struct log_journal {
    int fd;           // -1: there is none
    const char *path; // the caller's, as long as this is open
    bool full;        // the last line found no room
};

void log_journal_open(struct log_journal *j, const char *path); // path NULL: none
void log_journal_close(struct log_journal *j);
// False: not taken; say it in another way. Waits up to 0.1 s for a journal that has just become
// full.
bool log_journal_send(struct log_journal *j, const void *datagram, size_t len);

#endif
