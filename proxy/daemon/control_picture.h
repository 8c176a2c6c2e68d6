// SPDX-License-Identifier: BSD-3-Clause
// The last snapshot as text, for whoever asks when pictures have cost enough for now.
#ifndef DAEMON_CONTROL_PICTURE_H
#define DAEMON_CONTROL_PICTURE_H

#include <base/time.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct control_picture {
    char *text; // NULL: none that is true still
    size_t len;
    nstime made;
    uint64_t number; // of all that the collector made
};

// Makes it the last one, unless it is already. Out of memory: there is none.
void control_picture_take(struct control_picture *p, const json_t *snapshot, uint64_t number,
                          nstime now);
// Something has been changed by order: who asks then wants to see it.
void control_picture_drop(struct control_picture *p);
// The reply to "json", as control_reply_line() would make it, and how old it is. NULL: out of
// memory, or there is none.
char *control_picture_line(const struct control_picture *p, nstime now, size_t *len);

#endif
