// SPDX-License-Identifier: BSD-3-Clause
// An upgrade as the new process sees it. The one before it has started it with its sockets and one
// end of a channel (see upgrade.h for the other), over which both say in one word how far they are:
//   new: "pid N"                       it has begun
//   new: "ready", or "failed CAUSE"    all is open, nothing is accepted
//   old: "go"                          it accepts nothing more, and has saved its state
//   new: "serving"
//   old: closes                        systemd knows who the main process is now
// Whatever fails before "serving" ends the new process, and the old one goes on.
#ifndef DAEMON_SUCCESSOR_H
#define DAEMON_SUCCESSOR_H

#include <stdbool.h>
#include <stddef.h>

#define UPGRADE_VARIABLE  "NBDZERO_UPGRADE"           // holds the descriptor of the channel
#define UPGRADE_STATE_DIR "NBDZERO_UPGRADE_STATE_DIR" // where the old one's locks are
#define UPGRADE_WORD_MAX  1024u

// Whether this process is to succeed another. If it is, what returns is a child of the process that
// was started: once it serves its parent ends, so that the service manager, and not the old
// process, is who has it as a child. Before any thread is started, or anything opened.
bool successor_begin(void);
// Again, when the process has become another user, which unties it.
void successor_tied(void);
// The old one's state-dir; NULL: it does not say.
const char *successor_state_dir(void);
// For the old one's log and whoever asked for the upgrade.
void successor_failed(const char *cause);
// Says "ready" and waits until the old process lets go. False, with one line in err, if it does
// not. Blocks: there is nothing else to do.
bool successor_ready(char *err, size_t errlen);
// From now on clients are served; returns when the old process has told systemd. Ends the process
// if the old one has given the upgrade up.
void successor_serving(void);

#endif
