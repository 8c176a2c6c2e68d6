// SPDX-License-Identifier: BSD-3-Clause
// What all connections of one export share: its classes' verdicts, the guard's bookkeeping, the
// lock in state-dir, whose turn it is to probe. One registry a process, every call from any thread.
//
// There is a mutex an export and one for the registry. They are taken when a session begins and
// ends, by requests to zero (for well under a microsecond), by probes, and when a WRITE of 1 MiB or
// more, or a FLUSH behind such, has ended that ran alone; never by READ and TRIM.
#ifndef EXPORT_REGISTRY_H
#define EXPORT_REGISTRY_H

#include <base/bytes.h>
#include <base/range.h>
#include <base/time.h>
#include <export/counters.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <zero/class.h>
#include <zero/probe.h>
#include <zero/rules.h>
#include <zero/traffic.h>

struct registry;
struct export;

// state_dir: where locks live ("" or NULL: none, and so no probe is allowed from inside a request).
// NULL: out of memory.
struct registry *registry_new(const char *state_dir, unsigned workers);
void registry_free(struct registry *r);
// That locks cannot be had, for this errno, has been told: until it changes it is not told again.
void registry_lock_told(struct registry *r, int error);
unsigned registry_workers(const struct registry *r);

// Identity of an export: where it is and what it is called there.
struct export_key {
    const char *upstream; // configuration name, for people
    struct bytes address; // canonical: scheme, user, host and port or path
    struct bytes name;    // as the upstream calls it
    uint64_t dialled;     // hash of where that is, whoever we are there
    uint64_t size;
    uint16_t flags; // as the upstream sent them
};

// A connection to the export begins. If size or flags differ from what was known, everything learnt
// is forgotten. NULL: out of memory. Every open is paired with a close.
struct export *export_open(struct registry *r, const struct export_key *key, nstime now);
// Of no other export of this process, not even of one that is forgotten since.
uint64_t export_serial(const struct export *e);
// May this process serve the export yet? False while another process on the same state-dir probes
// it: ask again in some milliseconds (a probe ends within seconds).
bool export_may_serve(struct export *e);
// `lost`: upstream refused or dropped the connection. When it drops all of them, verdicts are void.
void export_close(struct export *e, bool lost);

// What the session tells after export_open(): shown in statistics.
void export_note(struct export *e, uint16_t advertised_flags, const struct zero_rules *r);

// Judging, each for the class `no_hole` ------------------------------------------------

// As zero_class_judge(), and REFUSE while a request probes this class.
enum zero_advice export_judge(struct export *e, bool no_hole, const struct zero_rules *r,
                              uint64_t length, nstime now);
bool export_wants_teaching(struct export *e, bool no_hole, const struct zero_rules *r,
                           uint64_t length, nstime now);
enum zero_arm export_next_arm(struct export *e, bool no_hole, uint64_t length);
void export_sampled(struct export *e, bool no_hole, const struct zero_rules *r, uint64_t length,
                    enum zero_arm arm, nstime took, bool clean, nstime now);
void export_zeroed(struct export *e, bool no_hole, const struct zero_rules *r, uint64_t length,
                   nstime took, nstime now);
bool export_write_is_cheaper(struct export *e, bool no_hole, const struct zero_rules *r,
                             uint64_t length, nstime now);
bool export_wants_flush(struct export *e, bool no_hole, nstime now);

// Passive learning (zero/traffic.h) ------------------------------------------------------
// An operation, or a FLUSH with nothing to carry but n bytes by that operation, ran alone.
void export_saw(struct export *e, const struct zero_rules *r, enum traffic_op op, uint64_t n,
                nstime took, nstime now);
void export_saw_flush(struct export *e, enum traffic_op op, uint64_t n, nstime took, nstime now);
// Is the connection that asks the only one of this process? Another one's data would be in its
// FLUSH, too.
bool export_has_one_connection(const struct export *e);
// An upstream's own FAST_ZERO (zero/native.h): is it not to be asked? It said success to n bytes
// after `took`; true: from now on it is not.
bool export_native_refuses(struct export *e, bool no_hole, nstime now);
bool export_native_succeeded(struct export *e, bool no_hole, uint64_t n, nstime took, nstime now);

// May this connection carry a probe now? Takes the permit, the export's turn and its lock in
// state-dir. False is no error. A probe that began is ended with export_probe_ends().
bool export_probe_begins(struct export *e, bool no_hole, const struct zero_rules *r, nstime now);
// With a chunk guarded, before it is read: has nobody come since, whose writes upstream may not
// show to this connection? (company.c)
bool export_probe_may_go_on(struct export *e);
void export_probe_ends(struct export *e, bool no_hole, const struct zero_rules *r,
                       const struct zero_finding *f, bool no_space, nstime now);
// Before it ends: upstream may still carry out what it has sent. Turn, permit and lock stay taken,
// also when the last connection is closed, until export_probe_lingered().
void export_probe_lingers(struct export *e);
void export_probe_lingered(struct export *e);

