// SPDX-License-Identifier: BSD-3-Clause
// The worker threads: each runs one ring with one worker of session/. Everything here is called on
// the main ring's thread.
#ifndef DAEMON_WORKERS_H
#define DAEMON_WORKERS_H

#include <io/ring.h>
#include <pthread.h>
#include <session/worker.h>

struct workers;

struct worker_thread {
    struct workers *all;
    struct ring *ring;
    struct worker *worker;
    pthread_t thread;
    bool started;
    atomic_uint coming; // connections handed over that the worker has not begun yet
    struct letter drain[2], drained, stop;
    nstime deadline[2]; // of the drains
    bool has_drained;   // the worker's thread only
};

struct workers {
    struct ring *main;
    struct worker_thread *list;
    unsigned n;       // of the list
    unsigned serving; // of these, the first ones; one more measures scratch areas, if there are any
    unsigned last;    // who got the last connection
    unsigned drained; // how many have
    unsigned drains;  // how often they were asked to
    void (*all_drained)(void *ctx);
    void *ctx;
};

// CPUs that this process may run on, at most what threads may be.
unsigned cpus_allowed(void);

// Makes `n` workers and their threads, and where `measures` one for scratch areas, as the last: the
// registry must have room for that many. NULL, with one line in err, if that fails.
struct workers *workers_start(struct ring *main, struct registry *registry, unsigned n,
                              bool measures, char *err, size_t errlen);

// The scratch areas of these settings are measured from now on; NULL: none. False: there are some,
// and no worker for them.
bool workers_scratch(struct workers *w, struct settings *settings);

// A connection goes to the worker with the fewest sessions. Takes over fd, counted in its
// listener's `active` and its client's (NULL: none); adds a reference to settings. False: out of
// memory, fd closed, counted as if it never was.
bool workers_hand_over(struct workers *w, int fd, struct settings *settings,
                       const struct listener_settings *listener, struct client_counter *client,
                       uint64_t id);

// As the system shows the thread: "worker-0", and "scratch-N" for the last one where it measures.
#define WORKER_NAME 16 // pthread_setname_np(3): so many
const char *workers_name(const struct workers *w, unsigned index, char *name);

// Drains all; `all_drained` is called when the last has. A second call brings the deadline forward.
void workers_drain(struct workers *w, nstime deadline, void (*all_drained)(void *ctx), void *ctx);

// Ends the threads and frees all. After the main ring has stopped.
void workers_stop(struct workers *w);

#endif
