// SPDX-License-Identifier: BSD-3-Clause
// The command line of nbdzero-proxy.
#ifndef DAEMON_OPTIONS_H
#define DAEMON_OPTIONS_H

#include <base/log.h>
#include <stdbool.h>

#define EXIT_USAGE        2
#define EXIT_BAD_SETTINGS 78 // EX_CONFIG of sysexits(3)

struct options {
    char *const *argv; // NULL-terminated: how this process was started
    const char *config;
    bool successor; // of a running process, in an upgrade: successor.h
    bool check;
    bool has_log_level;
    enum log_level log_level;
};

// -1: go on. Otherwise all is said and this is the exit code.
int options_parse(struct options *o, int argc, char **argv);

#endif
