// SPDX-License-Identifier: BSD-3-Clause
#include "process.h"

#include "become_user.h"
#include "files.h"
#include "log.h"
#include "process_inside.h"
#include "state_file.h"
#include "successor.h"

#include <errno.h>
#include <export/lock.h>
#include <export/registry.h>
#include <io/dial.h>
#include <session/scratch.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// After the second signal a probe's chunk may take 1 s to be written back; what is under way
// upstream then keeps its guard for 1 s, and connections have 1 s to be closed. What has not ended
// a second after that is stuck.
#define GIVE_UP (4 * NS_PER_SEC)

#define ERROR_LINE 800

#define LAST_SAVE_WITHIN_S 10

// From here on nobody but us has a letter for this ring or will have one.
static void
all_quiet(void *ctx)
{
    struct process *p = ctx;
    ring_stop(p->ring);
}

static void
all_drained(void *ctx)
{
    struct process *p = ctx;
    control_close(p->reload.control);
    p->reload.control = NULL;
    metrics_close(p->metrics);
    collector_close(&p->collector, all_quiet, p);
}

static void
give_up(struct timer *t)
{
    static const char text[] = "error a worker thread is stuck: ending without it\n";
    // Not by the log: its thread may be stuck, too.
    ssize_t written = write(STDERR_FILENO, text, sizeof text - 1);
    (void)written;
    _exit(1);
}

// systemd ends what is left of a service by a second SIGTERM as soon as its main process has ended.
// Who has handed over is not that process, and has its own drain-timeout.
static void
asked_to_end(struct process *p)
{
    if (p->ends_asked && p->upgrade.phase == UPGRADE_DONE)
        log_info("SIGTERM again: this process drains already; SIGINT ends it now");
    else
        process_ends(p, "SIGTERM");
}

void
process_ends(struct process *p, const char *why)
{
    nstime now = ring_clock(p->ring);
    if (++p->ends_asked == 1) {
        log_info("%s: draining", why);
        upgrade_cancel(&p->upgrade);
        timer_cancel(p->ring, &p->leaving);
        p->reload.over = "the process is ending";
        listeners_close(p->listeners);
        notify_stopping(&p->notifier, now + p->reload.config->drain_timeout);
        workers_drain(p->workers, now + p->reload.config->drain_timeout, all_drained, p);
    } else if (p->ends_asked == 2) {
        log_info("%s again: ending now", why);
        p->give_up.fire = give_up;
        timer_set(p->ring, &p->give_up, now + GIVE_UP);
        workers_drain(p->workers, now, all_drained, p);
    }
}

static bool
drain(void *process, const char *who)
{
    struct process *p = process;
    char why[128];
    if (p->ends_asked)
        return false;
    snprintf(why, sizeof why, "control socket, %s", who);
    process_ends(p, why);
    return true;
}

static void
got_signal(struct signals *s, int number)
{
    struct process *p = (struct process *)s;
    char err[ERROR_LINE]; // it is in the log
    switch (number) {
    case SIGTERM: asked_to_end(p); break;
    case SIGINT: process_ends(p, "SIGINT"); break;
    case SIGHUP: json_decref(reload_now(&p->reload)); break;
    case SIGUSR2: (void)upgrade_begin(&p->upgrade, NULL, err, sizeof err); break;
    default: break;
    }
}

// errno says why not.
static bool
can_lock(const char *path)
{
    struct export_lock l = lock_open(path, (struct bytes){0}, (struct bytes){0});
    bool can = lock_shared(&l) || (l.fd >= 0 && lock_is_taken(errno));
    int error = errno;
    lock_close(&l);
    errno = error;
    return can;
}

// It is used all the same: what it lacks may come.
static const char *
usable_state_dir(const char *path)
{
    if (!*path)
        return "";
    if (!make_directories(path, 0700))
        log_warn(
            "state-dir %s: cannot be made: %s; nothing will be measured from inside a request, "
            "and no verdict outlives this process: %s",
            path, strerror(errno), state_file_remedy(errno));
    return path;
}

