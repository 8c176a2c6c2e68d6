// SPDX-License-Identifier: BSD-3-Clause
#include <base/log_bound.h>

bool
log_bound_admit(struct log_bound *b, struct log_rate rate, nstime now)
{
    nstime one = NS_PER_SEC / rate.per_second;
    nstime grown = now > b->last ? now - b->last : 0;
    b->used = b->used > grown ? b->used - grown : 0;
    b->last = now;
    if (b->used + one > rate.burst * one)
        return false;
    b->used += one;
    return true;
}
