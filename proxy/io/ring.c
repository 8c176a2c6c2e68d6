// SPDX-License-Identifier: BSD-3-Clause
// The turn: what happens in which order, and the only place that talks to io_uring.
#include "ring_inside.h"
#include "stream_inside.h"

#include <base/log.h>

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// When small messages come that fast, we let others run before we wait: the peers, who have just
// been sent to, get to queue more for the next turn, and one send for many is where the time goes
// or is saved. A single request in flight, two or three messages every 25 us at best, stays below
// it.
#define YIELD_FROM 5u
#define YIELD_SPAN (32 * NS_PER_US)
#define STOP_WAIT  NS_PER_SEC

void
io_out_of_memory(const char *what)
{
    log_error("out of memory for %s", what);
    abort();
}

nstime
ring_clock(const struct ring *r)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (nstime)ts.tv_sec * NS_PER_SEC + (nstime)ts.tv_nsec;
}

nstime
ring_now(const struct ring *r)
{
    return r->now;
}

struct io_uring_sqe *
ring_sqe(struct ring *r, enum op op, uint64_t id)
{
    struct io_uring_sqe *sqe;
    for (int tries = 0; !(sqe = io_uring_get_sqe(&r->uring)); tries++) {
        int rc = io_uring_submit(&r->uring);
        if (rc >= 0)
            continue;
        // The kernel is out of memory; it may find some.
        if (tries == 1000)
            io_out_of_memory("a submission");
        nanosleep(&(struct timespec){.tv_nsec = (long)NS_PER_MS}, NULL);
    }
    r->in_kernel++;
    // Before the caller's io_uring_prep_...(): since liburing 2.2 these leave user_data alone.
    io_uring_sqe_set_data64(sqe, (uint64_t)op << 56 | id);
    return sqe;
}

void
ring_cancel(struct ring *r, enum op op, uint64_t id)
{
    if (!r->running)
        return; // nothing is in the kernel
    struct io_uring_sqe *sqe = ring_sqe(r, OP_NONE, 0);
    io_uring_prep_cancel64(sqe, (uint64_t)op << 56 | id, 0);
}

static void
complete(struct ring *r, uint64_t user_data, int res, uint32_t flags)
{
    uint64_t id = user_data & ((UINT64_C(1) << 56) - 1);
    struct stream *s;
    r->in_kernel--;
    switch ((enum op)(user_data >> 56)) {
    case OP_NONE: break;
    case OP_WATCH: watch_done(r, id); break;
    case OP_RECEIVE:
        s = slot_find(&r->slots, id, SLOT_STREAM);
        if (s)
            receive_done(s, res, flags);
        break;
    case OP_WRITABLE:
        s = slot_find(&r->slots, id, SLOT_STREAM);
        if (s)
            writable_done(s);
        break;
    }
}

static void
reap(struct ring *r)
{
    struct io_uring_cqe *cqe;
    // Each is marked as seen before it is acted upon: what it leads to may submit and need room.
    while (io_uring_cq_ready(&r->uring) && io_uring_peek_cqe(&r->uring, &cqe) == 0) {
        uint64_t user_data = cqe->user_data;
        int res = cqe->res;
        uint32_t flags = cqe->flags;
        io_uring_cqe_seen(&r->uring, cqe);
        complete(r, user_data, res, flags);
    }
}

// Submits and, where there is nothing else to do, waits.
static void
enter(struct ring *r, bool wait)
{
    struct io_uring_cqe *cqe;
    nstime next = timers_next(&r->timers);
    nstime now = wait && next ? ring_clock(r) : 0;
    int rc;
    if (!wait || (next && next <= now)) {
        rc = io_uring_submit_and_get_events(&r->uring);
    } else if (!next) {
        rc = io_uring_submit_and_wait(&r->uring, 1);
    } else {
        struct __kernel_timespec ts = {.tv_sec = (long long)((next - now) / NS_PER_SEC),
                                       .tv_nsec = (long long)((next - now) % NS_PER_SEC)};
        rc = io_uring_submit_and_wait_timeout(&r->uring, &cqe, 1, &ts, NULL);
    }
    if (rc >= 0 || rc == -ETIME || rc == -EINTR || rc == -EAGAIN || rc == -EBUSY)
        return;
    log_error("io_uring_enter: %s", strerror(-rc));
    abort();
}

static bool
is_done(const struct ring *r)
{
    return r->stop > 1 || (r->stop == 1 && r->finishing == 0);
}

// Small messages handled in about the last YIELD_SPAN, in 64ths; bulk needs no company.
static bool
should_yield(struct ring *r)
{
    nstime since = r->now - r->paced;
    r->paced = r->now;
    r->pace -= since < YIELD_SPAN ? (uint32_t)(r->pace * since / YIELD_SPAN) : r->pace;
    r->pace = r->moving_bulk ? 0 : r->pace + 64 * r->messages;
    return r->pace >= 64 * YIELD_FROM;
}

static void
turn(struct ring *r)
{
    r->now = ring_clock(r);
    r->turn++;
    r->messages = 0;
    r->moving_bulk = false;
    reap(r);
    timers_fire(r);
    streams_speak(r);
    streams_flush(r);
    watches_arm(r);
    pool_offer(r);
    nstime end = ring_clock(r);
    busy_note(&r->busy, end, end - r->now);
    bool wait = !streams_restless(r) && !is_done(r);
    if (should_yield(r) && wait)
        sched_yield();
    enter(r, wait);
}

static void
stop_waited(struct timer *t)
{
    struct ring *r = (struct ring *)((char *)t - offsetof(struct ring, stop_timer));
    r->stop++;
}

// Calls back everything from the kernel, so that whoever comes next, on whatever thread, finds a
// ring at rest, and so that no listener stays bound.
static void
call_back(struct ring *r)
{
    struct io_uring_sqe *sqe = ring_sqe(r, OP_NONE, 0);
    io_uring_prep_cancel64(sqe, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
    r->running = false;
    nstime give_up = ring_clock(r) + STOP_WAIT;
    while (r->in_kernel && ring_clock(r) < give_up) {
        struct __kernel_timespec ts = {.tv_nsec = 100 * (long long)NS_PER_MS};
        struct io_uring_cqe *cqe;
        io_uring_submit_and_wait_timeout(&r->uring, &cqe, 1, &ts, NULL);
        reap(r);
    }
    if (r->in_kernel)
        log_warn("%u operations did not end when the loop stopped", r->in_kernel);
}

static void
enable(struct ring *r)
{
    if (!r->enabled) {
        // liburing 2.3 declares io_uring_enable_rings() and does not export it.
        int rc =
            io_uring_register((unsigned)r->uring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
        if (rc < 0) {
            log_error("cannot enable io_uring on this thread: %s", strerror(-rc));
            abort();
        }
        r->enabled = true;
    }
    io_uring_register_ring_fd(&r->uring); // spares a look-up a turn; does without where refused
    r->running = true;
}

void
ring_run(struct ring *r)
{
    enable(r);
    while (!is_done(r))
        turn(r);
    timer_cancel(r, &r->stop_timer);
    call_back(r);
    io_uring_unregister_ring_fd(&r->uring);
    r->stop = 0;
}

void
ring_stop(struct ring *r)
{
    if (r->stop++ == 0) {
        r->stop_timer.fire = stop_waited;
        timer_set(r, &r->stop_timer, r->now + STOP_WAIT);
    }
}
