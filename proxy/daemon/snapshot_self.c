// SPDX-License-Identifier: BSD-3-Clause
// What the snapshot says of the process's own work: what it remembers, logs, and is told.
#include "snapshot.h"

#include "config_keys.h"

#include <string.h>

json_t *
snapshot_state_json(const struct snapshot *s)
{
    const struct state_counts *c = &s->state;
    const char *dir = s->settings->state_dir;
    return json_pack("{s:o, s:i, s:i, s:i, s:i, s:I, s:o}", "dir",
                     *dir ? snapshot_text(dir) : json_null(), "restored", (int)c->restored,
                     "dropped", (int)(c->dropped + s->state_dropped), "damaged", (int)c->damaged,
                     "unsaved", (int)c->unsaved, "save_failures", (json_int_t)c->failures, "error",
                     c->error ? snapshot_text(strerror(c->error)) : json_null());
}

json_t *
snapshot_log_json(const struct snapshot *s)
{
    return json_pack("{s:s, s:I, s:I}", "level",
                     config_keys[KEY_LOG_LEVEL].choices[atomic_load(&log_threshold)],
                     "lines_dropped", (json_int_t)s->log.dropped, "lines_suppressed",
                     (json_int_t)s->log.suppressed);
}

json_t *
snapshot_control_json(const struct snapshot *s)
{
    const struct control_counts *c = s->control;
    return json_pack("{s:i, s:I, s:I, s:I, s:I, s:I}", "conversations", (int)c->conversations,
                     "requests", (json_int_t)c->requests, "changes", (json_int_t)c->changes,
                     "denied", (json_int_t)c->denied, "malformed", (json_int_t)c->malformed,
                     "refused", (json_int_t)c->refused);
}