// Scratch areas (scratching.c), measured over connections of our own: no lock in state-dir and no
// allowance an hour, since nothing there need be kept. ---------------------------------------
struct scratch_outlook {
    nstime due;   // when a verdict is to be measured (anew); 0: never
    uint64_t use; // changes when somebody opens an export at that address
    bool in_use;
};
struct scratch_outlook registry_scratch_outlook(struct registry *r, struct bytes address,
                                                struct bytes name, nstime now);
// Of one class; else as `due`.
nstime export_scratch_due(struct export *e, bool no_hole, nstime now);
// As export_probe_begins(), and ended by export_probe_ends(), too.
bool export_scratch_begins(struct export *e, bool no_hole, const struct zero_rules *r);
// What was found out in `e` goes for others at its address, too: all, where `name` is NULL, or
// one. Of flags that differ where zeroing is concerned nothing is taken.
void export_lend(struct export *e, const struct bytes *name);
// The same for one that has just been opened: from the export `holder` at its address.
void export_borrow(struct export *e, struct bytes holder);

// A number for each guard, unique in the process, never 0.
uint64_t registry_next_probe(struct registry *r);

// A FLUSH of ours failed: every connection that has written since its last good FLUSH owes its
// client an EIO. Connections compare this count with the one they saw last.
void export_flush_failed(struct export *e);
unsigned export_flush_failures(const struct export *e);

// Decision 4: may base:allocation be asked, and what we learnt of its answers.
bool export_status_usable(const struct export *e, nstime now);
void export_status_lied(struct export *e);             // or may not last: never believed again
void export_status_slow(struct export *e, nstime now); // not asked for 10 min

// The workers of the process, so that they find each other for the guard: opaque here. Set before
// any thread runs.
void registry_set_worker(struct registry *r, unsigned index, void *worker);
void *registry_worker(const struct registry *r, unsigned index);

// The counters of worker `index` for this export: that worker's thread only, while it has the
// export open. NULL: out of memory.
struct export_counters *export_counters_of(struct export *e, unsigned index);
// Calls `each` for all counters of worker `index`, on its thread, under the registry's mutex.
void registry_counters(struct registry *r, unsigned index,
                       void (*each)(void *ctx, struct export *e, const struct export_counters *c),
                       void *ctx);

// A verdict that an administrator has set, for both classes and all sizes; UNKNOWN: none, it is
// measured. Lasts until it is set anew, across restarts.
enum zero_verdict export_pin(const struct export *e);
// By an export's key, whether it is open, has been saved by an earlier process, or was never seen:
// then it goes for when it is opened. False: out of memory.
enum export_order { EXPORT_PIN_FAST, EXPORT_PIN_SLOW, EXPORT_UNPIN, EXPORT_FORGET };
bool registry_order(struct registry *r, struct bytes address, struct bytes name,
                    enum export_order order, nstime now);
// Calls `each` for every export that is known, be it from an earlier process, under the registry's
// mutex: copy and return.
struct export_known {
    const char *upstream; // as the session that came last calls it; NULL: none has come yet
    struct bytes address, name;
    enum zero_verdict pin;
    nstime pinned_at;
};
void registry_known(struct registry *r, void (*each)(void *ctx, const struct export_known *k),
                    void *ctx);

// What outlives the process (state.c). ---------------------------------------------------
struct export_state {
    struct bytes address, name; // of the key
    uint64_t size;
    uint16_t flags;
    enum zero_verdict pin;
    bool known[2]; // is there anything of this class?
    struct zero_saved classes[2];
    nstime age; // it was true so long ago: not opened since
};
// Calls `each` for every export, open or restored, that has changed since that many changes, under
// the mutexes: copy and return. `worth` false: there is nothing to save of it any more. Returns the
// changes so far; those of exports that are closed and forgotten in between are lost.
uint64_t registry_save(struct registry *r, uint64_t since, nstime now,
                       void (*each)(void *ctx, const struct export_state *s, bool worth),
                       void *ctx);
// Exports of which what was restored has been dropped since: another size, other flags, nonsense.
unsigned registry_dropped(const struct registry *r);
// What was saved `ago`, for when that export is opened; before any thread runs. Copied. False: out
// of memory.
bool registry_restore(struct registry *r, const struct export_state *s, nstime ago, nstime now);

// For statistics.
struct export_description {
    uint64_t serial; // as export_serial() says; 0: nobody has opened it
    char upstream[64];
    char name[256]; // escaped
    uint64_t size;
    uint16_t upstream_flags;
    uint16_t advertised_flags;
    enum zero_policy policy;
    enum zero_verdict pin;
    unsigned connections;
    uint64_t demotions[DEMOTIONS];
    unsigned n_rows[2]; // without and with NO_HOLE
    struct zero_row rows[2][ZERO_ROWS];
};
// What it shows of a pin.
struct zero_row zero_row_of_pin(enum zero_verdict pin, nstime since);
// Calls `each` for every export known, under the registry's mutex: copy and return.
void registry_describe(struct registry *r, nstime now,
                       void (*each)(void *ctx, const struct export_description *d), void *ctx);

#endif
