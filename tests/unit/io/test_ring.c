// SPDX-License-Identifier: BSD-3-Clause
// The loop without streams: timers, letters, watches, accepting.
#include "rig.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <io/address.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static struct rig rig;

static void
open_rig(void)
{
    rig_open(&rig);
}

static void
close_rig(void)
{
    rig_close(&rig);
}

TestSuite(ring, .init = open_rig, .fini = close_rig, .timeout = 60);

static void
stop(struct timer *t)
{
    ring_stop(rig.ring);
}

#define TIMERS 500
struct test_timer {
    struct timer timer;
    nstime due;
};
static struct test_timer timers[TIMERS];
static nstime last_due;
static unsigned fired;

static void
fire_in_order(struct timer *t)
{
    struct test_timer *x = (struct test_timer *)t;
    cr_assert_eq(t->when, 0, "a timer that fires is not set");
    cr_assert_leq(x->due, ring_now(rig.ring), "fired early");
    cr_assert_leq(last_due, x->due, "fired out of order");
    last_due = x->due;
    fired++;
}

Test(ring, timers_fire_in_order_and_cancelled_ones_never)
{
    uint64_t rng = 7;
    nstime start = ring_clock(rig.ring);
    for (unsigned i = 0; i < TIMERS; i++)
        timers[i].timer.fire = fire_in_order;
    for (unsigned round = 0; round < 4; round++) { // setting a set timer moves it
        for (unsigned i = 0; i < TIMERS; i++) {
            timers[i].due = start + rng_below(&rng, 30 * NS_PER_MS);
            timer_set(rig.ring, &timers[i].timer, timers[i].due);
        }
    }
    for (unsigned i = 0; i < TIMERS; i += 3)
        timer_cancel(rig.ring, &timers[i].timer);
    struct timer end = {.fire = stop};
    timer_set(rig.ring, &end, start + 35 * NS_PER_MS);
    rig_run(&rig, 5 * NS_PER_SEC);
    cr_assert_eq(fired, TIMERS - (TIMERS + 2) / 3);
    cr_assert_lt(ring_clock(rig.ring) - start, 2 * NS_PER_SEC);
}

static void
fire_again(struct timer *t)
{
    if (++fired < 10)
        timer_set(rig.ring, t, ring_now(rig.ring)); // at once, but in the next turn
    else
        ring_stop(rig.ring);
}

Test(ring, a_timer_may_set_itself)
{
    struct timer t = {.fire = fire_again};
    timer_set(rig.ring, &t, 0);
    rig_run(&rig, 5 * NS_PER_SEC);
    cr_assert_eq(fired, 10);
}

static void
work_long(struct timer *t)
{
    nstime start = ring_clock(rig.ring);
    while (ring_clock(rig.ring) - start < 20 * NS_PER_MS)
        ;
}

Test(ring, remembers_a_long_turn)
{
    struct timer t = {.fire = work_long}, mid = {.fire = stop}, end = {.fire = stop};
    nstime start = ring_clock(rig.ring);
    timer_set(rig.ring, &t, start + NS_PER_MS);
    timer_set(rig.ring, &mid, start + 30 * NS_PER_MS);
    rig_run(&rig, 5 * NS_PER_SEC);
    cr_assert(ring_was_busy(rig.ring, start, 15 * NS_PER_MS));
    cr_assert_not(ring_was_busy(rig.ring, start, 10 * NS_PER_SEC));
    nstime later = ring_clock(rig.ring);
    timer_set(rig.ring, &end, later + 10 * NS_PER_MS);
    rig_run(&rig, 5 * NS_PER_SEC);
    cr_assert(ring_was_busy(rig.ring, start, 15 * NS_PER_MS));
    cr_assert_not(ring_was_busy(rig.ring, later, 15 * NS_PER_MS));
}

// ---- letters

#define SENDERS 4
#define LETTERS 2000
struct test_letter {
    struct letter letter;
    unsigned sender, number;
};
static unsigned next_number[SENDERS];
static unsigned delivered;

static void
deliver(struct letter *l)
{
    struct test_letter *t = (struct test_letter *)l;
    cr_assert_eq(t->number, next_number[t->sender], "letters of one sender come in order");
    next_number[t->sender]++;
    if (++delivered == SENDERS * LETTERS)
        ring_stop(rig.ring);
    free(t);
}

static void *
send_letters(void *sender)
{
    for (unsigned i = 0; i < LETTERS; i++) {
        struct test_letter *t = malloc(sizeof *t);
        *t = (struct test_letter){.sender = (unsigned)(uintptr_t)sender, .number = i};
        t->letter.deliver = deliver;
        ring_post(rig.ring, &t->letter);
        if (i % 64 == 0)
            usleep(200); // so that the ring waits now and then
    }
    return NULL;
}

Test(ring, letters_of_many_threads_all_arrive_in_order)
{
    pthread_t thread[SENDERS];
    for (uintptr_t i = 0; i < SENDERS; i++)
        cr_assert_eq(pthread_create(&thread[i], NULL, send_letters, (void *)i), 0);
    rig_run(&rig, 20 * NS_PER_SEC);
    for (unsigned i = 0; i < SENDERS; i++)
        pthread_join(thread[i], NULL);
    cr_assert_eq(delivered, SENDERS * LETTERS);
}

static void *
run_the_ring(void *unused)
{
    ring_run(rig.ring);
    return NULL;
}

static void
stop_by_letter(struct letter *l)
{
    ring_stop(rig.ring);
}

