// SPDX-License-Identifier: BSD-3-Clause
// Who may come in: judged as soon as a connection has been accepted, before anything is said on it.
#ifndef DAEMON_ADMISSION_H
#define DAEMON_ADMISSION_H

#include "clients.h"
#include "counters.h"

struct admission {
    const struct counters *counters; // those of the configuration
    struct clients *clients;
    unsigned max_connections;
    unsigned max_per_client; // 0: no limit
    struct {
        nstime told;     // when the last warning was
        uint64_t untold; // refusals since then
    } refusals[REFUSALS];
};

// One refused has been counted, and told now and then; its fd stays the caller's. One admitted is
// counted as active, for the listener and for its client, *client, which is NULL where there is no
// address to count by: connection_left() ends that.
bool admit(struct admission *a, const struct listener_settings *listener, int fd, nstime now,
           struct client_counter **client);

#endif