// As the user that the process has become.
static void
check_state_dir(struct registry *r, const char *path)
{
    struct stat st;
    int error = 0;
    if (!*path)
        return;
    if (!can_lock(path)) {
        error = errno;
        registry_lock_told(r, error);
    } else if (access(path, R_OK | W_OK | X_OK) < 0) {
        error = errno;
    }
    // Else it has been said that it cannot be made.
    if (error && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        log_warn(
            "state-dir %s: cannot be used: %s; nothing will be measured from inside a request, "
            "and no verdict outlives this process: %s",
            path, strerror(error), state_file_remedy(error));
}

// False, with one line in err: a socket that was asked for by name cannot be had.
static bool
open_control(struct process *p, char *err, size_t errlen)
{
    const struct config *c = p->reload.config;
    if (!*c->control_socket)
        return true;
    p->means = (struct control_means){.ring = p->ring,
                                      .collector = &p->collector,
                                      .reload = &p->reload,
                                      .registry = p->registry,
                                      .counts = &p->control_counts,
                                      .drain = drain,
                                      .upgrade = &p->upgrade,
                                      .process = p};
    p->reload.control = control_open(&p->means, c, err, errlen);
    if (!p->reload.control && !c->control_socket_given)
        log_warn("%s; nbdzero-stat will not reach this process", err);
    return p->reload.control || !c->control_socket_given;
}

static bool
open_metrics(struct process *p, char *err, size_t errlen)
{
    const struct config *c = p->reload.config;
    p->metrics = p->reload.metrics = metrics_new(p->ring, &p->collector);
    return metrics_listen(p->metrics, c->has_metrics ? &c->metrics : NULL, err, errlen);
}

static bool
start_workers(struct process *p, unsigned threads, char *err, size_t errlen)
{
    const struct config *c = p->reload.config;
    const char *state_dir = usable_state_dir(c->settings->state_dir);
    bool measures = scratch_wanted(c->settings);
    p->registry = registry_new(state_dir, threads + measures);
    if (!p->registry) {
        snprintf(err, errlen, "out of memory at start");
        return false;
    }
    p->listeners = listeners_open(p->ring, c, err, errlen);
    if (!p->listeners)
        return false;
    p->resolving = resolver_start();
    if (!p->resolving) {
        snprintf(err, errlen, "cannot start the resolver thread");
        return false;
    }
    p->workers = workers_start(p->ring, p->registry, threads, measures, err, errlen);
    return p->workers;
}

// What is inherited is the predecessor's until it lets go; until then this can fail without anybody
// noticing. No export is open yet.
static bool
take_over(struct process *p, bool successor, char *err, size_t errlen)
{
    const char *state_dir = p->reload.config->settings->state_dir;
    if (successor && !successor_ready(err, errlen))
        return false;
    state_restore(p->registry, state_dir, ring_clock(p->ring));
    if (*state_dir)
        p->state = p->means.state = state_keeper_start(p->registry, state_dir, err, errlen);
    if (*state_dir && !p->state)
        return false;
    if (!metrics_serve(p->metrics)) {
        snprintf(err, errlen, "metrics-listen: cannot start the HTTP server's thread");
        return false;
    }
    process_own_sockets(p);
    return true;
}

static void
serve(struct process *p, unsigned threads, unsigned most, bool successor)
{
    listeners_limit(p->listeners, most, p->reload.config->max_per_client);
    listeners_start(p->listeners, p->workers);
    (void)workers_scratch(p->workers, p->reload.config->settings);
    log_info("nbdzero-proxy " NBDZERO_VERSION " serves with %u thread%s, pid %d", threads,
             threads == 1 ? "" : "s", (int)getpid());
    if (successor)
        successor_serving();
    notify_ready(&p->notifier);
    p->watchdog = watchdog_start(p->ring, p->workers, &p->notifier);
}

// Two processes that serve one export must see each other's locks, or each would measure over the
// other's writes.
static bool
same_locks(const struct config *c, char *err, size_t errlen)
{
    const char *old = successor_state_dir(), *dir = c->settings->state_dir;
    if (!old || strcmp(old, dir) == 0)
        return true;
    snprintf(err, errlen, "state-dir: %s -> %s needs a restart, an upgrade cannot change it",
             *old ? old : "(none)", *dir ? dir : "(none)");
    return false;
}

// The ring comes first: where io_uring is forbidden, that is the one thing to say.
static bool
start(struct process *p, char *err, size_t errlen)
{
    const struct config *c = p->reload.config;
    unsigned threads = c->threads ? c->threads : cpus_allowed();
    if (privileges_will_drop(&c->identity))
        files_owner(c->identity.uid, c->identity.gid);
    p->ring = ring_new(err, errlen);
    if (!p->ring || !inherited_good(err, errlen) || !same_locks(c, err, errlen))
        return false;
    process_upgradable(p);
    unsigned most =
        allowed_connections(c->max_connections, threads, c->settings->n_listeners, NULL);
    if (!start_workers(p, threads, err, errlen))
        return false;
    p->collector = (struct collector){.ring = p->ring,
                                      .workers = p->workers,
                                      .listeners = p->listeners,
                                      .registry = p->registry,
                                      .control = &p->control_counts,
                                      .started = ring_clock(p->ring),
                                      .budget = PICTURES_BUDGET};
    p->reload.listeners = p->listeners;
    p->reload.workers = p->workers;
    p->reload.threads = threads;
    p->reload.notifier = &p->notifier;
    p->notifier = (struct notifier){.ring = p->ring, .listeners = p->listeners};
    if (!open_control(p, err, errlen) || !open_metrics(p, err, errlen) ||
        !become_user(c, p->reload.control, p->reload.options->config, err, errlen))
        return false;
    if (p->reload.options->successor)
        successor_tied();
    check_state_dir(p->registry, c->settings->state_dir);
    p->signals.got = got_signal;
    if (!signals_start(&p->signals, p->ring)) {
        snprintf(err, errlen, "cannot watch signals: %s", strerror(errno));
        return false;
    }
    if (!inherited_all_used(err, errlen) ||
        !take_over(p, p->reload.options->successor, err, errlen))
        return false;
    serve(p, threads, most, p->reload.options->successor);
    return true;
}

static void
give_up_saving(void)
{
    log_error("state-dir does not answer: ending without saving what changed last");
    log_stop();
    _exit(1);
}

static void
clean_up(struct process *p)
{
    control_close(p->reload.control);
    metrics_close(p->metrics);
    if (p->workers)
        workers_stop(p->workers);
    if (p->resolving)
        resolver_stop();
    if (p->listeners) {
        listeners_close(p->listeners);
        listeners_free(p->listeners);
    }
    // Signals are not heeded any more: a disk that hangs must not keep the process.
    if (!state_keeper_stop(p->state, LAST_SAVE_WITHIN_S))
        give_up_saving();
    if (p->registry)
        registry_free(p->registry);
    if (p->ring)
        ring_free(p->ring);
    metrics_free(p->metrics);
    control_picture_drop(&p->means.picture);
    watchdog_free(p->watchdog);
    upgrade_free(&p->upgrade);
    config_free(p->reload.config);
}

int
process_run(struct config *config, const struct options *options)
{
    struct process p = {.reload = {.options = options, .config = config}};
    char err[ERROR_LINE];
    bool started = start(&p, err, sizeof err);
    if (started) {
        ring_run(p.ring);
        signals_stop(&p.signals, p.ring);
        log_info("ended");
    } else {
        log_error("%s", err);
        successor_failed(err);
    }
    clean_up(&p);
    return started ? 0 : 1;
}
