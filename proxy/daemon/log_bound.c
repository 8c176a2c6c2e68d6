// SPDX-License-Identifier: BSD-3-Clause
#include "log_bound.h"

#define ONE  (NS_PER_SEC / LOG_PER_SECOND)
#define FULL (LOG_BURST * ONE)

void
log_bound_begin(struct log_bound *b, nstime now)
{
    *b = (struct log_bound){.last = now, .left = FULL};
}

bool
log_bound_admit(struct log_bound *b, nstime now)
{
    nstime grown = now > b->last ? now - b->last : 0;
    b->left = FULL - b->left > grown ? b->left + grown : FULL;
    b->last = now;
    if (b->left < ONE)
        return false;
    b->left -= ONE;
    return true;
}
