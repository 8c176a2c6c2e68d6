// SPDX-License-Identifier: BSD-3-Clause
// Asking the daemon over its control socket: one line of JSON there, one line back
// (nbdzero-control(7)).
#ifndef STAT_ASK_H
#define STAT_ASK_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define DEFAULT_SOCKET "/run/nbdzero/control.sock"

enum answer_kind {
    ANSWER_RESULT,
    ANSWER_ERROR,   // the daemon cannot or will not
    ANSWER_NONE,    // nobody has answered
    ANSWER_STRANGE, // we cannot ask, or this is not our daemon
};

struct answer {
    enum answer_kind kind;
    json_t *result;  // ANSWER_RESULT: an object,
    double age;      // so many seconds old
    json_t *faults;  // ANSWER_ERROR: an array of lines, where there is more to say; else NULL
    char error[512]; // what is wrong, in one line
};

// A request of that command; NULL: out of memory. Arguments are set in it as further keys.
json_t *ask_request(const char *command);

// Sends it and waits, at most `patience` seconds in all. Takes `request` over. What is found is
// given back by answer_clear().
void ask(const char *socket_path, json_t *request, double patience, struct answer *a);
void answer_clear(struct answer *a);

// The same for who has other things to do meanwhile.
struct asking {
    const char *path;
    json_t *request; // until it is sent
    double until;    // in seconds of clock_now()
    int fd;          // ready to be read when there is something to do; -1: none yet
    char *text;
    size_t len, cap;
};
#define ASK_AGAIN 0.05 // seconds: call ask_goes_on() at least so often

// `path` must last.
void ask_begin(struct asking *q, const char *path, json_t *request, double patience);
// False: it is over, and `a` holds what was found.
bool ask_goes_on(struct asking *q, struct answer *a);
// Gives it up before it is over.
void ask_stop(struct asking *q);

#endif
