// SPDX-License-Identifier: BSD-3-Clause
// CPU time that something may take: a share of all time, saved up for a while. Pure.
#ifndef DAEMON_BUDGET_H
#define DAEMON_BUDGET_H

#include <base/time.h>
#include <stdbool.h>

struct budget {
    unsigned part; // one in so many: 100 is 1 %
    nstime most;   // that can be saved up, and is there at the beginning
    nstime owed;   // spent, and not yet earned back
    nstime at;     // of the last look
};

// What was spent is taken all the same if there was not so much.
void budget_spend(struct budget *b, nstime cost, nstime now);
// Is nothing left?
bool budget_is_spent(struct budget *b, nstime now);

#endif
