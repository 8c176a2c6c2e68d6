// SPDX-License-Identifier: BSD-3-Clause
// What the process wants of the system at its start: directories, and enough descriptors.
#ifndef DAEMON_FILES_H
#define DAEMON_FILES_H

#include "faults.h"

#include <stdbool.h>
#include <sys/types.h>

// Directories that are made from now on are given to this user and group; only root can.
void files_owner(uid_t uid, gid_t gid);

// Like mkdir -p; what is made gets `mode`. False with errno set.
bool make_directories(const char *path, mode_t mode);
// The same for the directory that `path` is to be in.
bool make_parent(const char *path, mode_t mode);

// Raises the soft limit on open files to the hard one, and says how many connections these allow,
// at most `wanted`. That it is fewer is a warning: in `f`, or where that is NULL in the log.
unsigned allowed_connections(unsigned wanted, unsigned threads, unsigned listeners,
                             struct faults *f);

// A Unix socket's file, so that who ends unlinks his own only.
struct socket_file {
    dev_t dev;
    ino_t ino;
    char path[108]; // "": none
};
void socket_file_note(struct socket_file *f, const char *path);
// Whether what is at the path is still what was noted.
bool socket_file_there(const struct socket_file *f);
void socket_file_unlink(struct socket_file *f);

#endif
