// SPDX-License-Identifier: BSD-3-Clause
// The listening sockets, on the main ring: a connection is counted and handed to a worker, or
// closed where there are as many as there may be.
#ifndef DAEMON_LISTENERS_H
#define DAEMON_LISTENERS_H

#include "files.h"
#include "workers.h"

#include <io/ring.h>
#include <session/settings.h>

struct listeners;

struct listener {
    struct acceptor acceptor;
    struct listeners *all;
    const struct listener_settings *settings;
    struct socket_file file;
    char address[ADDRESS_TEXT]; // for people
};

struct listeners {
    struct ring *ring;
    struct workers *workers;
    struct settings *settings; // a reference
    struct listener *list;
    unsigned n; // that are open
    unsigned max_connections;
    uint64_t last_id;     // of connections
    nstime refusals_told; // when the last warning was
    uint64_t refusals;    // since then
};

// Opens all of them and accepts nothing yet. NULL, with one line in err, if one cannot be had.
struct listeners *listeners_open(struct ring *ring, struct settings *settings, char *err,
                                 size_t errlen);
void listeners_start(struct listeners *l, struct workers *workers, unsigned max_connections);
// Accepts nothing more, closes the sockets, unlinks their files. May be called twice.
void listeners_close(struct listeners *l);
void listeners_free(struct listeners *l);

#endif
