// SPDX-License-Identifier: BSD-3-Clause
// One file of state-dir, written whole or not at all. Several processes may share the directory,
// also from different PID namespaces.
#ifndef DAEMON_STATE_FILE_H
#define DAEMON_STATE_FILE_H

#include <stdbool.h>

// Writes `text` beside it, flushes, and renames. False: errno says why, and the file is as it was.
bool state_file_replace(const char *dir, const char *name, const char *text);
// False: it is still there, errno says why.
bool state_file_remove(const char *dir, const char *name);
// Removes `name` if it is what state_file_replace() left of a process that was killed meanwhile.
void state_file_orphaned(int dir, const char *name);
// What an administrator can do about a state-dir that failed with this errno.
const char *state_file_remedy(int error);

#endif
