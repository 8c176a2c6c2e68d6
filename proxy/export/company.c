// SPDX-License-Identifier: BSD-3-Clause
// Who else is connected to what may be the same storage. A probe writes back what it has read, so
// it must not read from the cache of a connection that has not heard of another one's writes: a
// server without CAN_MULTI_CONN may have one (spec: NBD_FLAG_CAN_MULTI_CONN, bit 8).
#include "inside.h"

#define CAN_MULTI_CONN (1u << 8)

// The default export has a name of its own mostly. Two names are not taken for one storage here, as
// they are for a guard (zero/guard.h): that costs others a moment, this would keep a server's disks
// of one size from ever being measured.
static bool
may_be_same(const struct export *a, const struct export *b)
{
    return a == b || (a->dialled == b->dialled && a->size == b->size &&
                      (!a->name.len || !b->name.len || bytes_equal(a->name, b->name)));
}

static bool
sees_all_writes(const struct export *e)
{
    return e->flags & CAN_MULTI_CONN;
}

bool
company_allows_probe(const struct export *e)
{
    unsigned connections = 0;
    for (const struct export *x = e->registry->exports; x; x = x->next)
        if (may_be_same(x, e))
            connections += atomic_load_explicit(&x->connections, memory_order_relaxed);
    return connections == 1 || sees_all_writes(e);
}

// Also somebody who has gone again.
static bool
anybody_since(const struct export *e, uint64_t use)
{
    for (const struct export *x = e->registry->exports; x; x = x->next)
        if (may_be_same(x, e) && x->last_used > use)
            return true;
    return false;
}

bool
export_probe_may_go_on(struct export *e)
{
    pthread_mutex_lock(&e->registry->mutex);
    bool may = sees_all_writes(e) || !anybody_since(e, e->probe_began);
    pthread_mutex_unlock(&e->registry->mutex);
    return may;
}
