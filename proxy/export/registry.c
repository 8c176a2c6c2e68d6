// SPDX-License-Identifier: BSD-3-Clause
#include "inside.h"

#include <base/hash.h>
#include <base/log.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

// Exports that nobody uses are kept for what was learnt of them, up to this many: a server that
// answers to any name must not make us grow without end.
#define IDLE_EXPORTS_KEPT 64

struct registry *
registry_new(const char *state_dir, unsigned workers)
{
    struct registry *r = calloc(1, sizeof *r + workers * sizeof r->workers[0]);
    if (!r)
        return NULL;
    r->state_dir = strdup(state_dir ? state_dir : "");
    if (!r->state_dir) {
        free(r);
        return NULL;
    }
    pthread_mutex_init(&r->mutex, NULL);
    r->n_workers = workers;
    r->saved = *r->state_dir ? 0 : UINT64_MAX;
    return r;
}

bool
copy_bytes(struct bytes *to, struct bytes from)
{
    uint8_t *p = malloc(from.len + 1);
    if (!p)
        return false;
    if (from.len)
        memcpy(p, from.p, from.len);
    *to = bytes_of(p, from.len);
    return true;
}

void
free_bytes(struct bytes b)
{
    free((void *)(uintptr_t)b.p);
}

static void
export_free(struct export *e)
{
    for (unsigned i = 0; i < e->registry->n_workers; i++)
        free(e->counters[i]);
    lock_close(&e->lock);
    pthread_mutex_destroy(&e->mutex);
    free_bytes(e->address);
    free_bytes(e->name);
    free(e);
}

void
registry_free(struct registry *r)
{
    while (r->exports) {
        struct export *e = r->exports;
        r->exports = e->next;
        export_free(e);
    }
    state_free(r);
    pthread_mutex_destroy(&r->mutex);
    free(r->state_dir);
    free(r);
}

unsigned
registry_workers(const struct registry *r)
{
    return r->n_workers;
}

void
registry_set_worker(struct registry *r, unsigned index, void *worker)
{
    r->workers[index] = worker;
}

void *
registry_worker(const struct registry *r, unsigned index)
{
    return r->workers[index];
}

uint64_t
registry_next_probe(struct registry *r)
{
    return atomic_fetch_add(&r->probes, 1) + 1;
}

static struct export *
export_new(struct registry *r, const struct export_key *key)
{
    struct export *e = calloc(1, sizeof *e + r->n_workers * sizeof e->counters[0]);
    if (!e)
        return NULL;
    pthread_mutex_init(&e->mutex, NULL);
    e->registry = r;
    e->lock.fd = -1;
    if (!copy_bytes(&e->address, key->address) || !copy_bytes(&e->name, key->name)) {
        export_free(e);
        return NULL;
    }
    e->address_hash = hash_bytes(HASH_BEGIN, e->address) | 1; // 0 means none
    e->dialled = key->dialled;
    e->serial = ++r->uses;
    e->size = key->size;
    e->flags = key->flags;
    zero_class_begin(&e->classes[0]);
    zero_class_begin(&e->classes[1]);
    zero_native_begin(&e->native[0]);
    zero_native_begin(&e->native[1]);
    return e;
}

uint64_t
export_serial(const struct export *e)
{
    return e->serial;
}

static struct export *
find_export(struct registry *r, const struct export_key *key)
{
    for (struct export *e = r->exports; e; e = e->next)
        if (bytes_equal(e->address, key->address) && bytes_equal(e->name, key->name))
            return e;
    return NULL;
}

// Lets the longest unused go when too many are kept.
static void
forget_oldest_idle(struct registry *r)
{
    unsigned idle = 0;
    struct export **oldest = NULL;
    for (struct export **p = &r->exports; *p; p = &(*p)->next) {
        // An administrator's word lasts; that he took one back must be saved first.
        if ((*p)->connections || (*p)->lingering || export_pin(*p) != ZERO_UNKNOWN)
            continue;
        idle++;
        if ((*p)->unpinned > r->saved)
            continue;
        if (!oldest || (*p)->last_used < (*oldest)->last_used)
            oldest = p;
    }
    if (idle <= IDLE_EXPORTS_KEPT || !oldest)
        return;
    struct export *e = *oldest;
    *oldest = e->next;
    export_free(e);
}

