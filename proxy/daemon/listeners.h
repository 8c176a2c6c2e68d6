// SPDX-License-Identifier: BSD-3-Clause
// The listening sockets, on the main ring: a connection is counted and handed to a worker, or
// closed where there are as many as there may be.
#ifndef DAEMON_LISTENERS_H
#define DAEMON_LISTENERS_H

#include "admission.h"
#include "config.h"
#include "files.h"
#include "inherited.h"
#include "workers.h"

#include <io/ring.h>
#include <session/settings.h>

struct listeners;

struct listening {
    struct acceptor acceptor;
    struct listener *of;
};

// Its sockets: one, but of systemd's as many as have the name.
struct listener {
    struct listening *sockets;
    unsigned n_sockets;
    bool elsewhere; // another process has them, too: neither shut down nor unlinked when closed
    bool kept;      // systemd's: stay open, for a reload to come (inherited.h)
    struct listeners *all;
    const struct listener_settings *settings; // of the settings at hand
    struct socket_file file;
    char address[ADDRESS_TEXT]; // for people, and what a reload knows the socket by
    bool accepting;
};

struct listeners {
    struct ring *ring;
    struct workers *workers;   // NULL until listeners_start()
    struct settings *settings; // a reference
    struct admission admission;
    struct listener **list; // in the order of settings
    unsigned n;
    uint64_t last_id; // of connections
};

// Opens all of them and accepts nothing yet. NULL, with one line in err, if one cannot be had.
struct listeners *listeners_open(struct ring *ring, const struct config *config, char *err,
                                 size_t errlen);
// Connections at one time, in all and of one client address (0: as many). Before the start, and any
// time after: who is there stays.
void listeners_limit(struct listeners *l, unsigned max_connections, unsigned max_per_client);
void listeners_start(struct listeners *l, struct workers *workers);

// Other settings for new connections, and perhaps other sockets: one whose address is still wanted
// goes on, whatever its section is called now; others are closed, new ones are opened. All or
// nothing: false, with one line in err and whose it is in `failed`, if one cannot be had. Running
// connections keep what they have. A file whose mode cannot be changed is an alarm in `faults`.
bool listeners_change(struct listeners *l, const struct config *config, struct faults *faults,
                      const struct listener_settings **failed, char *err, size_t errlen);

// An upgrade. Between these two nothing is accepted, and nobody who connects notices: connections
// wait in the kernel.
void listeners_pause(struct listeners *l);
void listeners_resume(struct listeners *l);
// What the successor gets. Not a Unix socket whose file is gone: nobody can connect to that.
void listeners_hand(const struct listeners *l, struct handed *to);
// Whether the sockets that this process had from another one, or has handed to one, are its own
// now: who owns them removes their files. Where one is taken over a mode that cannot be given is an
// alarm in `faults`.
void listeners_own(struct listeners *l, bool own, struct faults *faults);

// Accepts nothing more, closes the sockets, unlinks their files. May be called twice.
void listeners_close(struct listeners *l);
// Closes what is still open.
void listeners_free(struct listeners *l);

#endif
