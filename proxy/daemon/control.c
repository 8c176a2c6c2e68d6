// SPDX-License-Identifier: BSD-3-Clause
#include "control.h"

#include "control_request.h"
#include "files.h"
#include "memory.h"

#include <base/log.h>
#include <errno.h>
#include <io/address.h>
#include <io/stream.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONVERSATIONS_MAX 16u
#define PEER_PATIENCE     (5 * NS_PER_SEC) // for a request to come, and for a reply to be taken
#define WORKER_PATIENCE   (2 * NS_PER_SEC)

struct conversation {
    struct control *control;
    struct conversation *next, **place;
    struct stream *stream;
    struct timer timer; // of the peer, or while it waits of the workers
    struct snapshot_waiter waiter;
    bool waiting;
};

struct control {
    struct ring *ring;
    struct collector *collector;
    struct reload *reload;
    struct acceptor acceptor;
    struct socket_file file;
    struct conversation *list;
    unsigned n;
};

#define CONVERSATION_OF(p, member)                                                                 \
    ((struct conversation *)((char *)(p)-offsetof(struct conversation, member)))

static void
end(struct conversation *v, enum stream_close how)
{
    struct control *c = v->control;
    timer_cancel(c->ring, &v->timer);
    collector_forget(c->collector, &v->waiter);
    stream_close(v->stream, how);
    *v->place = v->next;
    if (v->next)
        v->next->place = v->place;
    c->n--;
    free(v);
}

// Takes `line` over. False, and the conversation has ended, if there is no memory for it.
static bool
say(struct conversation *v, char *line, size_t len)
{
    struct buf *b = line ? buf_new(v->control->ring, len) : NULL;
    if (b) {
        memcpy(b->data, line, len);
        stream_send_buf(v->stream, b, b->data, len);
        buf_unref(b);
        // The clock itself: a reload may have taken its time.
        timer_set(v->control->ring, &v->timer, ring_clock(v->control->ring) + PEER_PATIENCE);
    } else {
        end(v, STREAM_ABORT);
    }
    free(line);
    return b;
}

static bool
say_error(struct conversation *v, const char *error)
{
    size_t len = 0;
    char *line = control_reply_error(error, &len);
    return say(v, line, len);
}

static void
snapshot_done(struct snapshot_waiter *w, json_t *snapshot)
{
    struct conversation *v = CONVERSATION_OF(w, waiter);
    size_t len = 0;
    char *line = snapshot ? control_reply_result(snapshot, &len) : NULL;
    v->waiting = false;
    if (line ? say(v, line, len) : say_error(v, "out of memory"))
        stream_nudge(v->stream); // what came meanwhile
}

enum turn { TURN_GOES_ON, TURN_WAITS_FOR_PEER, TURN_ENDED /* and v is gone */ };

static bool
reload(struct conversation *v)
{
    size_t len = 0;
    json_t *reply = reload_now(v->control->reload);
    char *line = control_reply(reply, &len);
    json_decref(reply);
    return say(v, line, len);
}

static enum turn
answer(struct conversation *v, const char *text, size_t len)
{
    char err[512];
    switch (control_request_parse(text, len, err, sizeof err)) {
    case CONTROL_BAD: return say_error(v, err) ? TURN_GOES_ON : TURN_ENDED;
    case CONTROL_RELOAD: return reload(v) ? TURN_GOES_ON : TURN_ENDED;
    case CONTROL_JSON: break;
    }
    if (!collector_ask(v->control->collector, &v->waiter))
        return say_error(v, "out of memory") ? TURN_GOES_ON : TURN_ENDED;
    v->waiting = true;
    timer_set(v->control->ring, &v->timer, ring_now(v->control->ring) + WORKER_PATIENCE);
    return TURN_GOES_ON;
}

