// SPDX-License-Identifier: BSD-3-Clause
#include "signals.h"

#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

static sigset_t
ours(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR2);
    return set;
}

void
signals_block(void)
{
    sigset_t set = ours();
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static void
ready(struct watch *w)
{
    struct signals *s = (struct signals *)w; // its first member
    struct signalfd_siginfo info;
    if (read(w->fd, &info, sizeof info) == (ssize_t)sizeof info)
        s->got(s, (int)info.ssi_signo);
}

bool
signals_start(struct signals *s, struct ring *r)
{
    sigset_t set = ours();
    s->watch = (struct watch){.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC), .ready = ready};
    if (s->watch.fd < 0)
        return false;
    ring_watch(r, &s->watch);
    return true;
}

void
signals_stop(struct signals *s, struct ring *r)
{
    ring_unwatch(r, &s->watch);
    close(s->watch.fd);
}
