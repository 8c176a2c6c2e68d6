// SPDX-License-Identifier: BSD-3-Clause
// under-unit UNIT PROGRAM [ARGUMENT...]: runs a program under the seccomp filters that systemd
// would make from a unit's SystemCallFilter, SystemCallErrorNumber, RestrictAddressFamilies,
// RestrictNamespaces, MemoryDenyWriteExecute, RestrictRealtime, RestrictSUIDSGID and
// LockPersonality. Groups of system calls are what `systemd-analyze syscall-filter` says. What it
// cannot do it ends with 125 for: a test that runs without its filter shows nothing.
#include "unit_filter.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

int
main(int argc, char **argv)
{
    if (argc < 3) {
        fputs("usage: under-unit UNIT PROGRAM [ARGUMENT...]\n", stderr);
        return 2;
    }
    struct unit unit;
    if (!unit_read(&unit, argv[1]))
        return 125;
    if (!unit.calls.n) {
        fprintf(stderr, "under-unit: %s has no SystemCallFilter\n", argv[1]);
        return 125;
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || !unit_install(&unit))
        return 125;
    execvp(argv[2], argv + 2);
    fprintf(stderr, "under-unit: %s: %s\n", argv[2], strerror(errno));
    return 125;
}
