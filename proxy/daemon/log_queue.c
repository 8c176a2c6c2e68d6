// SPDX-License-Identifier: BSD-3-Clause
#include "log_queue.h"

#include <string.h>

#define HEAD_BYTES offsetof(struct log_line, text)

static void
copy_in(struct log_queue *q, const void *from, size_t n)
{
    size_t tail = (q->head + q->used) % sizeof q->bytes;
    size_t first = sizeof q->bytes - tail < n ? sizeof q->bytes - tail : n;
    memcpy(q->bytes + tail, from, first);
    memcpy(q->bytes, (const uint8_t *)from + first, n - first);
    q->used += n;
}

static void
copy_out(struct log_queue *q, void *to, size_t n)
{
    size_t first = sizeof q->bytes - q->head < n ? sizeof q->bytes - q->head : n;
    memcpy(to, q->bytes + q->head, first);
    memcpy((uint8_t *)to + first, q->bytes, n - first);
    q->head = (q->head + n) % sizeof q->bytes;
    q->used -= n;
}

bool
log_queue_put(struct log_queue *q, int64_t time, enum log_level level, const char *text, size_t len)
{
    struct log_line line;
    if (len > sizeof line.text)
        len = sizeof line.text;
    if (sizeof q->bytes - q->used < HEAD_BYTES + len)
        return false;
    line.time = time;
    line.level = level;
    line.len = (uint32_t)len;
    copy_in(q, &line, HEAD_BYTES);
    copy_in(q, text, len);
    return true;
}

bool
log_queue_take(struct log_queue *q, struct log_line *line)
{
    if (!q->used)
        return false;
    copy_out(q, line, HEAD_BYTES);
    copy_out(q, line->text, line->len);
    return true;
}
