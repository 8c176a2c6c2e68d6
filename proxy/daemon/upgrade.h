// SPDX-License-Identifier: BSD-3-Clause
// An upgrade as the old process sees it: it starts the installed binary, hands its sockets over,
// and goes on with the connections that it has. successor.h has the other side, and what they say
// to each other. Everything here is called on the main ring's thread.
#ifndef DAEMON_UPGRADE_H
#define DAEMON_UPGRADE_H

#include "inherited.h"
#include "successor.h"

#include <io/ring.h>
#include <sys/types.h>

#define UPGRADE_PATIENCE (60 * NS_PER_SEC) // it is over by then, well or not

// Somebody who waits for the end of it.
struct upgrade_waiter {
    struct upgrade_waiter *next;
    // `pid` of the process that serves now; 0: this one goes on, `error` says why.
    void (*done)(struct upgrade_waiter *w, pid_t pid, const char *error);
};

enum upgrade_phase {
    UPGRADE_NONE,     // or it failed
    UPGRADE_STARTING, // the new process has been started
    UPGRADE_HANDING,  // this one accepts nothing, the other has been told to go
    UPGRADE_DONE,
};

struct upgrade {
    struct ring *ring;
    char *const *argv; // of this process; NULL: it cannot be upgraded
    char *binary;      // what is started: owned
    // What the process does: give a list of what is to be handed over; accept nothing more and save
    // what it knows; take that back; leave all to the successor.
    void (*hand)(struct upgrade *u, struct handed *to);
    bool (*let_go)(struct upgrade *u);
    void (*take_back)(struct upgrade *u);
    void (*done)(struct upgrade *u, pid_t successor);

    // Its own business:
    enum upgrade_phase phase;
    bool over;       // none any more: the process is ending
    pid_t started;   // our child
    pid_t successor; // its child, who will serve
    struct watch channel, ended;
    struct timer patience;
    struct upgrade_waiter *waiting;
    char cause[UPGRADE_WORD_MAX]; // in the new one's words
};

// Finds the path of the running binary, where a newer one will be. Before it may be replaced.
void upgrade_init(struct upgrade *u, struct ring *ring, char *const *argv);
// Begins. `w` may be NULL; its `done` is called later, never from within. False: it cannot begin,
// one line in err (which has been logged), and w is not called.
bool upgrade_begin(struct upgrade *u, struct upgrade_waiter *w, char *err, size_t errlen);
void upgrade_forget(struct upgrade *u, struct upgrade_waiter *w);
// Has one begun that has not ended yet?
bool upgrade_under_way(const struct upgrade *u);
// The process is asked to end: a successor that does not serve yet is killed.
void upgrade_cancel(struct upgrade *u);
void upgrade_free(struct upgrade *u);

#endif
