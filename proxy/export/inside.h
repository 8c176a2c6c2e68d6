// SPDX-License-Identifier: BSD-3-Clause
// What the files of this room know of an export, and nobody else.
#ifndef EXPORT_INSIDE_H
#define EXPORT_INSIDE_H

#include <export/lock.h>
#include <export/registry.h>
#include <pthread.h>
#include <zero/native.h>
#include <zero/permit.h>
#include <zero/traffic.h>

struct export
{
    struct registry *registry;
    struct export *next;

    // Set when it is made; size and flags under both mutexes, upstream under the registry's.
    char upstream[64];          // as the session that came last calls it: a reload may rename it
    struct bytes address, name; // owned
    uint64_t address_hash;
    uint64_t dialled;
    uint64_t serial; // of no other export that there ever was
    uint64_t size;
    uint16_t flags;

    // Written under the registry's mutex.
    atomic_uint connections;
    uint64_t last_used;   // the registry's count of uses when it was opened last,
    uint64_t probe_began; // and when the probe began that is under way
    struct export_lock lock;
    bool locked;    // shared, at least
    bool lingering; // upstream may still carry out what a probe has sent

    // Under its own mutex.
    pthread_mutex_t mutex;
    struct zero_class classes[2]; // without and with NO_HOLE
    struct zero_native native[2]; // of an upstream that answers FAST_ZERO itself
    struct traffic traffic;
    unsigned traffic_new; // operations since it was last judged
    nstime pinned_at;
    uint64_t changed;  // the registry's count of changes at the last of its own
    uint64_t unpinned; // and at the last order that took something back
    bool probing, no_space;
    bool probing_inside; // a request: else in a scratch area, or elsewhere
    unsigned probing_class;
    uint16_t advertised_flags;
    struct zero_rules rules; // of the session that came last: statistics only
    uint64_t demotions[DEMOTIONS];

    // Read without a mutex.
    _Atomic enum zero_verdict pin;
    atomic_uint flush_failures;
    atomic_bool status_lied;
    _Atomic nstime status_pause_until;

    struct export_counters *counters[]; // by worker, each touched by its own thread only
};

// Saved by an earlier process, and not opened yet by this one.
struct restored {
    struct restored *next;
    struct export_state state; // owns its bytes
    nstime ago, at;            // it was so old at that time
    nstime pinned_at;
    uint64_t changed; // as an export's
};

struct registry {
    pthread_mutex_t mutex;
    struct restored *restored;
    atomic_ullong state_changes;
    atomic_uint state_dropped;
    struct export *exports;
    struct permits permits;
    char *state_dir;
    int lock_trouble; // errno of what was told last of locks; 0: all is well
    uint64_t uses;
    uint64_t saved; // of state_changes; UINT64_MAX: nobody saves
    atomic_ullong probes;
    unsigned n_workers;
    void *workers[];
};

// Do the flags tell of another storage? What the format of replies brings (spec: NBD_FLAG_SEND_DF,
// bit 7, only with structured replies) is the connection's, not the export's.
static inline bool
flags_differ(uint16_t a, uint16_t b)
{
    return (a ^ b) & ~(1u << 7);
}

// registry.c. False: out of memory.
bool copy_bytes(struct bytes *to, struct bytes from);
void free_bytes(struct bytes b);
// All that was learnt is void. Under its mutex.
void export_forget(struct export *e);
// company.c. Under the registry's mutex.
bool company_allows_probe(const struct export *e);
// judging.c. Around whatever may take a fast verdict back, under its mutex.
unsigned fast_verdicts(const struct export *e, bool no_hole, nstime now);
void count_demotion(struct export *e, bool no_hole, unsigned fast_before, enum demotion by,
                    nstime now);
// state.c. The export has just been made: takes what was saved of it. Under the registry's mutex.
void state_take(struct export *e, nstime now);
void state_free(struct registry *r);
// Something worth saving may have changed. Under its mutex.
void state_changed(struct export *e);

#endif
