// SPDX-License-Identifier: BSD-3-Clause
// The lock of one export among the processes that share a state-dir. Each holds it shared while it
// serves the export; who probes needs it alone, so that no process restores over another's writes.
// Open file description locks: they belong to the fd, whichever thread uses it.
#ifndef EXPORT_LOCK_H
#define EXPORT_LOCK_H

#include <base/bytes.h>
#include <stdbool.h>
#include <stdint.h>

// One byte of the file `locks` in state-dir is one export's: names are invented by clients, and
// files would pile up.
struct export_lock {
    int fd; // -1: none
    int64_t at;
};

// Opens (and creates) the file, takes no lock yet. fd is -1 if it cannot be had (no state-dir, not
// writable): then nothing may be probed.
struct export_lock lock_open(const char *state_dir, struct bytes address, struct bytes name);
// Shared to alone, without waiting; false if somebody else serves the export.
bool lock_alone(const struct export_lock *l);
// Takes it shared (also: from alone back to shared), without waiting; false if another process is
// probing just now, or, says errno, the file system has no locks.
bool lock_shared(const struct export_lock *l);
// Does that error say that another process has it?
bool lock_is_taken(int error);
// The file has been removed or replaced since: processes that start now lock another one.
bool lock_is_lost(const struct export_lock *l);
void lock_close(struct export_lock *l);

#endif
