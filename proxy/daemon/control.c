// SPDX-License-Identifier: BSD-3-Clause
#include "control.h"

#include "control_request.h"
#include "control_socket.h"
#include "memory.h"

#include <base/log.h>
#include <errno.h>
#include <io/stream.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONVERSATIONS_MAX 16u
#define STRANGERS_MAX     8u // of these: who may only ask must not keep away those who may act
#define PEER_PATIENCE     (5 * NS_PER_SEC) // for a request to come, and for a reply to be taken
#define CALL_PATIENCE     (2 * NS_PER_SEC)

struct conversation {
    struct control *control;
    struct conversation *next, **place;
    struct stream *stream;
    struct timer timer; // of the peer, or while it waits of the command
    struct control_call call;
    bool waiting; // for the command's reply
    bool inside;  // the command itself, which may reply at once:
    char *line;   // so
    size_t len;
};

struct control {
    struct control_means *means;
    gid_t group; // may change things
    struct acceptor acceptor;
    struct socket_file file;
    bool elsewhere; // another process has the socket, too: its file is not ours to remove
    bool accepting;
    struct conversation *list;
    unsigned strangers;
};

#define CONVERSATION_OF(p, member)                                                                 \
    ((struct conversation *)((char *)(p)-offsetof(struct conversation, member)))

static struct ring *
ring_of(const struct conversation *v)
{
    return v->control->means->ring;
}

static struct control_counts *
counts_of(const struct conversation *v)
{
    return v->control->means->counts;
}

static void
forget_call(struct conversation *v)
{
    if (v->waiting && v->call.forget)
        v->call.forget(&v->call);
    v->waiting = false;
}

static void
end(struct conversation *v, enum stream_close how)
{
    timer_cancel(ring_of(v), &v->timer);
    forget_call(v);
    stream_close(v->stream, how);
    *v->place = v->next;
    if (v->next)
        v->next->place = v->place;
    v->control->strangers -= !v->call.peer.may_change;
    counts_of(v)->conversations--;
    free(v);
}

