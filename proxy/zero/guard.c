// SPDX-License-Identifier: BSD-3-Clause
#include <zero/guard.h>

// Everybody guards one range at a time: the next takes the place of the last.
void
guards_add(struct guards *g, struct guard *guard)
{
    guards_remove(g, guard->probe);
    guard->next = g->first;
    g->first = guard;
    g->n++;
}

bool
guards_remove(struct guards *g, uint64_t probe)
{
    for (struct guard **p = &g->first; *p; p = &(*p)->next) {
        if ((*p)->probe == probe) {
            *p = (*p)->next;
            g->n--;
            return true;
        }
    }
    return false;
}
