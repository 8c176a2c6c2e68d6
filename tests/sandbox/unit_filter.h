// SPDX-License-Identifier: BSD-3-Clause
// What a unit file says of system calls, and the seccomp filters for it.
#ifndef SANDBOX_UNIT_FILTER_H
#define SANDBOX_UNIT_FILTER_H

#include <stdbool.h>
#include <stddef.h>

#define CALLS_MAX    1024
#define FAMILIES_MAX 16

struct calls {
    char *names[CALLS_MAX];
    size_t n;
};

struct unit {
    struct calls calls; // those that are allowed
    int error;          // what the others get: an errno
    int families[FAMILIES_MAX];
    unsigned n_families; // 0: all are allowed
    bool native_only, no_namespaces, no_write_execute, no_realtime, no_suid, lock_personality;
};

// False: cannot be read, or says what is not understood here; the reason is printed. Names are
// never freed: the process executes another program.
bool unit_read(struct unit *u, const char *path);
// Installs the filters in this process, for good. False: the reason is printed.
bool unit_install(const struct unit *u);

#endif