// Takes `line` over. False, and the conversation has ended, if there is no memory for it.
static bool
say(struct conversation *v, char *line, size_t len)
{
    struct buf *b = line ? buf_new(ring_of(v), len) : NULL;
    if (b) {
        memcpy(b->data, line, len);
        stream_send_buf(v->stream, b, b->data, len);
        buf_unref(b);
        // The clock itself: a reload may have taken its time.
        timer_set(ring_of(v), &v->timer, ring_clock(ring_of(v)) + PEER_PATIENCE);
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
    char *line = control_error_line(error, &len);
    return say(v, line, len);
}

void
control_done(struct control_call *call, json_t *reply)
{
    size_t len = 0;
    char *line = reply ? control_reply_line(reply, &len) : NULL;
    json_decref(reply);
    control_done_line(call, line, len);
}

void
control_done_line(struct control_call *call, char *line, size_t len)
{
    struct conversation *v = CONVERSATION_OF(call, call);
    if (!line)
        line = control_error_line("out of memory", &len);
    v->waiting = false;
    if (v->inside) {
        v->line = line;
        v->len = len;
    } else if (say(v, line, len)) {
        stream_nudge(v->stream); // what came meanwhile
    }
}

enum turn { TURN_GOES_ON, TURN_WAITS_FOR_PEER, TURN_ENDED /* and v is gone */ };

static enum turn
carry_out(struct conversation *v, const struct control_request *r)
{
    v->call = (struct control_call){.means = v->control->means,
                                    .peer = v->call.peer,
                                    .patience = CALL_PATIENCE,
                                    .too_late = "it takes too long"};
    v->waiting = v->inside = true;
    if (r->command->changes)
        control_picture_drop(&v->control->means->picture);
    r->command->run(&v->call, r->values);
    v->inside = false;
    if (!v->waiting)
        return say(v, v->line, v->len) ? TURN_GOES_ON : TURN_ENDED;
    timer_set(ring_of(v), &v->timer, ring_clock(ring_of(v)) + v->call.patience);
    return TURN_GOES_ON;
}

static bool
may(const struct conversation *v, const struct control_request *r)
{
    char who[64], what[512];
    if (!r->command->changes)
        return true;
    control_peer_text(&v->call.peer, who, sizeof who);
    control_request_text(r, what, sizeof what);
    if (v->call.peer.may_change) {
        counts_of(v)->changes++;
        log_info("control: %s: %s", who, what);
        return true;
    }
    counts_of(v)->denied++;
    log_warn("control: %s may not have it done: %s", who, what);
    return false;
}

static enum turn
answer(struct conversation *v, const char *text, size_t len)
{
    char err[512], who[64];
    struct control_request r;
    enum turn turn;
    counts_of(v)->requests++;
    if (!control_request_parse(text, len, &r, err, sizeof err)) {
        counts_of(v)->malformed++;
        return say_error(v, err) ? TURN_GOES_ON : TURN_ENDED;
    }
    if (may(v, &r)) {
        turn = carry_out(v, &r);
    } else {
        snprintf(
            err, sizeof err,
            "permission denied: %s may only ask; \"%s\" is for root, the user of nbdzero-proxy "
            "and the members of control-socket-group",
            control_peer_text(&v->call.peer, who, sizeof who), r.command->name);
        turn = say_error(v, err) ? TURN_GOES_ON : TURN_ENDED;
    }
    control_request_clear(&r);
    return turn;
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
        counts_of(v)->malformed++;
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
    if (v->waiting) {
        forget_call(v);
        if (say_error(v, v->call.too_late))
            end(v, STREAM_FINISH);
        return;
    }
    nstime last = stream_last_sent(v->stream);
    if (stream_unsent(v->stream) && ring_now(ring_of(v)) - last < PEER_PATIENCE)
        timer_set(ring_of(v), t, last + PEER_PATIENCE);
    else
        end(v, STREAM_ABORT);
}

// Coming and going -------------------------------------------------------------------------

static void
turn_away(const struct control *c, int fd)
{
    size_t len;
    char *line = control_error_line("too many control connections", &len);
    c->means->counts->refused++;
    if (line && send(fd, line, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        log_debug("control: cannot say that there are too many connections: %s", strerror(errno));
    free(line);
    close(fd);
}

static bool
has_room(const struct control *c, const struct control_peer *peer)
{
    return c->means->counts->conversations < CONVERSATIONS_MAX &&
           (peer->may_change || c->strangers < STRANGERS_MAX);
}

static void
begin(struct control *c, struct conversation *v, const struct control_peer *peer)
{
    v->control = c;
    v->call.peer = *peer;
    v->timer.fire = patience_ends;
    v->next = c->list;
    v->place = &c->list;
    if (v->next)
        v->next->place = &v->next;
    c->list = v;
    c->strangers += !peer->may_change;
    c->means->counts->conversations++;
    timer_set(c->means->ring, &v->timer, ring_now(c->means->ring) + PEER_PATIENCE);
    stream_want(v->stream, CONTROL_REQUEST_MAX + 1);
}

static void
accepted(struct acceptor *a, int fd)
{
    static const struct stream_handler handler = {.ready = ready, .broken = broken};
    struct control *c = (struct control *)((char *)a - offsetof(struct control, acceptor));
    struct control_peer peer = control_peer_of(fd, c->group);
    struct conversation *v = has_room(c, &peer) ? calloc(1, sizeof *v) : NULL;
    if (!v) {
        turn_away(c, fd);
        return;
    }
    v->stream = stream_new(c->means->ring, fd, 0, &handler, v);
    if (v->stream)
        begin(c, v, &peer);
    else
        free(v);
}

void
control_accept(struct control *c, bool on)
{
    if (!c || c->accepting == on || c->acceptor.fd < 0)
        return;
    c->accepting = on;
    if (on)
        accept_start(c->means->ring, &c->acceptor);
    else
        accept_stop(&c->acceptor);
}

struct control *
control_open(struct control_means *means, const struct config *config, char *err, size_t errlen)
{
    struct socket_file file;
    bool elsewhere;
    int fd = control_socket_open(config, &file, &elsewhere, err, errlen);
    if (fd < 0)
        return NULL;
    struct control *c = need_zeroed(1, sizeof *c);
    c->means = means;
    c->group = config->control_group;
    c->file = file;
    c->elsewhere = elsewhere;
    c->acceptor = (struct acceptor){.fd = fd, .accepted = accepted};
    control_accept(c, true);
    return c;
}

void
control_change(struct control *c, const struct config *next, struct faults *f)
{
    if (!c)
        return;
    c->group = next->control_group;
    control_socket_change(&c->file, next, f);
}

void
control_hand(const struct control *c, struct handed *to)
{
    if (c && socket_file_there(&c->file))
        handed_add(to, INHERITED_CONTROL, c->file.path, c->acceptor.fd);
}

void
control_own(struct control *c)
{
    if (c)
        c->elsewhere = false;
}

void
control_leave(struct control *c)
{
    if (!c || c->acceptor.fd < 0)
        return;
    control_accept(c, false);
    close(c->acceptor.fd);
    c->acceptor.fd = -1;
    c->elsewhere = true;
}

void
control_close(struct control *c)
{
    if (!c)
        return;
    bool elsewhere = c->elsewhere;
    control_leave(c);
    if (!elsewhere)
        socket_file_unlink(&c->file);
    while (c->list)
        end(c->list, STREAM_FINISH);
    free(c);
}
