// SPDX-License-Identifier: BSD-3-Clause
// What the tests of this room share: a ring with a deadline, sockets in pairs, patterned bytes.
#ifndef TEST_IO_RIG_H
#define TEST_IO_RIG_H

#include <io/ring.h>
#include <io/stream.h>

struct rig {
    struct ring *ring;
    struct timer limit;
    bool expired;
};

void rig_open(struct rig *g);
void rig_close(struct rig *g);
// Runs turns until somebody stops the ring; a failed assertion after `limit`.
void rig_run(struct rig *g, nstime limit);
// Runs turns for so long, whatever happens.
void rig_run_for(struct rig *g, nstime time);

void pair_unix(int fd[2]);
void pair_tcp(int fd[2]);
void fd_blocking(int fd, bool on);

// Byte i of stream number `seed`, and whether n bytes from i on are what they should be.
void pattern_fill(uint8_t *p, size_t n, uint64_t seed, uint64_t i);
bool pattern_is(const uint8_t *p, size_t n, uint64_t seed, uint64_t i);

uint64_t rng_next(uint64_t *state);
size_t rng_below(uint64_t *state, size_t n);

size_t resident_bytes(void);

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#endif
