// SPDX-License-Identifier: BSD-3-Clause
// A few threads that may block in getaddrinfo(), so that no ring does. More than one, so that a
// name whose server is away does not hold up the others.
#include "resolver.h"
#include "ring_inside.h"

#include <errno.h>
#include <io/dial.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#define THREADS 4
// getaddrinfo() cannot be interrupted; a thread still in it after so long is left to end by itself.
#define STOP_WAIT_MS 200

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t asked = PTHREAD_COND_INITIALIZER; // something was, or the resolver stops
static pthread_cond_t gone = PTHREAD_COND_INITIALIZER;  // a thread has ended
// Under the lock: those waiting, in order; those being looked up; the threads.
static struct question *waiting, **waiting_last = &waiting;
static struct question *at_work;
static int threads;
static bool started, stopping;

void
question_free(struct question *q)
{
    if (q->found)
        freeaddrinfo(q->found);
    free(q);
}

static void
look_up(struct question *q)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    q->error = getaddrinfo(q->host, q->port, &hints, &q->found);
    q->system_error = errno;
}

static void
done(struct question *q)
{
    struct question **p = &at_work;
    while (*p != q)
        p = &(*p)->next;
    *p = q->next;
    // Under the lock, so that the ring cannot go between the question and the post.
    if (q->ring)
        ring_post(q->ring, &q->letter);
    else
        question_free(q);
}

static void *
work(void *unused)
{
    pthread_mutex_lock(&lock);
    while (!stopping) {
        struct question *q = waiting;
        if (!q) {
            pthread_cond_wait(&asked, &lock);
            continue;
        }
        waiting = q->next;
        if (!waiting)
            waiting_last = &waiting;
        q->next = at_work;
        at_work = q;
        pthread_mutex_unlock(&lock);
        look_up(q);
        pthread_mutex_lock(&lock);
        done(q);
    }
    threads--;
    pthread_cond_signal(&gone);
    pthread_mutex_unlock(&lock);
    return NULL;
}

static bool
start_thread(void)
{
    pthread_attr_t attr;
    pthread_t thread;
    if (pthread_attr_init(&attr))
        return false;
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    // Signals are for those who wait for them.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&thread, &attr, work, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return rc == 0;
}

bool
resolver_start(void)
{
    pthread_mutex_lock(&lock);
    stopping = false;
    while (threads < THREADS && start_thread())
        threads++;
    started = threads > 0; // fewer do, too
    bool ok = started;
    pthread_mutex_unlock(&lock);
    return ok;
}

void
resolver_stop(void)
{
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_nsec += STOP_WAIT_MS * 1000000L;
    end.tv_sec += end.tv_nsec / 1000000000L;
    end.tv_nsec %= 1000000000L;
    pthread_mutex_lock(&lock);
    started = false;
    stopping = true;
    pthread_cond_broadcast(&asked);
    while (threads > 0 && pthread_cond_timedwait(&gone, &lock, &end) != ETIMEDOUT)
        ;
    for (struct question *q = waiting, *next; q; q = next) {
        next = q->next;
        question_free(q);
    }
    waiting = NULL;
    waiting_last = &waiting;
    for (struct question *q = at_work; q; q = q->next)
        q->ring = NULL;
    pthread_mutex_unlock(&lock);
}

bool
resolve(struct ring *r, struct question *q, void (*answered)(struct letter *l))
{
    q->ring = r;
    q->letter.deliver = answered;
    q->next = NULL;
    pthread_mutex_lock(&lock);
    bool ok = started;
    if (ok) {
        *waiting_last = q;
        waiting_last = &q->next;
        pthread_cond_signal(&asked);
    }
    pthread_mutex_unlock(&lock);
    return ok;
}

void
resolver_forget(struct ring *r)
{
    pthread_mutex_lock(&lock);
    for (struct question *q = waiting; q; q = q->next)
        if (q->ring == r)
            q->ring = NULL;
    for (struct question *q = at_work; q; q = q->next)
        if (q->ring == r)
            q->ring = NULL;
    pthread_mutex_unlock(&lock);
}
