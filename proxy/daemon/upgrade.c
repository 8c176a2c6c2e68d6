// SPDX-License-Identifier: BSD-3-Clause
#include "upgrade.h"

#include "memory.h"
#include "upgrade_spawn.h"

#include <base/log.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_PATIENCE (30 * NS_PER_SEC)
#define HAND_PATIENCE  (10 * NS_PER_SEC)
#define RESERVE        ((size_t)1 << 20) // for the names of sockets, and the environment

#define UPGRADE_OF(p, member) ((struct upgrade *)((char *)(p)-offsetof(struct upgrade, member)))

void
upgrade_init(struct upgrade *u, struct ring *ring, char *const *argv)
{
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    u->ring = ring;
    u->argv = argv;
    u->channel.fd = u->ended.fd = -1;
    if (n > 0) {
        path[n] = '\0';
        u->binary = need_copy(path);
    }
}

void
upgrade_free(struct upgrade *u)
{
    free(u->binary);
    u->binary = NULL;
}

static void
tell_all(struct upgrade *u, pid_t pid, const char *error)
{
    struct upgrade_waiter *w = u->waiting;
    u->waiting = NULL;
    while (w) {
        struct upgrade_waiter *next = w->next;
        w->done(w, pid, error);
        w = next;
    }
}

static void
close_watch(struct upgrade *u, struct watch *w)
{
    if (w->fd < 0)
        return;
    ring_unwatch(u->ring, w);
    close(w->fd);
    w->fd = -1;
}

