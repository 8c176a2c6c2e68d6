// SPDX-License-Identifier: BSD-3-Clause
// Rates of each place in the code that logs, and who has lines that nobody was told of. No lock, no
// clock: log.c has these.
#ifndef DAEMON_LOG_SITES_H
#define DAEMON_LOG_SITES_H

#include <base/log.h>
#include <stdbool.h>

struct log_sites {
    struct log_site *first; // those with lines that were not written
};

// May this line be written? Otherwise its site is remembered for log_sites_take().
bool log_sites_admit(struct log_sites *sites, struct log_site *site, const char *text, size_t len,
                     nstime now);
// How many lines of one site were not written since this was last asked of it, and words for it;
// 0: there is none with such.
uint64_t log_sites_take(struct log_sites *sites, char *text, size_t cap);

#endif
