// SPDX-License-Identifier: BSD-3-Clause
// Asking the daemon over its control socket: one line of JSON there, one line back
// (nbdzero.conf(5), "CONTROL PROTOCOL").
#ifndef STAT_ASK_H
#define STAT_ASK_H

#include <jansson.h>

#define DEFAULT_SOCKET "/run/nbdzero/control.sock"

// The result of a command, a new reference; NULL, with one line in err, if there is none.
json_t *ask(const char *socket_path, const char *command, char *err, size_t errlen);

#endif
