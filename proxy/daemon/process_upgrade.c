// SPDX-License-Identifier: BSD-3-Clause
// What an upgrade does to the process that is upgraded: it gives up its sockets and its state, and
// stays for its connections.
#include "process_inside.h"

#include <base/log.h>
#include <stddef.h>
#include <stdio.h>

#define LOOK_EVERY    (200 * NS_PER_MS)
#define SAVE_WITHIN_S 2 // this thread has other things to do, the watchdog among them
#define ERROR_LINE    800

#define PROCESS_OF(p, member) ((struct process *)((char *)(p)-offsetof(struct process, member)))

static void
hand(struct upgrade *u, struct handed *to)
{
    struct process *p = PROCESS_OF(u, upgrade);
    listeners_hand(p->listeners, to);
    control_hand(p->reload.control, to);
    metrics_hand(p->metrics, to);
    to->state_dir = p->reload.config->settings->state_dir;
}

// What is learnt from here on is not saved: the files are the successor's, which reads them next.
static bool
let_go(struct upgrade *u)
{
    struct process *p = PROCESS_OF(u, upgrade);
    listeners_pause(p->listeners);
    control_accept(p->reload.control, false);
    (void)workers_scratch(p->workers, NULL);
    if (!state_keeper_stop(p->state, SAVE_WITHIN_S))
        return false;
    p->state = p->means.state = NULL;
    return true;
}

static void
take_back(struct upgrade *u)
{
    struct process *p = PROCESS_OF(u, upgrade);
    const struct settings *settings = p->reload.config->settings;
    char err[ERROR_LINE];
    if (p->ends_asked)
        return;
    if (*settings->state_dir && !p->state)
        p->state = p->means.state =
            state_keeper_start(p->registry, settings->state_dir, err, sizeof err);
    if (*settings->state_dir && !p->state)
        log_error("%s: verdicts are not saved any more", err);
    (void)workers_scratch(p->workers, p->reload.config->settings);
    listeners_resume(p->listeners);
    control_accept(p->reload.control, true);
}

static void
look(struct timer *t)
{
    struct process *p = PROCESS_OF(t, leaving);
    nstime now = ring_now(p->ring);
    if (!counters_active(p->reload.config->counters))
        process_ends(p, "the last connection has ended");
    else if (p->leaves_at && now >= p->leaves_at)
        process_ends(p, "upgrade-timeout");
    else
        timer_set(p->ring, t, now + LOOK_EVERY);
}

static void
leave(struct upgrade *u, pid_t successor)
{
    struct process *p = PROCESS_OF(u, upgrade);
    nstime now = ring_clock(p->ring), most = p->reload.config->upgrade_timeout;
    watchdog_stop(p->watchdog);
    notify_successor(&p->notifier, successor);
    listeners_own(p->listeners, false, NULL);
    listeners_close(p->listeners);
    control_leave(p->reload.control);
    metrics_leave(p->metrics);
    snprintf(p->over, sizeof p->over, "process %ld has taken over", (long)successor);
    p->reload.over = p->over;
    p->leaves_at = most ? now + most : 0;
    p->leaving.fire = look;
    timer_set(p->ring, &p->leaving, now);
}

void
process_upgradable(struct process *p)
{
    p->reload.upgrade = &p->upgrade;
    upgrade_init(&p->upgrade, p->ring, p->reload.options->argv);
    p->upgrade.hand = hand;
    p->upgrade.let_go = let_go;
    p->upgrade.take_back = take_back;
    p->upgrade.done = leave;
}

void
process_own_sockets(struct process *p)
{
    struct faults f = {0};
    listeners_own(p->listeners, true, &f);
    control_own(p->reload.control);
    control_change(p->reload.control, p->reload.config, &f);
    faults_log(&f, p->reload.options->config);
    faults_clear(&f);
    inherited_drop(true);
}
