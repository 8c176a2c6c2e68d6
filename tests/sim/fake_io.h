// SPDX-License-Identifier: BSD-3-Clause
// The io room without a kernel: what <io/ring.h>, <io/stream.h> and <io/dial.h> promise, over the
// connections of sock.h and the clock of world.h. It keeps to the letter of those headers and no
// further: handlers are told of news once, letters of different senders arrive in any order, and
// bytes lie in memory of exactly their length, which moves as often as it may.
#ifndef SIM_FAKE_IO_H
#define SIM_FAKE_IO_H

#include "sock.h"
#include "world.h"

#include <io/dial.h>
#include <io/ring.h>
#include <io/stream.h>

#define RINGS_MAX 4

struct letter_queue {
    struct letter *first, **last;
};

struct ring {
    struct actor actor;
    unsigned index;
    nstime now;
    uint64_t turn;
    bool speaking;
    struct timer **timers;
    size_t n_timers, cap_timers;
    struct letter_queue letters[RINGS_MAX + 1]; // by sender; the last is the world's own
    struct stream *streams;
    size_t memory;         // of bufs
    unsigned busy_percent; // how often a measurement is said to be disturbed
};

struct ring *fake_ring_new(unsigned index);
// All must have come to its end: no stream, no timer, no letter, no buf.
void fake_ring_free(struct ring *r);

// What a dial reaches: a connected end, or NULL and why not. Set by the rig.
struct fake_host {
    struct sock *(*connect)(const struct address *to, const char **why);
    nstime delay; // of every dial
};
extern struct fake_host fake_host;

// fake_stream.c, for the ring.
bool streams_can_run(const struct ring *r);
void streams_receive(struct ring *r);
void streams_speak(struct ring *r);
void streams_flush(struct ring *r);

#endif