// One request from what has come; the last one need not have a line's end.
static enum turn
take_request(struct conversation *v)
{
    size_t n;
    const char *text = (const char *)stream_peek(v->stream, &n);
    const char *newline = n ? memchr(text, '\n', n) : NULL;
    size_t len = newline ? (size_t)(newline - text) : n;
    if (len > CONTROL_REQUEST_MAX) {
        if (say_error(v, "the request is longer than 4096 bytes"))
            end(v, STREAM_FINISH);
        return TURN_ENDED;
    }
    if (!newline && !stream_ended(v->stream))
        return TURN_WAITS_FOR_PEER;
    char line[CONTROL_REQUEST_MAX];
    memcpy(line, text, len);
    stream_take(v->stream, len + (newline != NULL));
    return answer(v, line, len);
}

static void
ready(void *ctx)
{
    struct conversation *v = ctx;
    enum turn turn = TURN_GOES_ON;
    while (turn == TURN_GOES_ON && !v->waiting && stream_unsent(v->stream) <= STREAM_LOW) {
        if (stream_at_end(v->stream)) {
            end(v, STREAM_FINISH);
            return;
        }
        turn = take_request(v);
    }
    if (turn != TURN_ENDED)
        stream_want(v->stream, turn == TURN_WAITS_FOR_PEER ? CONTROL_REQUEST_MAX + 1 : 0);
}

static void
broken(void *ctx)
{
    end(ctx, STREAM_ABORT);
}

static void
patience_ends(struct timer *t)
{
    struct conversation *v = CONVERSATION_OF(t, timer);
    struct ring *ring = v->control->ring;
    if (v->waiting) {
        collector_forget(v->control->collector, &v->waiter);
        v->waiting = false;
        if (say_error(v, "a worker thread does not answer"))
            end(v, STREAM_FINISH);
        return;
    }
    nstime last = stream_last_sent(v->stream);
    if (stream_unsent(v->stream) && ring_now(ring) - last < PEER_PATIENCE)
        timer_set(ring, t, last + PEER_PATIENCE);
    else
        end(v, STREAM_ABORT);
}

static void
turn_away(int fd)
{
    size_t len;
    char *line = control_reply_error("too many control connections", &len);
    if (line && send(fd, line, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        log_debug("control: cannot say that there are too many connections: %s", strerror(errno));
    free(line);
    close(fd);
}

static void
accepted(struct acceptor *a, int fd)
{
    static const struct stream_handler handler = {.ready = ready, .broken = broken};
    struct control *c = (struct control *)((char *)a - offsetof(struct control, acceptor));
    struct conversation *v = c->n < CONVERSATIONS_MAX ? calloc(1, sizeof *v) : NULL;
    if (!v) {
        turn_away(fd);
        return;
    }
    v->stream = stream_new(c->ring, fd, 0, &handler, v);
    if (!v->stream) {
        free(v);
        return;
    }
    v->control = c;
    v->waiter.done = snapshot_done;
    v->timer.fire = patience_ends;
    v->next = c->list;
    v->place = &c->list;
    if (v->next)
        v->next->place = &v->next;
    c->list = v;
    c->n++;
    timer_set(c->ring, &v->timer, ring_now(c->ring) + PEER_PATIENCE);
    stream_want(v->stream, CONTROL_REQUEST_MAX + 1);
}

struct control *
control_open(struct ring *ring, struct collector *collector, struct reload *reload,
             const char *path, char *err, size_t errlen)
{
    struct address a = {.kind = ADDRESS_UNIX};
    snprintf(a.path, sizeof a.path, "%s", path);
    if (!make_parent(path, 0755)) {
        snprintf(err, errlen, "control-socket %s: cannot make its directory: %s", path,
                 strerror(errno));
        return NULL;
    }
    char cause[512];
    int fd = address_listen(&a, 0600, cause, sizeof cause);
    if (fd < 0) {
        snprintf(err, errlen, "control-socket: %s", cause);
        return NULL;
    }
    struct control *c = need_zeroed(1, sizeof *c);
    c->ring = ring;
    c->collector = collector;
    c->reload = reload;
    c->acceptor = (struct acceptor){.fd = fd, .accepted = accepted};
    socket_file_note(&c->file, path);
    accept_start(ring, &c->acceptor);
    return c;
}

void
control_close(struct control *c)
{
    if (!c)
        return;
    accept_stop(&c->acceptor);
    close(c->acceptor.fd);
    socket_file_unlink(&c->file);
    while (c->list)
        end(c->list, STREAM_FINISH);
    free(c);
}
