// SPDX-License-Identifier: BSD-3-Clause
// Files are read right here, on the thread that accepts connections and answers the control socket.
// A file that does not come, on a file server that is gone, holds these up until it does; the
// workers, and with them all I/O of connections that exist, are other threads, and never wait
// for it.
#include "reload.h"

#include "config_changes.h"
#include "control.h"
#include "files.h"
#include "memory.h"
#include "snapshot.h"
#include "upgrade.h"

#include <base/log.h>
#include <errno.h>
#include <session/health.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CAUSE 800

#define RESERVE        ((size_t)16 << 20)
#define RESERVE_A_BYTE 512u // a section of ten bytes has a value for every key

// Replies ---------------------------------------------------------------------------------

// Each of the faults as a line; `warnings`: these only, or these not.
static json_t *
lines_of(const struct faults *f, const char *file, bool warnings)
{
    json_t *list = json_array();
    for (size_t i = 0; i < f->n; i++) {
        char line[LOG_LINE_MAX], number[16] = "";
        const struct fault *one = &f->list[i];
        if (one->warning != warnings)
            continue;
        if (one->line)
            snprintf(number, sizeof number, "%u:", one->line);
        snprintf(line, sizeof line, "%s:%s %s", file, number, one->text);
        json_array_append_new(list, snapshot_text(line));
    }
    return list;
}

static json_t *
refuse(const struct reload *r, struct faults *f)
{
    char error[128];
    const char *file = r->options->config;
    faults_log(f, file);
    snprintf(error, sizeof error, "reload refused: %zu fault%s; the running configuration stays",
             f->errors, f->errors == 1 ? "" : "s");
    log_error("%s", error);
    return json_pack("{s:s, s:o}", "error", error, "faults", lines_of(f, file, false));
}

// Applying --------------------------------------------------------------------------------

static bool
open_metrics(struct reload *r, const struct config *next, struct faults *f)
{
    char err[CAUSE];
    if (metrics_listen(r->metrics, next->has_metrics ? &next->metrics : NULL, err, sizeof err))
        return true;
    const char *hint = privileges_hint(errno);
    const struct config_section *proxy = config_section_find(&next->document, SECTION_PROXY, "");
    fault_at(f, proxy ? proxy->values[KEY_METRICS_LISTEN].line : 0, "%s%s", err, hint);
    return false;
}

// All or nothing: what may still fail comes before anything changes.
static bool
change_listeners(struct reload *r, const struct config *next, struct faults *f)
{
    char err[CAUSE];
    const struct listener_settings *failed = NULL;
    if (listeners_change(r->listeners, next, f, &failed, err, sizeof err))
        return true;
    const struct config_section *s =
        config_section_find(&next->document, SECTION_LISTEN, failed->name);
    fault_at(f, s ? s->values[KEY_LISTEN_ADDRESS].line : 0, "%s", err);
    return false;
}

// What is logged from now on: what the file says, if that is not what it said before; else what an
// administrator has asked for since stays. What the reload itself has to say is logged if it would
// have been before, or will be.
static int
change_log_level(const struct reload *r, const struct config *next, struct faults *f)
{
    const struct options *o = r->options;
    int before = atomic_load(&log_threshold);
    bool differs = next->log_level != r->config->log_level;
    if (o->has_log_level && differs)
        warning_at(f, 0, "log-level has no effect: --log-level has precedence");
    int level = o->has_log_level || !differs ? before : (int)next->log_level;
    atomic_store(&log_threshold, level > before ? level : before);
    return level;
}

static void
begin_upstreams(const struct config *old, const struct config *next)
{
    for (unsigned i = 0; i < next->settings->n_upstreams; i++) {
        const struct upstream_settings *u = &next->settings->upstreams[i];
        upstream_begins(u, config_upstream_moved(&old->document, &next->document, u->name));
    }
}

static bool
has_tls(const struct settings *s)
{
    bool has = false;
    for (unsigned i = 0; i < s->n_listeners; i++)
        has |= s->listeners[i].tls_context != NULL;
    for (unsigned i = 0; i < s->n_upstreams; i++)
        has |= s->upstreams[i].tls != NULL;
    return has;
}

static void
note_change(void *ctx, const char *line)
{
    log_info("reload: %s", line);
    json_array_append_new(ctx, snapshot_text(line));
}

// What needs a restart stays what it is, for whoever reads it later, too.
static void
keep_state_dir(const struct config *old, struct config *next)
{
    free(next->settings->state_dir);
    next->settings->state_dir = need_copy(old->settings->state_dir);
}

static json_t *
apply(struct reload *r, struct config *next, struct faults *f)
{
    const char *file = r->options->config;
    json_t *changes = json_array();
    keep_state_dir(r->config, next);
    int log_level = change_log_level(r, next, f);
    config_changes(&r->config->document, &next->document, f, note_change, changes);
    unsigned most =
        allowed_connections(next->max_connections, r->threads, next->settings->n_listeners, f);
    listeners_limit(r->listeners, most, next->max_per_client);
    control_change(r->control, next, f);
    begin_upstreams(r->config, next);
    if (!metrics_serve(r->metrics))
        warning_at(f, 0, "metrics-listen: cannot start the HTTP server's thread");
    if (has_tls(next->settings))
        note_change(changes, "certificates and PSK files have been read anew");
    if (!workers_scratch(r->workers, next->settings))
        warning_at(f, 0,
                   "scratch needs a restart, since there was none: until then none is measured");
    config_free(r->config);
    r->config = next;
    faults_log(f, file);
    log_info("reloaded %s", file);
    atomic_store(&log_threshold, log_level);
    return json_pack("{s:{s:o, s:o}}", "result", "changes", changes, "warnings",
                     lines_of(f, file, true));
}

// More than the sections of a file of that length become: a process that serves must not end for
// want of memory in the midst of a reload.
static size_t
memory_wanted(const char *file)
{
    struct stat st;
    size_t len = stat(file, &st) == 0 && st.st_size < CONFIG_BYTES_MAX ? (size_t)st.st_size
                                                                       : CONFIG_BYTES_MAX;
    return RESERVE + len * RESERVE_A_BYTE;
}

static struct config *
read_file(const struct reload *r, struct faults *f)
{
    const char *file = r->options->config;
    if (memory_reserve(memory_wanted(file)))
        return config_reload(file, r->config, f);
    fault_at(f, 0, "out of memory: it has not been read");
    return NULL;
}

static json_t *
read_anew(struct reload *r)
{
    struct faults f = {0};
    notify_reloading(r->notifier);
    struct config *next = read_file(r, &f);
    json_t *reply;
    bool good = next && open_metrics(r, next, &f) && change_listeners(r, next, &f);
    if (good) {
        reply = apply(r, next, &f);
    } else {
        metrics_cancel(r->metrics);
        config_free(next);
        reply = refuse(r, &f);
    }
    faults_clear(&f);
    memory_release();
    notify_reloaded(r->notifier, !good);
    return reply;
}

json_t *
reload_now(struct reload *r)
{
    char error[128];
    const char *why = r->over;
    // Sockets are on their way to a successor, which has read the file.
    bool upgrading = !why && r->upgrade && upgrade_under_way(r->upgrade);
    if (upgrading)
        why = "an upgrade is under way, ask again when it is over";
    if (!why)
        return read_anew(r);
    if (upgrading) { // systemd waits for both words
        notify_reloading(r->notifier);
        notify_reloaded(r->notifier, true);
    }
    snprintf(error, sizeof error, "reload refused: %s", why);
    log_warn("%s", error);
    return json_pack("{s:s}", "error", error);
}
