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

// A field that is too long is cut; the line itself has it whole, or cut, too.
static void
add_field(struct log_line *line, enum log_field field, const char *value)
{
    size_t most = field == LOG_EXPORT ? sizeof line->fields - line->fields_len - 1 : LOG_FIELD_MAX;
    if (!value)
        return;
    size_t len = strnlen(value, most);
    memcpy(line->fields + line->fields_len, value, len);
    line->fields[line->fields_len + len] = '\0';
    line->fields_len += (uint32_t)len + 1;
    line->known |= (uint8_t)(1u << field);
}

static void
add_fields(struct log_line *line, const struct log_about *about)
{
    line->known = 0;
    line->fields_len = 0;
    line->connection = about ? about->connection : 0;
    if (!about)
        return;
    add_field(line, LOG_CLIENT, about->client);
    add_field(line, LOG_LISTENER, about->listener);
    add_field(line, LOG_UPSTREAM, about->upstream);
    add_field(line, LOG_EXPORT, about->export);
}

bool
log_queue_put(struct log_queue *q, int64_t time, const struct log_head *head, const char *text,
              size_t len)
{
    struct log_line line;
    if (len > sizeof line.text)
        len = sizeof line.text;
    add_fields(&line, head->about);
    if (sizeof q->bytes - q->used < HEAD_BYTES + len + line.fields_len)
        return false;
    line.time = time;
    line.level = head->level;
    line.site = head->site;
    line.len = (uint32_t)len;
    copy_in(q, &line, HEAD_BYTES);
    copy_in(q, text, len);
    copy_in(q, line.fields, line.fields_len);
    return true;
}

bool
log_queue_take(struct log_queue *q, struct log_line *line)
{
    if (!q->used)
        return false;
    copy_out(q, line, HEAD_BYTES);
    copy_out(q, line->text, line->len);
    copy_out(q, line->fields, line->fields_len);
    return true;
}
