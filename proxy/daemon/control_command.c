// SPDX-License-Identifier: BSD-3-Clause
#include "control_command.h"

#include "config_keys.h"
#include "snapshot.h"

#include <base/log.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

void
control_failed(struct control_call *call, const char *fmt, ...)
{
    char error[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(error, sizeof error, fmt, ap);
    va_end(ap);
    control_done(call, json_pack("{s:o}", "error", snapshot_text(error)));
}

// json -------------------------------------------------------------------------------------

static struct control_call *
call_of(struct snapshot_waiter *w)
{
    return (struct control_call *)((char *)w - offsetof(struct control_call, waiter));
}

static void
show_picture(struct control_call *call, nstime now)
{
    size_t len = 0;
    char *line = control_picture_line(&call->means->picture, now, &len);
    control_done_line(call, line, len);
}

// Several may have asked, for one picture.
static void
snapshot_done(struct snapshot_waiter *w, json_t *snapshot)
{
    struct control_call *call = call_of(w);
    struct control_means *m = call->means;
    nstime now = ring_clock(m->ring); // what printing it takes makes it no older
    control_picture_take(&m->picture, snapshot, m->collector->pictures, now);
    show_picture(call, now);
}

static void
forget_snapshot(struct control_call *call)
{
    collector_forget(call->means->collector, &call->waiter);
}

static void
run_json(struct control_call *call, const struct control_value *values)
{
    (void)values;
    if (call->means->picture.text && collector_is_spent(call->means->collector)) {
        show_picture(call, ring_clock(call->means->ring));
        return;
    }
    call->waiter.done = snapshot_done;
    call->forget = forget_snapshot;
    call->too_late = "a worker thread does not answer";
    if (!collector_ask(call->means->collector, &call->waiter))
        control_done(call, NULL);
}

// Changes ----------------------------------------------------------------------------------

static void
run_reload(struct control_call *call, const struct control_value *values)
{
    (void)values;
    control_done(call, reload_now(call->means->reload));
}

static void
run_drain(struct control_call *call, const struct control_value *values)
{
    const struct control_means *m = call->means;
    char who[64];
    (void)values;
    if (!m->drain(m->process, control_peer_text(&call->peer, who, sizeof who))) {
        control_failed(call, "the process is ending already; a second SIGTERM ends it at once");
        return;
    }
    nstime most = m->reload->config->drain_timeout;
    control_done(call, json_pack("{s:{s:i, s:I}}", "result", "connections",
                                 (int)counters_active(m->reload->config->counters),
                                 "drain_timeout_ms", (json_int_t)(most / NS_PER_MS)));
}

static void
upgraded(struct upgrade_waiter *w, pid_t pid, const char *error)
{
    struct control_call *call =
        (struct control_call *)((char *)w - offsetof(struct control_call, upgrade));
    if (error)
        control_failed(call, "%s", error);
    else
        control_done(call, json_pack("{s:{s:I}}", "result", "pid", (json_int_t)pid));
}

static void
forget_upgrade(struct control_call *call)
{
    upgrade_forget(call->means->upgrade, &call->upgrade);
}

static void
run_upgrade(struct control_call *call, const struct control_value *values)
{
    char err[UPGRADE_WORD_MAX + 200];
    (void)values;
    call->upgrade.done = upgraded;
    call->forget = forget_upgrade;
    call->patience = UPGRADE_PATIENCE;
    call->too_late = "the upgrade is still under way: the log will say how it ends";
    if (!upgrade_begin(call->means->upgrade, &call->upgrade, err, sizeof err))
        control_failed(call, "%s", err);
}

// Lasts until a reload finds another level in the file than the last one did.
static void
run_log_level(struct control_call *call, const struct control_value *values)
{
    const char *const *names = config_keys[KEY_LOG_LEVEL].choices;
    int before = atomic_exchange(&log_threshold, (int)values[0].choice);
    control_done(call, json_pack("{s:{s:s, s:s}}", "result", "log_level", names[values[0].choice],
                                 "before", names[before]));
}

const struct control_command control_commands[] = {
    {.name = "json", .run = run_json},
    {.name = "reload", .changes = true, .run = run_reload},
    {.name = "drain", .changes = true, .run = run_drain},
    {.name = "upgrade", .changes = true, .run = run_upgrade},
    {.name = "log-level",
     .changes = true,
     .arguments = {{.name = "level", .choices = config_keys[KEY_LOG_LEVEL].choices}},
     .run = run_log_level},
    {.name = "verdict",
     .changes = true,
     .arguments = {{.name = "export"},
                   {.name = "verdict", .choices = control_verdict_words},
                   {.name = "upstream", .optional = true}},
     .run = control_verdict},
    {0},
};
