// SPDX-License-Identifier: BSD-3-Clause
// A worker: one thread's sessions, all on one ring. The daemon makes one a thread and hands it
// accepted connections; everything here is called on the worker's own thread unless it says
// otherwise.
#ifndef SESSION_WORKER_H
#define SESSION_WORKER_H

#include <base/endings.h>
#include <export/counters.h>
#include <io/ring.h>
#include <session/settings.h>

struct worker;
struct registry; // export/registry.h: one a process

// `index` is below registry_workers(). Not on the worker's thread yet. NULL: out of memory.
struct worker *worker_new(struct ring *ring, struct registry *registry, unsigned index);
// After ring_run() has returned. Ends what is left without ceremony; for all workers before the
// first is freed, since a session that ends may still write to another worker.
void worker_end(struct worker *w);
void worker_free(struct worker *w);

// A session begins. Takes over fd, and a reference to `settings`, whose `listener` it came by, and
// which has been counted in that listener's `active` and in `client`, if that is not NULL. `id` is
// unique in the process.
void worker_accept(struct worker *w, int fd, struct settings *settings,
                   const struct listener_settings *listener, struct client_counter *client,
                   uint64_t id);

// This worker measures the scratch areas of these settings from now on, instead of any others. It
// has no sessions. Takes a reference; NULL: none are measured any more.
void worker_scratch(struct worker *w, struct settings *settings);

// The end: no session is begun after this; idle ones are closed, what is in flight is finished, a
// running probe ends after the chunk in work. `drained` is called on this thread when no session is
// left, at the latest at `deadline` (what is left then is cut, but for a probe's chunk in work,
// at most 1 s longer). A second call can only bring the deadline forward.
void worker_drain(struct worker *w, nstime deadline, void (*drained)(void *ctx), void *ctx);

// For statistics ------------------------------------------------------------

// Of a side that speaks TLS; "" is plaintext. See struct tls_facts.
struct tls_row {
    char version[16], cipher[64], peer[256];
};

struct connection_row {
    uint64_t id;
    char client[ADDRESS_TEXT];
    char listener[64], upstream[64]; // configuration names
    char export[256];                // escaped; "" until it is known
    bool transmission;
    struct tls_row client_tls, upstream_tls;
    nstime since; // ring time
    unsigned in_flight;
    uint64_t bytes_from_client, bytes_to_client;
};

struct export_part {
    uint64_t export;                  // its serial number in the registry
    struct export_counters counters;  // without latencies: these are packed,
    size_t latency[COUNTED_COMMANDS]; // and begin here in `packed`
    bool used[COUNTED_COMMANDS];      // where there are any
};

struct worker_report {
    struct connection_row *connections; // malloc'd arrays; worker_report_clear() frees them
    size_t n_connections;
    struct export_part *exports;
    size_t n_exports, cap_exports;
    uint64_t *packed; // words: histogram_merge_packed()
    size_t n_packed, cap_packed;
    uint64_t endings[SESSION_ENDINGS_COUNT];
    size_t memory; // bytes of buffers
    nstime now;    // of the worker's ring
};

// Fills `report` (zeroed before). False: out of memory, the report is empty.
bool worker_report(struct worker *w, struct worker_report *report);
void worker_report_clear(struct worker_report *report);

// Sessions of this worker, from any thread: for the daemon to spread connections.
unsigned worker_sessions(const struct worker *w);

#endif
