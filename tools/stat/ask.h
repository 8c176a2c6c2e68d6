// SPDX-License-Identifier: BSD-3-Clause
// Asking the daemon over its control socket: one line of JSON there, one line back
// (nbdzero.conf(5), "CONTROL PROTOCOL").
#ifndef STAT_ASK_H
#define STAT_ASK_H

#include <jansson.h>

#define DEFAULT_SOCKET "/run/nbdzero/control.sock"

enum answer_kind {
    ANSWER_RESULT,
    ANSWER_ERROR,   // the daemon cannot or will not
    ANSWER_NONE,    // nobody has answered
    ANSWER_STRANGE, // we cannot ask, or this is not our daemon
};

struct answer {
    enum answer_kind kind;
    json_t *result;  // ANSWER_RESULT: an object
    json_t *faults;  // ANSWER_ERROR: an array of lines, where there is more to say; else NULL
    char error[512]; // what is wrong, in one line
};

// Gives up after `patience` seconds of silence. What it finds is given back by answer_clear().
void ask(const char *socket_path, const char *command, unsigned patience, struct answer *a);
void answer_clear(struct answer *a);

#endif
