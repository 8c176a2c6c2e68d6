// SPDX-License-Identifier: BSD-3-Clause
// The commands of the control socket, in one table: what each is called, who may give it, what its
// request holds, and what is done. All of it runs on the main ring's thread.
#ifndef DAEMON_CONTROL_COMMAND_H
#define DAEMON_CONTROL_COMMAND_H

#include "collector.h"
#include "control_counts.h"
#include "control_peer.h"
#include "control_picture.h"
#include "reload.h"
#include "upgrade.h"

#include <jansson.h>

// What the commands have to work with. The process fills it, and it outlives all calls.
struct state_keeper;
struct control_means {
    struct ring *ring;
    struct collector *collector;
    struct control_picture picture;
    struct reload *reload;
    struct registry *registry;
    struct state_keeper *state; // NULL: nothing is saved
    struct control_counts *counts;
    // As SIGTERM does it. `who`: for the log. False: that has begun before.
    bool (*drain)(void *process, const char *who);
    struct upgrade *upgrade;
    void *process;
};

// A command that is being carried out for somebody who waits. Every command calls control_done()
// once: from within, or later. One that does it later sets `forget`; it is called if he goes or has
// waited too long, and control_done() must not be called after that.
struct control_call {
    struct control_means *means;
    struct control_peer peer;
    nstime patience; // from the time that the command returns; 2 s unless it says otherwise
    void (*forget)(struct control_call *call);
    const char *too_late;          // the error that is told when patience ends
    struct snapshot_waiter waiter; // of "json"
    struct upgrade_waiter upgrade; // of "upgrade"
    void *work;                    // of any other command
};

// Takes over `reply`: {"result": ...} or {"error": "...", ...}; NULL is told as out of memory.
// `call` is not the command's from now on.
void control_done(struct control_call *call, json_t *reply);
// The same with the reply as it goes over the socket, malloc'd; NULL is told as out of memory.
void control_done_line(struct control_call *call, char *line, size_t len);
// The same with an error in one line.
void control_failed(struct control_call *call, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

// What a request holds beside its command.
struct control_argument {
    const char *name;
    bool optional;
    const char *const *choices; // NULL at the end; NULL: any text
};
struct control_value {
    const char *text; // valid until the command returns; NULL: not given
    unsigned choice;
};
#define CONTROL_ARGUMENTS_MAX 4

struct control_command {
    const char *name;
    bool changes; // for those only who may change things; logged with who it was, and counted
    struct control_argument arguments[CONTROL_ARGUMENTS_MAX]; // those with a name
    void (*run)(struct control_call *call, const struct control_value *values);
};
extern const struct control_command control_commands[]; // one without a name is the end

// control_verdict.c
void control_verdict(struct control_call *call, const struct control_value *values);
extern const char *const control_verdict_words[];

#endif
