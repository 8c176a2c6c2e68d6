// SPDX-License-Identifier: BSD-3-Clause
// How many connections each client address has. Called on the main ring's thread; only a
// connection's end is counted elsewhere, by one atomic subtraction (connection_left()).
#ifndef DAEMON_CLIENTS_H
#define DAEMON_CLIENTS_H

#include <io/network.h>
#include <session/settings.h>

struct clients;

// A host of version 6 has a whole /64 to take addresses from, so that one counts as one client.
#define CLIENT_BITS_V6 64u

struct clients *clients_new(void);
// When no connection is left.
void clients_free(struct clients *c);

// The counter of that address, made at nought where it is new. It stays where it is as long as it
// is above nought; below that, until the next call. NULL: out of memory.
struct client_counter *clients_find(struct clients *c, const struct ip *ip);

// Addresses that are kept in mind: not many more than have connections.
unsigned clients_known(const struct clients *c);

// The client that an address belongs to.
struct network client_of(const struct ip *ip);

#endif
