// SPDX-License-Identifier: BSD-3-Clause
#include "ask.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PROTOCOL_VERSION 1
#define PATIENCE_SECONDS 10
#define REPLY_MAX        (512u << 20)

static int
reach(const char *path, char *err, size_t errlen)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = PATIENCE_SECONDS};
    if (strlen(path) >= sizeof a.sun_path) {
        snprintf(err, errlen, "the socket's path is longer than the %zu bytes that it may have: %s",
                 sizeof a.sun_path - 1, path);
        return -1;
    }
    memcpy(a.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) == 0 &&
        connect(fd, (struct sockaddr *)&a, sizeof a) == 0)
        return fd;
    snprintf(err, errlen,
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

static json_t *
read_reply(const char *text, size_t len, char *err, size_t errlen)
{
    json_error_t where;
    json_t *reply = json_loadb(text, len, 0, &where);
    const char *error = json_string_value(json_object_get(reply, "error"));
    json_t *result = json_incref(json_object_get(reply, "result"));
    if (!reply)
        snprintf(err, errlen, "the reply is not JSON: %s", where.text);
    else if (error)
        snprintf(err, errlen, "nbdzero-proxy says: %s", error);
    else if (!json_is_object(result))
        snprintf(err, errlen, "the reply has no result: does another program own the socket?");
    if (!json_is_object(result)) {
        json_decref(result);
        result = NULL;
    }
    json_decref(reply);
    return result;
}

json_t *
ask(const char *socket_path, const char *command, char *err, size_t errlen)
{
    int fd = reach(socket_path, err, errlen);
    if (fd < 0)
        return NULL;
    size_t len;
    char *line = send_request(fd, command) ? receive_line(fd, &len) : NULL;
    json_t *result = NULL;
    if (line)
        result = read_reply(line, len, err, errlen);
    else
        snprintf(err, errlen, "no answer at %s: %s", socket_path, strerror(errno));
    free(line);
    close(fd);
    return result;
}
