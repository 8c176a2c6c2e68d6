// SPDX-License-Identifier: BSD-3-Clause
// The lock of one export among the processes that share a state-dir. Each holds it shared while it
// serves the export; who probes needs it alone, so that no process restores over another's writes.
// Open file description locks: they belong to the fd, whichever thread uses it.
#ifndef EXPORT_LOCK_H
#define EXPORT_LOCK_H

#include <base/bytes.h>
#include <stdbool.h>

// Opens (and creates) the lock file of the export, not yet locked. -1 if it cannot be had (no
// state-dir, not writable): then nothing may be probed.
int lock_open(const char *state_dir, struct bytes address, struct bytes name);
// Shared to alone, without waiting; false if somebody else serves the export.
bool lock_alone(int fd);
// Takes it shared (also: from alone back to shared), without waiting; false if another process is probing
// just now.
bool lock_shared(int fd);
void lock_close(int fd);

#endif
