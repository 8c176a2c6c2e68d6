// SPDX-License-Identifier: BSD-3-Clause
// One picture of the process, of which every rendering is made: what each worker reports, what the
// registry knows, and the one JSON object of interface `nbdzero-stat json`.
#ifndef DAEMON_SNAPSHOT_H
#define DAEMON_SNAPSHOT_H

#include "control_counts.h"
#include "log.h"
#include "state_keeper.h"

#include <export/registry.h>
#include <jansson.h>
#include <session/worker.h>

struct snapshot {
    int64_t unix_now; // seconds
    nstime ring_now;  // the same moment, in the time of rings
    nstime started;
    unsigned threads, max_connections;
    const struct settings *settings;
    const char *const *addresses; // where each listener listens, in the order of settings
    const struct worker_report *reports;
    size_t n_reports;
    const struct export_description *exports;
    size_t n_exports;
    size_t memory;   // buffers of the main ring; the workers report theirs
    size_t resident; // bytes of the process
    struct log_losses log;
    const struct control_counts *control;
    struct state_counts state;
    unsigned state_dropped; // exports of which what was restored has been dropped
};

// A new reference; NULL: out of memory.
json_t *snapshot_json(const struct snapshot *s);
// exports[] of it (snapshot_exports.c).
json_t *snapshot_exports_json(const struct snapshot *s);
// Parts of one of them (snapshot_counts.c).
json_t *counts_probes_json(const struct export_counters *c);
json_t *counts_learning_json(const struct export_counters *c, const uint64_t *demotions);
json_t *counts_endings_json(const struct export_counters *c);
json_t *counts_errors_json(const struct export_counters *c);
json_t *counts_commands_json(const struct export_counters *c);
// upstreams[] and certificates[] (snapshot_peers.c).
json_t *snapshot_upstreams_json(const struct snapshot *s);
json_t *snapshot_certificates_json(const struct snapshot *s);

// state, log and control (snapshot_self.c).
json_t *snapshot_state_json(const struct snapshot *s);
json_t *snapshot_log_json(const struct snapshot *s);
json_t *snapshot_control_json(const struct snapshot *s);

// A string for JSON from any bytes: escaped where it is no UTF-8.
json_t *snapshot_text(const char *text);

#endif