void
export_forget(struct export *e)
{
    zero_class_forget(&e->classes[0]);
    zero_class_forget(&e->classes[1]);
    traffic_forget(&e->traffic);
    state_changed(e);
}

// Told when it begins and ends, not for every connection. Under the registry's mutex.
static void
tell_of_lock(struct registry *r, int trouble)
{
    if (trouble && trouble != r->lock_trouble)
        log_warn("state-dir %s: the file of locks cannot be used: %s; until it can nothing is "
                 "measured from inside a request: see to its owner, its rights and the disk, and "
                 "that its file system has locks",
                 r->state_dir, strerror(trouble));
    else if (!trouble && r->lock_trouble)
        log_info("state-dir %s: the file of locks can be used again", r->state_dir);
    r->lock_trouble = trouble;
}

void
registry_lock_told(struct registry *r, int error)
{
    pthread_mutex_lock(&r->mutex);
    r->lock_trouble = error;
    pthread_mutex_unlock(&r->mutex);
}

// Another process that probes is waited for. Where there are no locks nothing is probed, by nobody:
// there is nothing to wait for.
static void
share_lock(struct registry *r, struct export *e)
{
    e->locked = lock_shared(&e->lock);
    if (e->locked || e->lock.fd < 0 || lock_is_taken(errno))
        return;
    tell_of_lock(r, errno);
    lock_close(&e->lock);
}

static void
take_lock(struct registry *r, struct export *e)
{
    e->lock = lock_open(r->state_dir, e->address, e->name);
    if (*r->state_dir && e->lock.fd < 0)
        tell_of_lock(r, errno);
    share_lock(r, e);
    if (e->locked)
        tell_of_lock(r, 0);
}

// Whoever starts now would lock another file and not see us.
static bool
lost_lock(struct registry *r, const struct export *e)
{
    bool lost = lock_is_lost(&e->lock);
    if (lost && r->lock_trouble != ESTALE) {
        log_warn("state-dir %s: its file of locks was removed while it was in use: exports that "
                 "are open are not measured from inside a request until their clients have "
                 "gone; start all processes anew that share the folder",
                 r->state_dir);
        r->lock_trouble = ESTALE;
    }
    return lost;
}

struct export *
export_open(struct registry *r, const struct export_key *key, nstime now)
{
    pthread_mutex_lock(&r->mutex);
    struct export *e = find_export(r, key);
    if (!e) {
        e = export_new(r, key);
        if (e) {
            e->next = r->exports;
            r->exports = e;
            state_take(e, now);
        }
    }
    if (e) {
        snprintf(e->upstream, sizeof e->upstream, "%s", key->upstream);
        if (e->size != key->size || e->flags != key->flags) {
            bool another = e->size != key->size || flags_differ(e->flags, key->flags);
            pthread_mutex_lock(&e->mutex);
            e->size = key->size;
            e->flags = key->flags;
            if (another)
                export_forget(e);
            pthread_mutex_unlock(&e->mutex);
        }
        if (e->connections++ == 0 && !e->lingering)
            take_lock(r, e);
        e->last_used = ++r->uses;
    }
    pthread_mutex_unlock(&r->mutex);
    return e;
}

bool
export_may_serve(struct export *e)
{
    pthread_mutex_lock(&e->registry->mutex);
    if (e->lock.fd >= 0 && !e->locked)
        share_lock(e->registry, e);
    bool may = e->lock.fd < 0 || e->locked;
    pthread_mutex_unlock(&e->registry->mutex);
    return may;
}

// Nobody uses it any more. May free it.
static void
let_lock_go(struct registry *r, struct export *e)
{
    lock_close(&e->lock);
    e->locked = false;
    forget_oldest_idle(r);
}

