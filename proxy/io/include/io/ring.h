// SPDX-License-Identifier: BSD-3-Clause
// One thread's event loop over one io_uring: completions, timers, letters from other threads. Bytes
// and time only; nothing here knows NBD.
//
// A turn: reap all completions, deliver letters, fire timers, let every stream that has news speak
// to its handler, then start one send for each stream that has something to say, submit, wait.
#ifndef IO_RING_H
#define IO_RING_H

#include <base/time.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ring;

// Creates a ring for the calling thread or for the one that will call ring_run() (it is enabled
// there). On failure returns NULL and writes one line with cause and remedy to err: io_uring is
// missing (kernel), forbidden (sysctl kernel.io_uring_disabled, seccomp), or too old (needs
// Linux 6.1).
struct ring *ring_new(char *err, size_t errlen);
// Closes every stream that is still open and frees the ring. Not from within ring_run(). Letters
// not delivered by then stay their senders'; no handler and no timer is called.
void ring_free(struct ring *r);

// Runs turns until ring_stop() is called from within one, and then until the streams that were
// closed with STREAM_FINISH are done, at most one second; everything else goes on meanwhile. When
// it returns the kernel holds nothing of this ring's any more: no receive, no poll. May be called
// again, by the same thread.
void ring_run(struct ring *r);
// A second call does not wait for finishing streams.
void ring_stop(struct ring *r);

// When the completions of this turn were reaped. Monotonic.
nstime ring_now(const struct ring *r);
// The clock itself, read now.
nstime ring_clock(const struct ring *r);
// How long the longest of the last turns worked since `since` (a loop turn over 1 ms spoils a
// measurement): true if any turn that ended after `since` worked longer than `limit`.
bool ring_was_busy(const struct ring *r, nstime since, nstime limit);

// Timers: owned by the caller, zero-initialised. Setting a set timer moves it. `fire` may set it
// again.
struct timer {
    nstime when; // 0: not set
    void (*fire)(struct timer *t);
    size_t place; // in the ring's heap, the ring's own business
};
void timer_set(struct ring *r, struct timer *t, nstime when);
void timer_cancel(struct ring *r, struct timer *t);

// Letters: from any thread to the ring's. The letter is the sender's until `deliver` is called
// there.
struct letter {
    struct letter *next;
    void (*deliver)(struct letter *l);
};
void ring_post(struct ring *r, struct letter *l);

// Calls `ready` (on the ring's thread) whenever fd becomes readable: signalfd, control sockets.
// Level-triggered. One watch an object; ring_unwatch() stops it, no call comes after it returns.
struct watch {
    int fd;
    void (*ready)(struct watch *w);
    // The ring's own business:
    uint64_t id;        // 0: not watching
    uint32_t events;    // POLLIN
    bool armed;         // a poll is in the kernel; else in the ring's list of those to arm
    struct watch *next; // in that list
};
void ring_watch(struct ring *r, struct watch *w);
void ring_unwatch(struct ring *r, struct watch *w);

// Accepts connections on a listening socket until accept_stop(). `accepted` owns the new fd
// (non-blocking, close-on-exec). When descriptors run out it pauses 100 ms, logs a warning (at most
// one every 10 s) and goes on.
struct acceptor {
    int fd; // the listening socket, non-blocking; stays the caller's
    void (*accepted)(struct acceptor *a, int fd);
    // Its own business:
    struct ring *ring;
    struct watch watch;
    struct timer retry;
    nstime warned;
};
void accept_start(struct ring *r, struct acceptor *a);
// After this no call comes and the kernel holds no reference to the socket once the cancel
// completes (a listener stays bound after close() while a poll of it is pending).
void accept_stop(struct acceptor *a);

// Bytes of buffers this ring holds now, for statistics.
size_t ring_memory(const struct ring *r);

#endif
