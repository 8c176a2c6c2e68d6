// SPDX-License-Identifier: BSD-3-Clause
// Sockets that were open when this process began ($LISTEN_FDS, sd_listen_fds(3)): systemd's, or in
// an upgrade those of the process before this one. They are the process's, so there is one pool of
// them; only the main thread uses it.
#ifndef DAEMON_INHERITED_H
#define DAEMON_INHERITED_H

#include <stdbool.h>
#include <stddef.h>

// What a socket is for. systemd passes one kind only, and its names are the administrator's; a
// process hands all kinds to its successor, with the kind as a part of the name.
enum inherited_kind {
    INHERITED_SYSTEMD, // name: FileDescriptorName=
    INHERITED_LISTEN,  // name: the address, as address_text() has it
    INHERITED_CONTROL, // name: the path
    INHERITED_METRICS, // name: the address
};

// Takes what $LISTEN_FDS and $LISTEN_FDNAMES say, and removes them from the environment. Before any
// thread is started, for that reason. `predecessor`: they come from a process of ours.
void inherited_take(bool predecessor);

// One socket of that kind and name, which is the caller's from now on: non-blocking,
// close-on-exec, listening. -1: there is none.
int inherited_get(enum inherited_kind kind, const char *name);
// systemd's of that name, the *at-th and later: they stay here, open as long as the process lives,
// so that a reload can take one back that the last one gave up. -1: no more.
int inherited_systemd(const char *name, unsigned *at);
// Their names, for a message: "a, b", or "none".
const char *inherited_names(char *text, size_t cap);

// False, with one line in err: one is no listening stream socket.
bool inherited_good(char *err, size_t errlen);
// False: one of systemd's has not been asked for by now. Not after an upgrade: it may be one that a
// reload gave up.
bool inherited_all_used(char *err, size_t errlen);
// Closes what nobody has taken: an upgrade may come with another configuration. `remove`: and
// unlinks the files of Unix sockets.
void inherited_drop(bool remove);

// What is to be handed to a successor, in order.
struct handed {
    int *fds;     // not owned
    char **names; // for $LISTEN_FDNAMES
    unsigned n;
    const char *state_dir; // not owned
};
void handed_add(struct handed *h, enum inherited_kind kind, const char *name, int fd);
// systemd's, all of them.
void handed_add_systemd(struct handed *h);
void handed_clear(struct handed *h);

#endif
