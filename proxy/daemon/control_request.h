// SPDX-License-Identifier: BSD-3-Clause
// The control protocol, nbdzero-control(7): a request is one line of JSON, the reply is one line of
// JSON.
//   {"version":1,"command":"json"}
//   {"version":1,"result":{...}}    or    {"version":1,"error":"what is wrong"}
// More keys may follow in replies: an error of "reload" comes with "faults".
#ifndef DAEMON_CONTROL_REQUEST_H
#define DAEMON_CONTROL_REQUEST_H

#include "control_command.h"

#include <jansson.h>
#include <stddef.h>

#define CONTROL_VERSION     1
#define CONTROL_REQUEST_MAX 4096u // bytes of a line

struct control_request {
    const struct control_command *command;
    struct control_value values[CONTROL_ARGUMENTS_MAX]; // of its arguments, in their order
    json_t *json;                                       // holds the texts
};

// False, and why in err; then there is nothing to free. A command that changes something must have
// no key that it does not know: a misspelt one would change something else.
bool control_request_parse(const char *text, size_t len, struct control_request *r, char *err,
                           size_t errlen);
void control_request_clear(struct control_request *r);
// "verdict disk slow": the command and its arguments, for the log; returns buf.
const char *control_request_text(const struct control_request *r, char *buf, size_t cap);

// One line, its end included, in memory that is the caller's to free(); NULL: out of memory.
// "version" is put before what the object holds.
char *control_reply_line(const json_t *reply, size_t *len);
char *control_error_line(const char *error, size_t *len);

#endif
