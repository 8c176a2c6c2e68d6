// SPDX-License-Identifier: BSD-3-Clause
#include <assert.h>
#include <zero/guard.h>

// A probe guards one chunk at a time: the next takes the place of the last.
void
guards_add(struct guards *g, const struct guard *guard)
{
    guards_remove(g, guard->probe);
    assert(g->n < GUARDS_MAX); // so many permits and outliving guards there are at most
    g->list[g->n++] = *guard;
}

bool
guards_remove(struct guards *g, uint64_t probe)
{
    for (unsigned i = 0; i < g->n; i++) {
        if (g->list[i].probe == probe) {
            g->list[i] = g->list[--g->n];
            return true;
        }
    }
    return false;
}
