// SPDX-License-Identifier: BSD-3-Clause
// What the measuring of scratch areas asks and tells, and what it lends to exports that have none.
#include "inside.h"

// spec: "Transmission flags": FLUSH, WRITE_ZEROES, FAST_ZERO. With other ones other things would
// have been measured.
#define FLAGS_OF_ZEROING ((1u << 2) | (1u << 6) | (1u << 11))

nstime
export_scratch_due(struct export *e, bool no_hole, nstime now)
{
    pthread_mutex_lock(&e->mutex);
    nstime due = e->no_space ? 0 : zero_class_due(&e->classes[no_hole], now);
    pthread_mutex_unlock(&e->mutex);
    return due;
}

struct scratch_outlook
registry_scratch_outlook(struct registry *r, struct bytes address, struct bytes name, nstime now)
{
    struct scratch_outlook o = {.due = now}; // of what was never opened nothing is known
    pthread_mutex_lock(&r->mutex);
    for (struct export *e = r->exports; e; e = e->next) {
        if (!bytes_equal(e->address, address))
            continue;
        o.in_use |= e->connections > 0;
        o.use = e->last_used > o.use ? e->last_used : o.use;
        if (!bytes_equal(e->name, name))
            continue;
        nstime a = export_scratch_due(e, false, now), b = export_scratch_due(e, true, now);
        o.due = a && (!b || a < b) ? a : b;
    }
    pthread_mutex_unlock(&r->mutex);
    return o;
}

bool
export_scratch_begins(struct export *e, bool no_hole, const struct zero_rules *r)
{
    struct registry *reg = e->registry;
    bool mine = false;
    pthread_mutex_lock(&reg->mutex);
    pthread_mutex_lock(&e->mutex);
    if (!e->probing && permit_take(&reg->permits, e->address_hash, r->probe_bytes)) {
        e->probing = mine = true;
        e->probing_inside = false;
        e->probing_class = no_hole;
    }
    pthread_mutex_unlock(&e->mutex);
    pthread_mutex_unlock(&reg->mutex);
    return mine;
}

// Under the registry's mutex. One export's mutex at a time.
static void
lend(struct export *from, struct export *to)
{
    struct zero_class classes[2];
    if ((from->flags ^ to->flags) & FLAGS_OF_ZEROING)
        return;
    pthread_mutex_lock(&from->mutex);
    memcpy(classes, from->classes, sizeof classes);
    pthread_mutex_unlock(&from->mutex);
    pthread_mutex_lock(&to->mutex);
    zero_class_borrow(&to->classes[0], &classes[0]);
    zero_class_borrow(&to->classes[1], &classes[1]);
    state_changed(to);
    pthread_mutex_unlock(&to->mutex);
}

void
export_lend(struct export *e, const struct bytes *name)
{
    pthread_mutex_lock(&e->registry->mutex);
    for (struct export *to = e->registry->exports; to; to = to->next)
        if (to != e && bytes_equal(to->address, e->address) &&
            (!name || bytes_equal(to->name, *name)))
            lend(e, to);
    pthread_mutex_unlock(&e->registry->mutex);
}

void
export_borrow(struct export *e, struct bytes holder)
{
    pthread_mutex_lock(&e->registry->mutex);
    for (struct export *from = e->registry->exports; from; from = from->next)
        if (from != e && bytes_equal(from->address, e->address) && bytes_equal(from->name, holder))
            lend(from, e);
    pthread_mutex_unlock(&e->registry->mutex);
}
