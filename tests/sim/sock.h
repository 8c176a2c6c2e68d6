// SPDX-License-Identifier: BSD-3-Clause
// Connections in memory: two ends, each with a limited number of bytes on their way to it. What one
// end sent arrives at the other in pieces that chance, or a given cut, decides; either end may shut
// down, close or reset at any byte.
#ifndef SIM_SOCK_H
#define SIM_SOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// In what pieces bytes arrive.
enum grain { GRAIN_WHOLE, GRAIN_MIXED, GRAIN_SMALL, GRAIN_BYTE };

// How an end goes away when it has sent (or received) so many bytes.
enum death { DEATH_SHUTDOWN, DEATH_CLOSE, DEATH_RESET, DEATHS };

#define NEVER UINT64_MAX

struct sock {
    struct sock *peer;
    int fd;
    bool closed;
    enum grain grain; // of what arrives here

    // On the way to this end.
    uint8_t *data;
    size_t head, tail, cap;
    size_t room;             // how many bytes may be on the way
    uint64_t sent, received; // totals: by the peer, by this end
    uint64_t cut_at;         // one receive never goes past this byte
    bool ended, reset;

    // The end's own fate.
    uint64_t dies_sent, dies_received; // NEVER: it does not
    enum death death;
    bool dead;
};

// Megabytes move in this run: pieces are larger.
extern bool sock_bulk;

void sock_pair(struct sock **a, struct sock **b);
struct sock *sock_of_fd(int fd);

bool sock_readable(const struct sock *s);
// Bytes; 0: the peer has ended; -EAGAIN; -ECONNRESET.
ssize_t sock_recv(struct sock *s, void *p, size_t n);
// How many bytes can be sent now; at least 1 where sending would fail.
size_t sock_room(const struct sock *s);
// How many were taken; -EPIPE, -ECONNRESET.
ssize_t sock_send(struct sock *s, const void *p, size_t n);
void sock_shutdown(struct sock *s);
void sock_close(struct sock *s);
void sock_reset(struct sock *s);
void sock_die(struct sock *s); // as its `death` says, now

// All that are left, at the end of a run; returns how many had not been closed.
unsigned socks_clear(void);

#endif
