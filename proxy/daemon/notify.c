// SPDX-License-Identifier: BSD-3-Clause
#include "notify.h"

#include <base/log.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#define STATUS_EVERY (2 * NS_PER_SEC)
// While draining: asked for more often than it ends, for systemd counts from each message.
#define EXTEND_BY    (15 * NS_PER_SEC)
#define EXTEND_EVERY (3 * NS_PER_SEC)
#define DRAIN_GRACE  (5 * NS_PER_SEC) // after the deadline: a probe's chunk, the last letters

static void
send_state(const struct notifier *n, const char *state)
{
    static bool told; // once is enough: it is the same every time
    if (n->quiet)
        return;
    int rc = sd_notify(false, state);
    if (rc < 0 && !told) {
        told = true;
        log_warn("cannot tell systemd ($NOTIFY_SOCKET): %s; it may take this process for hung",
                 strerror(-rc));
    }
}

static const char *
status(const struct notifier *n, char *text, size_t cap)
{
    unsigned connections = counters_active(n->listeners->admission.counters);
    snprintf(text, cap, "%s%u listener%s, %u connection%s", n->ends_at ? "draining: " : "",
             n->listeners->n, n->listeners->n == 1 ? "" : "s", connections,
             connections == 1 ? "" : "s");
    return text;
}

static void
renew_status(struct notifier *n)
{
    char text[sizeof n->told], state[sizeof text + 16];
    if (strcmp(status(n, text, sizeof text), n->told) == 0)
        return;
    memcpy(n->told, text, sizeof text);
    snprintf(state, sizeof state, "STATUS=%s", text);
    send_state(n, state);
}

static void
ask_for_time(const struct notifier *n)
{
    char state[64];
    snprintf(state, sizeof state, "EXTEND_TIMEOUT_USEC=%" PRIu64, EXTEND_BY / 1000);
    send_state(n, state);
}

static void
tick(struct timer *t)
{
    struct notifier *n = (struct notifier *)((char *)t - offsetof(struct notifier, timer));
    nstime now = ring_now(n->ring);
    renew_status(n);
    if (n->ends_at && now < n->ends_at)
        ask_for_time(n);
    timer_set(n->ring, t, now + (n->ends_at ? EXTEND_EVERY : STATUS_EVERY));
}

static void
say_ready(struct notifier *n, const char *note)
{
    char state[sizeof n->told + 160];
    status(n, n->told, sizeof n->told);
    snprintf(state, sizeof state, "READY=1\nMAINPID=%ld\nSTATUS=%s%s", (long)getpid(), n->told,
             note);
    send_state(n, state);
    if (*note)
        *n->told = '\0'; // the next status takes it away
    n->timer.fire = tick;
    timer_set(n->ring, &n->timer, ring_clock(n->ring) + (*note ? 30 : 1) * STATUS_EVERY);
}

void
notify_ready(struct notifier *n)
{
    say_ready(n, "");
}

void
notify_reloading(struct notifier *n)
{
    char state[96];
    // The clock that systemd compares it with is the one of rings.
    snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
             ring_clock(n->ring) / 1000);
    send_state(n, state);
}

void
notify_reloaded(struct notifier *n, bool refused)
{
    say_ready(n, refused ? "; the last reload was refused, see the log" : "");
}

void
notify_stopping(struct notifier *n, nstime deadline)
{
    n->ends_at = deadline ? deadline + DRAIN_GRACE : 0;
    send_state(n, "STOPPING=1");
    renew_status(n);
    if (!deadline)
        return;
    ask_for_time(n);
    n->timer.fire = tick;
    timer_set(n->ring, &n->timer, ring_clock(n->ring) + EXTEND_EVERY);
}

void
notify_successor(struct notifier *n, pid_t pid)
{
    char state[64];
    snprintf(state, sizeof state, "MAINPID=%ld", (long)pid);
    send_state(n, state);
    n->quiet = true;
    timer_cancel(n->ring, &n->timer);
}

void
notify_alive(const struct notifier *n)
{
    send_state(n, "WATCHDOG=1");
}