void
export_close(struct export *e, bool lost)
{
    struct registry *r = e->registry;
    pthread_mutex_lock(&r->mutex);
    if (--e->connections == 0) {
        if (lost) {
            pthread_mutex_lock(&e->mutex);
            export_forget(e);
            pthread_mutex_unlock(&e->mutex);
        }
        if (!e->lingering)
            let_lock_go(r, e);
    }
    pthread_mutex_unlock(&r->mutex);
}

void
export_note(struct export *e, uint16_t advertised_flags, const struct zero_rules *r)
{
    pthread_mutex_lock(&e->mutex);
    e->advertised_flags = advertised_flags;
    e->rules = *r;
    pthread_mutex_unlock(&e->mutex);
}

// Probing ---------------------------------------------------------------------------------

static bool
is_free(struct export *e)
{
    pthread_mutex_lock(&e->mutex);
    bool is = !e->probing && !e->no_space;
    pthread_mutex_unlock(&e->mutex);
    return is;
}

static bool
take_turn(struct export *e, bool no_hole, nstime now)
{
    bool mine = false;
    pthread_mutex_lock(&e->mutex);
    if (!e->probing && !e->no_space) {
        e->probing = e->probing_inside = true;
        e->probing_class = no_hole;
        zero_class_probe_begins(&e->classes[no_hole], now);
        mine = true;
    }
    pthread_mutex_unlock(&e->mutex);
    return mine;
}

bool
export_probe_begins(struct export *e, bool no_hole, const struct zero_rules *r, nstime now)
{
    struct registry *reg = e->registry;
    bool mine = false;
    pthread_mutex_lock(&reg->mutex);
    // The lock is this process's: whoever is refused must not narrow what a probe of ours holds.
    if (is_free(e) && company_allows_probe(e) && e->locked && !lost_lock(reg, e) &&
        lock_alone(&e->lock)) {
        if (permit_take(&reg->permits, e->address_hash, r->probe_bytes)) {
            mine = take_turn(e, no_hole, now);
            if (mine)
                e->probe_began = reg->uses;
            else
                permit_return(&reg->permits, e->address_hash);
        }
        if (!mine)
            (void)lock_shared(&e->lock); // narrowing what we hold
    }
    pthread_mutex_unlock(&reg->mutex);
    return mine;
}

// Under the registry's mutex.
static void
give_turn_back(struct export *e)
{
    permit_return(&e->registry->permits, e->address_hash);
    (void)lock_shared(&e->lock); // narrowing what we hold
    pthread_mutex_lock(&e->mutex);
    e->probing = false;
    pthread_mutex_unlock(&e->mutex);
}

void
export_probe_lingers(struct export *e)
{
    pthread_mutex_lock(&e->registry->mutex);
    e->lingering = true;
    pthread_mutex_unlock(&e->registry->mutex);
}

void
export_probe_lingered(struct export *e)
{
    struct registry *r = e->registry;
    pthread_mutex_lock(&r->mutex);
    e->lingering = false;
    give_turn_back(e);
    if (!e->connections)
        let_lock_go(r, e);
    pthread_mutex_unlock(&r->mutex);
}

void
export_probe_ends(struct export *e, bool no_hole, const struct zero_rules *r,
                  const struct zero_finding *f, bool no_space, nstime now)
{
    struct registry *reg = e->registry;
    pthread_mutex_lock(&reg->mutex);
    if (!e->lingering)
        give_turn_back(e);
    pthread_mutex_lock(&e->mutex);
    e->no_space |= no_space;
    unsigned fast = fast_verdicts(e, no_hole, now);
    zero_class_learn(&e->classes[no_hole], r, f, now);
    count_demotion(e, no_hole, fast, DEMOTED_BY_PROBE, now);
    state_changed(e);
    pthread_mutex_unlock(&e->mutex);
    pthread_mutex_unlock(&reg->mutex);
}
