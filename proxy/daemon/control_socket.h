// SPDX-License-Identifier: BSD-3-Clause
// The control socket's file: who may connect to it at all.
#ifndef DAEMON_CONTROL_SOCKET_H
#define DAEMON_CONTROL_SOCKET_H

#include "config.h"
#include "faults.h"
#include "files.h"

// Listens at the configured path, whose directory is made as needed; a dead socket there is
// replaced, anything else refused. `inherited`: it is the one of the process before this one, as it
// was. The fd, noted in `file`; -1, with one line in err.
int control_socket_open(const struct config *c, struct socket_file *file, bool *inherited,
                        char *err, size_t errlen);
// A reload: gives the file the mode and group of `next`. What cannot be done is an alarm.
void control_socket_change(const struct socket_file *file, const struct config *next,
                           struct faults *f);

#endif