Test(ring, runs_on_another_thread_than_the_one_that_made_it)
{
    pthread_t thread;
    struct letter l = {.deliver = stop_by_letter};
    cr_assert_eq(pthread_create(&thread, NULL, run_the_ring, NULL), 0);
    usleep(10000);
    ring_post(rig.ring, &l);
    pthread_join(thread, NULL);
}

// ---- watches

static int pipe_fd[2];
static unsigned calls;
static struct watch watched;

static void
read_one_byte(struct watch *w)
{
    char c;
    cr_assert_eq(read(w->fd, &c, 1), 1);
    if (++calls == 3)
        ring_stop(rig.ring);
}

Test(ring, a_watch_is_level_triggered)
{
    cr_assert_eq(pipe(pipe_fd), 0);
    watched = (struct watch){.fd = pipe_fd[0], .ready = read_one_byte};
    ring_watch(rig.ring, &watched);
    cr_assert_eq(write(pipe_fd[1], "abc", 3), 3);
    rig_run(&rig, 5 * NS_PER_SEC);
    cr_assert_eq(calls, 3);
    // It works in a second run, too.
    calls = 2;
    cr_assert_eq(write(pipe_fd[1], "d", 1), 1);
    rig_run(&rig, 5 * NS_PER_SEC);
    cr_assert_eq(calls, 3);
}

static void
unwatch_in_call(struct watch *w)
{
    calls++;
    ring_unwatch(rig.ring, w);
    w->ready = NULL;
}

static void
unwatch_other(struct timer *t)
{
    ring_unwatch(rig.ring, &watched);
    close(watched.fd);
}

Test(ring, no_call_comes_after_unwatch)
{
    signal(SIGPIPE, SIG_IGN);
    cr_assert_eq(pipe(pipe_fd), 0);
    watched = (struct watch){.fd = pipe_fd[0], .ready = unwatch_in_call};
    ring_watch(rig.ring, &watched);
    cr_assert_eq(write(pipe_fd[1], "ab", 2), 2);
    rig_run_for(&rig, 20 * NS_PER_MS);
    cr_assert_eq(calls, 1);
    // From elsewhere, while the poll is in the kernel. The kernel lets go of the pipe, too: its
    // other end breaks once the cancel is done.
    char two[2];
    cr_assert_eq(read(pipe_fd[0], two, 2), 2);
    watched = (struct watch){.fd = pipe_fd[0], .ready = unwatch_in_call};
    ring_watch(rig.ring, &watched);
    struct timer t = {.fire = unwatch_other};
    timer_set(rig.ring, &t, ring_clock(rig.ring) + 5 * NS_PER_MS);
    rig_run_for(&rig, 20 * NS_PER_MS);
    cr_assert_eq(calls, 1);
    cr_assert_eq(write(pipe_fd[1], "x", 1), -1);
    cr_assert_eq(errno, EPIPE);
}

// ---- accepting

static struct acceptor acceptor;
static unsigned accepted;

static void
count_and_close(struct acceptor *a, int fd)
{
    close(fd);
    if (++accepted == 5)
        ring_stop(rig.ring);
}

static int
listener_on(struct address *a)
{
    char err[256];
    cr_assert(address_parse("127.0.0.1:1", a, err, sizeof err));
    snprintf(a->port, sizeof a->port, "0"); // any
    int fd = address_listen(a, 0, err, sizeof err);
    cr_assert_geq(fd, 0, "%s", err);
    return fd;
}

static int
connect_to(int listener)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&ss, &len), 0);
    int fd = socket(ss.ss_family, SOCK_STREAM, 0);
    cr_assert_geq(fd, 0);
    int rc = connect(fd, (struct sockaddr *)&ss, len);
    if (rc == 0)
        return fd;
    close(fd);
    return -1;
}

Test(ring, accepts_until_stopped_and_leaves_the_port_free)
{
    struct address a;
    int fd = listener_on(&a);
    acceptor = (struct acceptor){.fd = fd, .accepted = count_and_close};
    accept_start(rig.ring, &acceptor);
    int client[5];
    for (unsigned i = 0; i < 5; i++)
        cr_assert_geq(client[i] = connect_to(fd), 0);
    rig_run(&rig, 5 * NS_PER_SEC);
    cr_assert_eq(accepted, 5);
    for (unsigned i = 0; i < 5; i++)
        close(client[i]);
    accept_stop(&acceptor);
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&ss, &len), 0);
    close(fd);
    int probe = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(connect(probe, (struct sockaddr *)&ss, len), -1);
    cr_assert_eq(errno, ECONNREFUSED, "nobody listens there any more");
    close(probe);
}

static void
keep(struct acceptor *a, int fd)
{
    accepted++;
    close(fd);
    ring_stop(rig.ring);
}

Test(ring, pauses_when_descriptors_run_out_and_goes_on)
{
    struct address a;
    int fd = listener_on(&a);
    acceptor = (struct acceptor){.fd = fd, .accepted = keep};
    accept_start(rig.ring, &acceptor);
    int client = connect_to(fd);
    cr_assert_geq(client, 0);
    struct rlimit before, none;
    getrlimit(RLIMIT_NOFILE, &before);
    none = before;
    none.rlim_cur = (rlim_t)client + 1;
    setrlimit(RLIMIT_NOFILE, &none);
    rig_run_for(&rig, 50 * NS_PER_MS);
    cr_assert_eq(accepted, 0);
    setrlimit(RLIMIT_NOFILE, &before);
    rig_run(&rig, 5 * NS_PER_SEC);
    cr_assert_eq(accepted, 1);
    accept_stop(&acceptor);
    close(client);
    close(fd);
}
