// SPDX-License-Identifier: BSD-3-Clause
// Runs one probe of zero/ over a connection: the same machine that the daemon runs inside requests.
#ifndef SESSION_RUNNER_H
#define SESSION_RUNNER_H

#include "peer.h"

#include <zero/probe.h>

struct runner_failure {
    enum probe_want want; // of the first that failed
    uint32_t error;       // 0: a zeroed piece did not read as zeroes
    struct range range;
};

struct runner {
    struct ring *ring;
    struct peer *peer;
    void (*finished)(void *ctx); // the machine is at its end, or the connection is lost
    void (*news)(void *ctx);     // a chunk has ended
    // Who else writes there is to be held off: calls runner_guarded(), later. NULL: there is
    // nobody.
    void (*hold)(void *ctx, const struct probe_step *step);
    void *ctx;

    struct probe probe;
    uint32_t max_zero;
    uint16_t zero_flags;
    struct buf *buf; // of the chunk in work, to be written back; SCRATCH: random bytes
    uint64_t seed;
    struct timer timer;
    bool running, failed, stopped;
    struct runner_failure failure;

    // The step in work, in parts.
    struct probe_step step;
    uint64_t done;
    nstime sent_at;
    bool clean, all_zero;
    bool zeroed;    // SCRATCH: the chunk's zero was sent, what is written next is no fill
    unsigned parts; // of a status
};

// Memory, once for many runs. False: there is too little.
bool runner_begin(struct runner *r, struct ring *ring, struct peer *peer, enum probe_mode mode);
void runner_end(struct runner *r);

// `finished` will be called.
void runner_run(struct runner *r, enum probe_mode mode, bool no_hole, bool thorough,
                const struct zero_rules *rules, struct range range);

// What `hold` was asked for; false: not in time.
void runner_guarded(struct runner *r, bool held);

// Ends after the chunk in work.
void runner_stop(struct runner *r);
// From the peer's handler.
void runner_done(struct runner *r, const struct peer_result *result);
void runner_extent(struct runner *r, uint64_t length, uint32_t flags);
void runner_lost(struct runner *r);

#endif
