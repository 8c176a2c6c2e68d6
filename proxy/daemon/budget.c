// SPDX-License-Identifier: BSD-3-Clause
#include "budget.h"

static void
earn(struct budget *b, nstime now)
{
    nstime earned = now > b->at ? (now - b->at) / b->part : 0;
    b->owed -= earned < b->owed ? earned : b->owed;
    b->at += earned * b->part; // the rest counts the next time
}

void
budget_spend(struct budget *b, nstime cost, nstime now)
{
    earn(b, now);
    b->owed += cost;
}

bool
budget_is_spent(struct budget *b, nstime now)
{
    earn(b, now);
    return b->owed >= b->most;
}
