// SPDX-License-Identifier: BSD-3-Clause
#include "ask.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PROTOCOL_VERSION 1
#define REPLY_MAX        (512u << 20)

static void fail(struct answer *a, enum answer_kind kind, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void
fail(struct answer *a, enum answer_kind kind, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(a->error, sizeof a->error, fmt, ap);
    va_end(ap);
    a->kind = kind;
}

static int
reach(const char *path, unsigned seconds, struct answer *answer)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = seconds};
    if (strlen(path) >= sizeof a.sun_path) {
        fail(answer, ANSWER_STRANGE,
             "the socket's path is longer than the %zu bytes that it may have: %s",
             sizeof a.sun_path - 1, path);
        return -1;
    }
    memcpy(a.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) == 0 &&
        connect(fd, (struct sockaddr *)&a, sizeof a) == 0)
        return fd;
    // Who may not ask knows nothing of the daemon.
    fail(answer, errno == EACCES || errno == EPERM || fd < 0 ? ANSWER_STRANGE : ANSWER_NONE,
         "no answer at %s: %s (is nbdzero-proxy running? -s SOCKET names another socket)", path,
         strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

static bool
send_request(int fd, const char *command)
{
    char line[256];
    int len = snprintf(line, sizeof line, "{\"version\":%d,\"command\":\"%s\"}\n", PROTOCOL_VERSION,
                       command);
    return send(fd, line, (size_t)len, MSG_NOSIGNAL) == len;
}

// The first line of the reply, without its end; the caller's to free(). NULL with errno set.
static char *
receive_line(int fd, size_t *len)
{
    size_t cap = 64u << 10;
    char *text = malloc(cap);
    *len = 0;
    while (text) {
        ssize_t n = recv(fd, text + *len, cap - *len, 0);
        if (n <= 0) {
            errno = n == 0 ? ECONNRESET : errno == EAGAIN ? ETIMEDOUT : errno;
            break;
        }
        char *newline = memchr(text + *len, '\n', (size_t)n);
        if (newline) {
            *len = (size_t)(newline - text);
            return text;
        }
        *len += (size_t)n;
        if (*len < cap)
            continue;
        char *more = cap < REPLY_MAX ? realloc(text, cap *= 2) : NULL;
        if (!more) {
            errno = EMSGSIZE;
            break;
        }
        text = more;
    }
    int error = errno;
    free(text);
    errno = error;
    return NULL;
}

static void
read_reply(const char *text, size_t len, struct answer *a)
{
    json_error_t where;
    json_t *reply = json_loadb(text, len, 0, &where);
    const char *error = json_string_value(json_object_get(reply, "error"));
    json_t *result = json_object_get(reply, "result");
    if (!reply) {
        fail(a, ANSWER_STRANGE, "the reply is not JSON: %s", where.text);
    } else if (error) {
        fail(a, ANSWER_ERROR, "nbdzero-proxy says: %s", error);
        a->faults = json_incref(json_object_get(reply, "faults"));
    } else if (!json_is_object(result)) {
        fail(a, ANSWER_STRANGE, "the reply has no result: does another program own the socket?");
    } else {
        a->result = json_incref(result);
    }
    json_decref(reply);
}

void
ask(const char *socket_path, const char *command, unsigned patience, struct answer *a)
{
    *a = (struct answer){.kind = ANSWER_RESULT};
    int fd = reach(socket_path, patience, a);
    if (fd < 0)
        return;
    size_t len;
    char *line = send_request(fd, command) ? receive_line(fd, &len) : NULL;
    if (line)
        read_reply(line, len, a);
    else
        fail(a, ANSWER_NONE, "no answer at %s: %s", socket_path, strerror(errno));
    free(line);
    close(fd);
}

void
answer_clear(struct answer *a)
{
    json_decref(a->result);
    json_decref(a->faults);
    a->result = a->faults = NULL;
}
