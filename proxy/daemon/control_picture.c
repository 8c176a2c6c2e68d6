// SPDX-License-Identifier: BSD-3-Clause
#include "control_picture.h"

#include "control_request.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
control_picture_drop(struct control_picture *p)
{
    free(p->text);
    *p = (struct control_picture){0};
}

void
control_picture_take(struct control_picture *p, const json_t *snapshot, uint64_t number, nstime now)
{
    if (p->text && p->number == number)
        return;
    control_picture_drop(p);
    p->number = number;
    p->text = json_dumps(snapshot, JSON_COMPACT);
    p->len = p->text ? strlen(p->text) : 0;
    p->made = now;
}

char *
control_picture_line(const struct control_picture *p, nstime now, size_t *len)
{
    char head[80];
    uint64_t age = now > p->made ? (now - p->made) / NS_PER_MS : 0;
    int n = snprintf(head, sizeof head,
                     "{\"version\":%u,\"age_ms\":%" PRIu64 ",\"result\":", CONTROL_VERSION, age);
    *len = (size_t)n + p->len + 2;
    char *line = p->text ? malloc(*len) : NULL;
    if (!line)
        return NULL;
    memcpy(line, head, (size_t)n);
    memcpy(line + n, p->text, p->len);
    memcpy(line + n + p->len, "}\n", 2);
    return line;
}