// The child must not be needed any more, or be dead. Killing it kills its child, unless that
// serves. Returns how it had ended, or 0 if that was by us.
static int
let_child_go(struct upgrade *u)
{
    int status = 0;
    timer_cancel(u->ring, &u->patience);
    close_watch(u, &u->ended);
    bool was_dead = waitpid(u->started, &status, WNOHANG) == u->started;
    if (!was_dead) {
        if (u->phase != UPGRADE_DONE && u->successor > 0) // who may not be tied to it
            kill(u->successor, SIGKILL);
        kill(u->started, SIGKILL);
        while (waitpid(u->started, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    u->started = 0;
    return was_dead ? status : 0;
}

static const char *
how_it_ended(int status, char *text, size_t cap)
{
    if (WIFSIGNALED(status))
        snprintf(text, cap, "it was killed by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else
        snprintf(text, cap, "it ended with exit status %d; its own words are in the log",
                 WEXITSTATUS(status));
    return text;
}

// `why`: if the new process has not said it itself.
static void
fail(struct upgrade *u, const char *why)
{
    char error[UPGRADE_WORD_MAX + 200], ended[128];
    bool handing = u->phase == UPGRADE_HANDING;
    int status = let_child_go(u);
    close_watch(u, &u->channel);
    u->phase = UPGRADE_NONE;
    if (*u->cause)
        why = u->cause;
    else if (status)
        why = how_it_ended(status, ended, sizeof ended);
    snprintf(error, sizeof error, "upgrade failed, the running process goes on: %s: %s", u->binary,
             why);
    log_error("%s", error);
    if (handing)
        u->take_back(u);
    tell_all(u, 0, error);
}

static void
tell_new(struct upgrade *u, const char *word)
{
    // If that fails its end will be noticed.
    ssize_t sent = send(u->channel.fd, word, strlen(word), MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)sent;
}

static void
new_is_ready(struct upgrade *u)
{
    u->phase = UPGRADE_HANDING;
    if (!u->let_go(u)) {
        fail(u, "state-dir does not answer, so that what is known cannot go over: does its disk "
                "hang?");
        return;
    }
    timer_set(u->ring, &u->patience, ring_clock(u->ring) + HAND_PATIENCE);
    tell_new(u, "go");
}

static void
new_is_serving(struct upgrade *u)
{
    pid_t pid = u->successor;
    u->phase = UPGRADE_DONE;
    (void)let_child_go(u);
    log_info("upgrade: process %ld serves now; this one keeps its connections until they end",
             (long)pid);
    u->done(u, pid);
    tell_new(u, "told"); // systemd has been
    close_watch(u, &u->channel);
    tell_all(u, pid, NULL);
}

static void
heard(struct watch *w)
{
    struct upgrade *u = UPGRADE_OF(w, channel);
    char word[UPGRADE_WORD_MAX];
    ssize_t n = recv(w->fd, word, sizeof word - 1, MSG_DONTWAIT);
    if (n <= 0) { // its end is watched, too
        if (n == 0)
            ring_unwatch(u->ring, w);
        return;
    }
    word[n] = '\0';
    if (strncmp(word, "pid ", 4) == 0)
        u->successor = (pid_t)strtol(word + 4, NULL, 10);
    else if (strncmp(word, "failed ", 7) == 0)
        snprintf(u->cause, sizeof u->cause, "%s", word + 7);
    else if (strcmp(word, "ready") == 0 && u->phase == UPGRADE_STARTING && u->successor > 0)
        new_is_ready(u);
    else if (strcmp(word, "serving") == 0 && u->phase == UPGRADE_HANDING)
        new_is_serving(u);
}

static void
child_ended(struct watch *w)
{
    struct upgrade *u = UPGRADE_OF(w, ended);
    while (u->channel.id && *u->cause == '\0') { // what it said last
        char word[UPGRADE_WORD_MAX];
        ssize_t n = recv(u->channel.fd, word, sizeof word - 1, MSG_DONTWAIT);
        if (n <= 0)
            break;
        word[n] = '\0';
        if (strncmp(word, "failed ", 7) == 0)
            snprintf(u->cause, sizeof u->cause, "%s", word + 7);
    }
    fail(u, "it ended");
}

static void
too_long(struct timer *t)
{
    struct upgrade *u = UPGRADE_OF(t, patience);
    char why[80];
    nstime most = u->phase == UPGRADE_STARTING ? START_PATIENCE : HAND_PATIENCE;
    snprintf(why, sizeof why, "it is not ready after %" PRIu64 " s, and has been killed",
             most / NS_PER_SEC);
    fail(u, why);
}

static bool
start_new(struct upgrade *u, char *err, size_t errlen)
{
    struct handed sockets = {0};
    u->hand(u, &sockets);
    *u->cause = '\0';
    u->successor = 0;
    u->started = upgrade_spawn(u->binary, u->argv, &sockets, &u->channel.fd, err, errlen);
    handed_clear(&sockets);
    if (u->started < 0)
        return false;
    u->ended.fd = pidfd_open(u->started, 0);
    if (u->ended.fd >= 0)
        return true;
    snprintf(err, errlen, "pidfd_open: %s", strerror(errno));
    (void)let_child_go(u);
    close_watch(u, &u->channel);
    return false;
}

static bool
may_begin(const struct upgrade *u, char *err, size_t errlen)
{
    if (u->over)
        snprintf(err, errlen, "upgrade refused: the process is ending");
    else if (u->phase == UPGRADE_DONE)
        snprintf(err, errlen, "upgrade refused: process %ld has taken over already",
                 (long)u->successor);
    else if (u->phase != UPGRADE_NONE)
        snprintf(err, errlen, "upgrade refused: another one is under way");
    else if (getpid() == 1)
        snprintf(err, errlen,
                 "upgrade refused: this is process 1, with whose end the container ends: replace "
                 "the container");
    else if (!u->binary || !u->argv)
        snprintf(err, errlen, "upgrade refused: the path of this program is not known");
    else
        return true;
    log_warn("%s", err);
    return false;
}

bool
upgrade_begin(struct upgrade *u, struct upgrade_waiter *w, char *err, size_t errlen)
{
    char cause[512];
    if (!may_begin(u, err, errlen))
        return false;
    if (!memory_reserve(RESERVE)) { // a process that serves must not end for this
        snprintf(err, errlen, "upgrade refused: out of memory");
        log_warn("%s", err);
        return false;
    }
    bool started = start_new(u, cause, sizeof cause);
    memory_release();
    if (!started) {
        snprintf(err, errlen, "upgrade failed, the running process goes on: cannot start %s: %s",
                 u->binary, cause);
        log_error("%s", err);
        return false;
    }
    log_info("upgrade: starting %s", u->binary);
    u->phase = UPGRADE_STARTING;
    u->channel.ready = heard;
    u->ended.ready = child_ended;
    u->patience.fire = too_long;
    ring_watch(u->ring, &u->channel);
    ring_watch(u->ring, &u->ended);
    timer_set(u->ring, &u->patience, ring_clock(u->ring) + START_PATIENCE);
    if (w) {
        w->next = u->waiting;
        u->waiting = w;
    }
    return true;
}

void
upgrade_forget(struct upgrade *u, struct upgrade_waiter *w)
{
    struct upgrade_waiter **p = &u->waiting;
    while (*p && *p != w)
        p = &(*p)->next;
    if (*p)
        *p = w->next;
}

bool
upgrade_under_way(const struct upgrade *u)
{
    return u->phase == UPGRADE_STARTING || u->phase == UPGRADE_HANDING;
}

void
upgrade_cancel(struct upgrade *u)
{
    u->over = true;
    if (upgrade_under_way(u)) {
        *u->cause = '\0';
        fail(u, "the process has been asked to end");
    }
}
