// SPDX-License-Identifier: BSD-3-Clause
// The control protocol: a request is one line of JSON, the reply is one line of JSON.
//   {"version":1,"command":"json"}
//   {"version":1,"result":{...}}    or    {"version":1,"error":"what is wrong"}
// More keys may follow in replies: an error of "reload" comes with "faults".
#ifndef DAEMON_CONTROL_REQUEST_H
#define DAEMON_CONTROL_REQUEST_H

#include <jansson.h>
#include <stddef.h>

#define CONTROL_VERSION     1
#define CONTROL_REQUEST_MAX 4096u // bytes of a line

enum control_command {
    CONTROL_BAD, // err says why
    CONTROL_JSON,
    CONTROL_RELOAD,
};
enum control_command control_request_parse(const char *text, size_t len, char *err, size_t errlen);

// One line, its end included, in memory that is the caller's to free(); NULL: out of memory.
char *control_reply(json_t *reply, size_t *len); // an object; "version" is put before it
char *control_reply_result(json_t *result, size_t *len);
char *control_reply_error(const char *error, size_t *len);

#endif
