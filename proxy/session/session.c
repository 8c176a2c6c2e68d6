// SPDX-License-Identifier: BSD-3-Clause
// Birth, deadlines, and the order of teardown.
#include "session.h"

#include "task.h"
#include "words.h"
#include <base/text.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void
session_log_(const struct session *s, struct log_site *site, enum log_level level, const char *fmt,
             ...)
{
    char text[LOG_LINE_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    struct log_about about = {.connection = s->id,
                              .client = s->peer,
                              .listener = s->listener->name,
                              .upstream = s->target ? s->target->name : NULL,
                              .export = s->export_text};
    log_at((struct log_head){.site = site, .level = level, .about = &about}, "[%llu %s %s/%s] %s",
           (unsigned long long)s->id, s->peer, s->target ? s->target->name : "-",
           s->export_text ? s->export_text : "-", text);
}

static void
client_ready(void *ctx)
{
    session_turn(ctx);
}

static void
client_broken(void *ctx)
{
    struct session *s = ctx;
    char what[STREAM_WORDS];
    bool tls = stream_tls_error(s->client);
    session_client_lost(s, tls ? END_CLIENT_TLS : END_CLIENT_BROKEN, stream_words(s->client, what));
    session_turn(s);
}

static void
upstream_broken(void *ctx)
{
    struct session *s = ctx;
    char what[STREAM_WORDS];
    session_upstream_lost(s, END_UPSTREAM_LOST, stream_words(s->upstream, what));
}

const struct stream_handler session_client_handler = {.ready = client_ready,
                                                      .broken = client_broken};
const struct stream_handler session_upstream_handler = {.ready = client_ready,
                                                        .broken = upstream_broken};

// Deadlines -------------------------------------------------------------------------------

// Has this direction stood still for `limit` while it ought to move? It is looked at a few times in
// that time; whenever it has moved, or need not, waiting begins anew.
static bool
stands_still(struct progress *p, bool ought, nstime moved, nstime limit, nstime now)
{
    if (!ought || moved != p->moved || !p->since) {
        p->moved = moved;
        p->since = now;
        return false;
    }
    return now - p->since >= limit;
}

// Are bytes of a message still to come that we are willing to take? Between messages a peer may be
// silent for ever.
static bool
awaits_rest(struct stream *st, uint64_t payload_left, size_t wants)
{
    size_t n;
    stream_peek(st, &n);
    return wants && (payload_left || n);
}

// `may_send`: the peer has no reason of our making not to take what we send. A server that waits
// for us to read its replies takes no more requests, and we read none while its client is slow.
static bool
stream_stalled(struct stream *st, struct progress *in, struct progress *out, uint64_t payload_left,
               size_t wants, bool may_send, nstime limit, nstime now)
{
    // By the socket's bytes, for those inside TLS count by whole records.
    bool in_still = stands_still(in, awaits_rest(st, payload_left, wants), stream_last_received(st),
                                 limit, now);
    bool out_still =
        stands_still(out, may_send && stream_unsent(st) > 0, stream_last_sent(st), limit, now);
    return in_still || out_still;
}

// Who gives a probe up may leave a chunk zeroed: not for an io-timeout that is meant for messages.
#define PROBE_HUNG (60 * NS_PER_SEC)

// A reply may take as long as it takes, unless others wait for it: those whom a guard holds back,
// or everybody, when connections pile up whose clients have gone.
static bool
is_hung(struct session *s, nstime limit, nstime now)
{
    bool ought = s->slots && (s->exclusive || s->repairs || s->phase == PHASE_FINISHING);
    if (s->exclusive && limit < PROBE_HUNG)
        limit = PROBE_HUNG;
    return stands_still(&s->upstream_owes, ought, stream_last_received(s->upstream), limit, now);
}

static void
check_stalls(struct session *s, nstime now)
{
    nstime limit = s->settings->limits.io_timeout;
    if (!limit)
        return;
    size_t upstream_wanted = s->upstream ? upstream_wants(s) : 0;
    if (s->client && stream_stalled(s->client, &s->client_in, &s->client_out, s->payload_left,
                                    client_wants(s), true, limit, now))
        session_client_lost(s, END_CLIENT_STALLED, "no progress within io-timeout");
    else if (s->upstream &&
             stream_stalled(s->upstream, &s->upstream_in, &s->upstream_out, s->reply_left,
                            upstream_wanted, upstream_wanted > 0, limit, now))
        session_upstream_lost(s, END_UPSTREAM_STALLED, "no progress within io-timeout");
    else if (s->upstream && is_hung(s, limit, now))
        session_upstream_lost(s, END_UPSTREAM_STALLED,
                              "no reply within io-timeout, and others wait for it");
}

static void
set_timer(struct session *s, nstime now)
{
    if (s->phase == PHASE_HANDSHAKE) {
        timer_set(s->worker->ring, &s->timer, s->began + s->settings->limits.handshake_timeout);
        return;
    }
    // A stall is noticed within a quarter of the limit; an idle session costs four looks a limit.
    nstime limit = s->settings->limits.io_timeout;
    if (limit)
        timer_set(s->worker->ring, &s->timer, now + limit / 4 + NS_PER_MS);
    else
        timer_cancel(s->worker->ring, &s->timer);
}

static void
session_timer(struct timer *t)
{
    struct session *s = (struct session *)((char *)t - offsetof(struct session, timer));
    nstime now = session_now(s);
    if (s->phase == PHASE_HANDSHAKE)
        session_end(s, END_HANDSHAKE_TIMEOUT);
    else
        check_stalls(s, now);
    if (session_alive(s))
        session_turn(s);
    if (session_alive(s))
        set_timer(s, now);
}

// Birth and death -------------------------------------------------------------------------

static void
session_free(struct session *s)
{
    struct worker *w = s->worker;
    if (s->next)
        s->next->prev = s->prev;
    if (s->prev)
        s->prev->next = s->next;
    else
        w->sessions = s->next;
    while (s->late) {
        struct late_reply *l = s->late;
        s->late = l->next;
        free(l);
    }
    negotiation_free(s);
    free(s->peer);
    free(s->export_text);
    settings_unref(s->settings);
    free(s);
    atomic_fetch_sub(&w->n_sessions, 1);
}

static void
reap(struct timer *t)
{
    struct session *s = (struct session *)((char *)t - offsetof(struct session, timer));
    struct worker *w = s->worker;
    session_free(s);
    worker_check_drained(w);
}

void
worker_accept(struct worker *w, int fd, struct settings *settings,
              const struct listener_settings *listener, struct client_counter *client, uint64_t id)
{
    struct session *s = calloc(1, sizeof *s);
    char peer[ADDRESS_TEXT];
    address_of_peer(fd, peer, sizeof peer);
    if (!s || !(s->peer = strdup(peer))) {
        free(s);
        close(fd);
        connection_left(listener, client);
        settings_unref(settings);
        return;
    }
    s->worker = w;
    s->id = id;
    s->settings = settings;
    s->listener = listener;
    s->of_client = client;
    s->target = listener->upstream;
    s->began = ring_clock(w->ring);
    s->allocation = -1;
    s->timer.fire = session_timer;
    s->next = w->sessions;
    if (s->next)
        s->next->prev = s;
    w->sessions = s;
    atomic_fetch_add(&w->n_sessions, 1);
    s->client = stream_new(w->ring, fd, settings->limits.keepalive, &session_client_handler, s);
    if (!s->client || w->draining || !negotiation_begin(s)) {
        session_end(s, w->draining ? END_DRAINED : END_NO_MEMORY);
        return;
    }
    session_log(s, LOG_LEVEL_DEBUG, "connected to listener %s", listener->name);
    set_timer(s, s->began);
    session_turn(s);
}

static void
close_upstream(struct session *s)
{
    if (!s->upstream)
        return;
    // DISC only between messages: inside one it would be taken for payload (spec: "Terminating the
    // transmission phase").
    bool between = !(s->payload_left && s->payload_to == PAYLOAD_UPSTREAM);
    if (between && s->phase != PHASE_HANDSHAKE) {
        enum wire_format f = s->facts.upstream_format;
        uint8_t disc[REQUEST_SIZE_MAX];
        request_encode(f, disc, &(struct request){.type = NBD_CMD_DISC});
        stream_send_copy(s->upstream, disc, request_size(f));
    }
    stream_close(s->upstream, between ? STREAM_FINISH : STREAM_ABORT);
    s->upstream = NULL;
}

void
session_end(struct session *s, enum session_ending why)
{
    if (s->phase == PHASE_DEAD)
        return;
    bool loud = session_ending_who(why) == 'c' || session_ending_who(why) == 'u';
    // Whoever connects and leaves, or sends nothing that is NBD, is not worth an operator's time.
    session_log(s, loud && s->phase != PHASE_HANDSHAKE ? LOG_LEVEL_WARN : LOG_LEVEL_INFO,
                "ended: %s", session_ending_name(why));
    s->worker->endings[why]++;
    s->dropping = true;
    tasks_drop(s);
    close_upstream(s);
    negotiation_close(s);
    while (s->slots) {
        s->counters->endings[REQUEST_ABANDONED]++;
        session_release(s, s->slots);
    }
    if (s->client)
        stream_close(s->client, STREAM_FINISH);
    s->client = NULL;
    if (s->export)
        export_close(s->export, why == END_UPSTREAM_LOST || why == END_UPSTREAM_BREACH ||
                                    why == END_UPSTREAM_STALLED);
    s->export = NULL;
    s->phase = PHASE_DEAD;
    connection_left(s->listener, s->of_client);
    // Callers up the stack may still look at it: freed by the timer, from the ring's own turn.
    s->timer.fire = reap;
    timer_set(s->worker->ring, &s->timer, session_now(s));
}

void
session_finish(struct session *s, enum session_ending why)
{
    if (s->phase == PHASE_HANDSHAKE) {
        session_end(s, why);
        return;
    }
    if (s->phase != PHASE_TRANSMISSION)
        return;
    s->phase = PHASE_FINISHING;
    s->ending = why;
    tasks_client_leaves(s);
}

void
session_client_lost(struct session *s, enum session_ending why, const char *what)
{
    if (!session_alive(s))
        return;
    session_log(s, LOG_LEVEL_INFO, "client: %s", what);
    if (s->phase == PHASE_HANDSHAKE) {
        session_end(s, why);
        return;
    }
    if (s->client)
        stream_close(s->client, STREAM_ABORT);
    s->client = NULL;
    // A write whose client vanishes must never reach upstream as a whole request.
    if (s->payload_left && s->payload_to == PAYLOAD_UPSTREAM) {
        session_end(s, why);
        return;
    }
    s->payload_left = 0;
    if (s->reply_left && s->reply_to <= REPLY_CLIENT_STATUS)
        s->reply_to = REPLY_NOWHERE;
    if (s->phase == PHASE_FINISHING)
        s->ending = why;
    session_finish(s, why);
}

// A READ that breaks off inside a chunk is completed with zeroes and then failed: such a chunk has
// not said DONE (replies.c). A simple one cannot be (spec: NBD_CMD_READ), nor a block status.
// False: not another byte may be sent to this client.
static bool
complete_message(struct session *s)
{
    if (!client_mid_message(s))
        return true;
    if (s->facts.client_format == FORMAT_SIMPLE || s->reply_to != REPLY_CLIENT)
        return false;
    stream_send_zeroes(s->client, s->reply_left);
    s->reply_left = 0;
    return true;
}

void
session_upstream_lost(struct session *s, enum session_ending why, const char *what)
{
    if (!session_alive(s))
        return;
    bool wanted = s->in_flight || s->phase == PHASE_TRANSMISSION;
    session_log(s, wanted ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "upstream: %s", what);
    if (s->upstream)
        stream_close(s->upstream, STREAM_ABORT);
    s->upstream = NULL;
    bool may_speak = s->client && complete_message(s);
    if (!may_speak && s->client) {
        stream_close(s->client, STREAM_FINISH);
        s->client = NULL;
    }
    if (s->client)
        client_send_late(s);
    tasks_upstream_lost(s);
    while (s->slots) {
        struct slot *slot = s->slots;
        struct request r = slot_request(slot);
        nstime began = slot->began;
        bool passed_on = !slot->task;
        session_release(s, slot);
        if (passed_on)
            client_complete(s, &r, NBD_EIO, began);
    }
    session_end(s, why);
}

// What the client waits for is answered ESHUTDOWN where the protocol leaves room for that.
void
session_cut(struct session *s)
{
    bool may_speak =
        session_alive(s) && s->phase != PHASE_HANDSHAKE && s->client && complete_message(s);
    if (may_speak)
        client_send_late(s);
    // What is in flight is given up, and nothing of it may reach a storage later, when its guard is
    // gone and others have written there.
    if (s->slots && s->upstream) {
        stream_close(s->upstream, STREAM_ABORT);
        s->upstream = NULL;
    }
    struct slot *next;
    for (struct slot *slot = s->slots; may_speak && slot; slot = next) {
        next = slot->next;
        if (slot->task)
            continue;
        struct request r = slot_request(slot);
        nstime began = slot->began;
        session_release(s, slot);
        client_complete(s, &r, NBD_ESHUTDOWN, began);
    }
    // A probe that had to be cut says so by itself: a chunk may be left zeroed.
    if (may_speak && !s->exclusive)
        tasks_answer(s, NBD_ESHUTDOWN);
    session_end(s, END_DRAINED);
}

void
session_transmit(struct session *s)
{
    s->phase = PHASE_TRANSMISSION;
    s->flush_failures_seen = export_flush_failures(s->export);
    stream_set_handler(s->upstream, &session_upstream_handler, s);
    set_timer(s, session_now(s));
    session_log(s, LOG_LEVEL_INFO, "serving, size %llu, flags 0x%x (upstream 0x%x), %s (%s)",
                (unsigned long long)s->facts.size, s->facts.flags, s->facts.upstream_flags,
                wire_format_name(s->facts.client_format),
                wire_format_name(s->facts.upstream_format));
}

// A turn ---------------------------------------------------------------------------------

static void
set_wants(struct session *s)
{
    if (s->upstream)
        stream_want(s->upstream, upstream_wants(s));
    if (s->client)
        stream_want(s->client, client_wants(s));
}

static void
transmission_turn(struct session *s)
{
    upstream_pump(s);
    if (session_alive(s))
        tasks_run(s);
    if (session_alive(s))
        client_pump(s);
    if (session_alive(s) && s->phase == PHASE_TRANSMISSION && s->worker->draining &&
        !s->payload_left && !s->in_flight && !s->tasks)
        session_finish(s, END_DRAINED);
    if (session_alive(s) && s->phase == PHASE_FINISHING && !s->in_flight && !s->tasks &&
        !s->payload_left)
        session_end(s, s->ending);
    if (session_alive(s))
        set_wants(s);
}

void
session_turn(struct session *s)
{
    if (s->phase == PHASE_HANDSHAKE)
        negotiation_turn(s);
    if (s->phase != PHASE_HANDSHAKE && s->phase != PHASE_DEAD)
        negotiation_free(s);
    if (s->phase == PHASE_TRANSMISSION || s->phase == PHASE_FINISHING)
        transmission_turn(s);
}
