// SPDX-License-Identifier: BSD-3-Clause
// The io room without a kernel: what <io/ring.h>, <io/stream.h>, <io/tls.h> and <io/dial.h>
// promise, over the connections of sock.h, the pretended TLS of sim_tls.h and the clock of world.h.
// It keeps to the letter of those headers and no further: handlers are told of news once, letters
// of different senders arrive in any order, and bytes lie in memory of exactly their length, which
// moves as often as it may.
#ifndef SIM_FAKE_IO_H
#define SIM_FAKE_IO_H

#include "sim_tls.h"
#include "sock.h"
#include "world.h"

#include <io/dial.h>
#include <io/ring.h>
#include <io/stream.h>
#include <io/tls.h>

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

// One side's: it shows that it is the proxy, and wants a peer that it knows, or anybody.
struct tls_context *fake_tls_new(bool connects, enum sim_identity demands);
unsigned fake_tls_refs(const struct tls_context *c);

// fake_stream.c, for the ring.
bool streams_can_run(const struct ring *r);
void streams_receive(struct ring *r);
void streams_speak(struct ring *r);
void streams_flush(struct ring *r);

#endif
