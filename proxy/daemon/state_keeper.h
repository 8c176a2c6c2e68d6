// SPDX-License-Identifier: BSD-3-Clause
// Keeps what is known of exports in state-dir, a file an export, and brings it back at the next
// start. A thread of its own writes: a slow disk must hold nobody up.
#ifndef DAEMON_STATE_KEEPER_H
#define DAEMON_STATE_KEEPER_H

#include <export/registry.h>

// Reads all files of `dir` into the registry, before any worker runs. What is damaged is set aside,
// as NAME.damaged, with a warning; nothing here fails a start. `now`: ring time.
void state_restore(struct registry *r, const char *dir, nstime now);

struct state_keeper;

// Saves what has changed, every few seconds. `dir` "" or not usable: never anything. NULL: no
// thread could be had, one line in err.
struct state_keeper *state_keeper_start(struct registry *r, const char *dir, char *err,
                                        size_t errlen);
// Saves as soon as it can, instead of when it is time. NULL is fine.
void state_keeper_hurry(struct state_keeper *k);
// Saves a last time; the registry must still be there. False: the disk does not answer within so
// many seconds, and the keeper goes on. NULL is fine.
bool state_keeper_stop(struct state_keeper *k, unsigned seconds);

// For statistics, from any thread.
struct state_counts {
    unsigned restored; // exports that an earlier process knew
    unsigned damaged;  // files set aside
    unsigned dropped;  // classes of them that made no sense, and files not read
    unsigned unsaved;  // exports that could not be written the last time
    uint64_t failures; // how often one could not
    int error;         // errno, the last time; 0: that never was
};
struct state_counts state_counts(void);

#endif
