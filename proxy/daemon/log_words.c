// SPDX-License-Identifier: BSD-3-Clause
#include "log_words.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const int priorities[] = {3, 4, 6, 7}; // syslog(3)'s

// A line stays one line, and a field one field, whoever made up its text.
static size_t
add_clean(char *out, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        out[i] = (unsigned char)text[i] < 0x20 && text[i] != '\t' ? '?' : text[i];
    return len;
}

size_t
log_plain(const struct log_line *line, enum log_style style, char *out)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    size_t n = 0;
    if (style == LOG_STYLE_JOURNAL) {
        n = (size_t)snprintf(out, 8, "<%d>", priorities[line->level]);
    } else {
        if (style == LOG_STYLE_TIMED) {
            time_t seconds = (time_t)(line->time / 1000000);
            struct tm tm;
            n = strftime(out, 32, "%F %T", localtime_r(&seconds, &tm));
            n += (size_t)snprintf(out + n, 8, ".%03d ", (int)(line->time / 1000 % 1000));
        }
        n += (size_t)snprintf(out + n, 8, "%s ", names[line->level]);
    }
    n += add_clean(out + n, line->text, line->len);
    out[n++] = '\n';
    return n;
}

static size_t
add_field(char *out, const char *name, const char *value, size_t len)
{
    size_t n = strlen(name);
    memcpy(out, name, n);
    out[n++] = '=';
    n += add_clean(out + n, value, len);
    out[n++] = '\n';
    return n;
}

static size_t
add_number(char *out, const char *name, uint64_t value)
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%" PRIu64, value);
    return add_field(out, name, digits, (size_t)n);
}

// The compiler's name for the file depends on where it was built.
static const char *
file_in_tree(const char *file)
{
    const char *found = strstr(file, "proxy/");
    return found ? found : file;
}

// No value has a newline, so that the simple form of the protocol does (systemd's "Native journal
// protocol").
size_t
log_native(const struct log_line *line, char *out)
{
    static const char *const names[] = {
        [LOG_CLIENT] = "NBDZERO_CLIENT",
        [LOG_LISTENER] = "NBDZERO_LISTENER",
        [LOG_UPSTREAM] = "NBDZERO_UPSTREAM",
        [LOG_EXPORT] = "NBDZERO_EXPORT",
    };
    size_t n = add_field(out, "MESSAGE", line->text, line->len);
    n += add_number(out + n, "PRIORITY", (uint64_t)priorities[line->level]);
    n += add_field(out + n, "SYSLOG_IDENTIFIER", "nbdzero-proxy", 13);
    if (line->site) {
        const char *file = file_in_tree(line->site->file);
        n += add_field(out + n, "CODE_FILE", file, strnlen(file, 128));
        n += add_number(out + n, "CODE_LINE", line->site->line);
    }
    if (line->connection)
        n += add_number(out + n, "NBDZERO_CONNECTION", line->connection);
    const char *value = line->fields;
    for (unsigned i = 0; i < LOG_FIELDS; i++) {
        if (!(line->known & 1u << i))
            continue;
        n += add_field(out + n, names[i], value, strlen(value));
        value += strlen(value) + 1;
    }
    return n;
}
