// SPDX-License-Identifier: BSD-3-Clause
// The process as a whole, in a thread, and how to talk with it. In its folder are its configuration
// and its sockets.
#ifndef TEST_DAEMON_RIG_PROCESS_H
#define TEST_DAEMON_RIG_PROCESS_H

#include "config.h"

#include <jansson.h>

extern char dir[64], config_path[128], control_path[128], listen_path[128];

// Two threads, three connections, [listen main] at listen_path, [upstream u] where nobody is.
#define BASIC_CONFIG                                                                               \
    "[proxy]\nthreads = 2\ncontrol-socket = @/run/control.sock\nstate-dir = @/state\n"             \
    "max-connections = 3\ndrain-timeout = 2s\n"                                                    \
    "[listen main]\naddress = unix:@/nbd.sock\nupstream = u\n"                                     \
    "[upstream u]\nuri = nbd+unix:///e?socket=@/none\n"

// The configuration file; @ stands for the folder.
void write_config(const char *text);

void process_begin(void);
int process_stop(void); // what process_run() returned
void process_end(void); // and nothing may be left in the folder

int reach(const char *path); // -1: nobody is there
int reach_soon(const char *path);
void say(int fd, const char *text);
json_t *reply(int fd); // one line; NULL: the connection ended
void expect_error(int fd, const char *part);
void expect_end(int fd);

#define REQUEST "{\"version\":1,\"command\":\"json\"}"

json_t *snapshot(void);
// Of listeners[] of it.
json_int_t listener_count(const char *name, const char *key);

#endif
