// SPDX-License-Identifier: BSD-3-Clause
#include "ask.h"

#include "safe.h"
#include "trouble.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PROTOCOL_VERSION 1
#define REPLY_FIRST      (64u << 10)
#define REPLY_MAX        (512u << 20)

json_t *
ask_request(const char *command)
{
    return json_pack("{s:i, s:s}", "version", PROTOCOL_VERSION, "command", command);
}

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

static void
fail_by(struct answer *a, const char *path, int error)
{
    // Who may not ask knows nothing of the daemon.
    a->kind = error == EACCES || error == EPERM || error == ENAMETOOLONG || error == EMFILE
                  ? ANSWER_STRANGE
                  : ANSWER_NONE;
    trouble_explain(path, error, a->error, sizeof a->error);
}

void
ask_begin(struct asking *q, const char *path, json_t *request, double patience)
{
    *q = (struct asking){.path = path, .request = request, .fd = -1};
    q->until = clock_now() + patience;
}

void
ask_stop(struct asking *q)
{
    json_decref(q->request);
    free(q->text);
    if (q->fd >= 0)
        close(q->fd);
    *q = (struct asking){.fd = -1};
}

// Connects; 0, or why not. A queue of connections that is full passes: EAGAIN.
static int
reach(struct asking *q)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (strlen(q->path) >= sizeof a.sun_path)
        return ENAMETOOLONG;
    memcpy(a.sun_path, q->path, strlen(q->path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return errno;
    if (connect(fd, (struct sockaddr *)&a, sizeof a) < 0) {
        int error = errno;
        close(fd);
        return error;
    }
    q->fd = fd;
    return 0;
}

// Whoever closes at once may have said why: the reply is looked for all the same.
static void
send_request(struct asking *q)
{
    char *text = or_die(json_dumps(q->request, JSON_COMPACT));
    size_t len = strlen(text);
    text[len++] = '\n'; // in the place of the string's end
    if (send(q->fd, text, len, MSG_NOSIGNAL) < 0)
        errno = 0;
    free(text);
    json_decref(q->request);
    q->request = NULL;
}

static void
read_reply(const struct asking *q, size_t len, struct answer *a)
{
    json_error_t where;
    json_t *reply = json_loadb(q->text, len, 0, &where);
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
        a->kind = ANSWER_RESULT;
        a->result = json_incref(result);
        a->age = (double)json_integer_value(json_object_get(reply, "age_ms")) / 1e3;
    }
    json_decref(reply);
}

// What has come up to now. True: more is to come.
static bool
receive(struct asking *q, struct answer *a)
{
    for (;;) {
        if (q->len == q->cap) {
            if (q->cap >= REPLY_MAX) {
                fail_by(a, q->path, EMSGSIZE);
                return false;
            }
            q->cap = q->cap ? q->cap * 2 : REPLY_FIRST;
            q->text = or_die(realloc(q->text, q->cap));
        }
        ssize_t n = recv(q->fd, q->text + q->len, q->cap - q->len, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return true;
        if (n <= 0) {
            fail_by(a, q->path, n ? errno : ECONNRESET);
            return false;
        }
        char *newline = memchr(q->text + q->len, '\n', (size_t)n);
        q->len += (size_t)n;
        if (newline) {
            read_reply(q, (size_t)(newline - q->text), a);
            return false;
        }
    }
}

static bool
go_on(struct asking *q, struct answer *a)
{
    if (q->fd < 0) {
        int error = reach(q);
        if (error && error != EAGAIN) {
            fail_by(a, q->path, error);
            return false;
        }
        if (!error)
            send_request(q);
    }
    if (q->fd >= 0 && !receive(q, a))
        return false;
    if (clock_now() < q->until)
        return true;
    fail_by(a, q->path, ETIMEDOUT);
    return false;
}

bool
ask_goes_on(struct asking *q, struct answer *a)
{
    *a = (struct answer){0};
    if (go_on(q, a))
        return true;
    ask_stop(q);
    return false;
}

void
ask(const char *socket_path, json_t *request, double patience, struct answer *a)
{
    struct asking q;
    ask_begin(&q, socket_path, or_die(request), patience);
    while (ask_goes_on(&q, a)) {
        struct pollfd p = {.fd = q.fd, .events = POLLIN}; // a negative fd is passed over
        double left = q.until - clock_now();
        if (q.fd < 0 && left > ASK_AGAIN)
            left = ASK_AGAIN;
        poll(&p, 1, left > 0 ? (int)(left * 1000) + 1 : 0);
    }
}

void
answer_clear(struct answer *a)
{
    json_decref(a->result);
    json_decref(a->faults);
    a->result = a->faults = NULL;
}
