// SPDX-License-Identifier: BSD-3-Clause
// A stream that is TLS (io/tls.h): frames of sim_tls.h between its queue and the connection, and
// between the connection and its buffer.
#include "fake_stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AHEAD_MOST (112u << 10) // sealed and not sent

struct tls_context {
    unsigned refs;
    bool connects;
    enum sim_identity demands;
};

struct fake_tls {
    struct sim_tls sim;
    struct tls_context *context;
    struct tls_facts facts;
    bool truncated, told; // `told`: that the handshake is done
    char error[TLS_TEXT];
    size_t ahead;
};

// Contexts --------------------------------------------------------------------------------

struct tls_context *
fake_tls_new(bool connects, enum sim_identity demands)
{
    struct tls_context *c = malloc(sizeof *c);
    expect(c, "out of memory");
    *c = (struct tls_context){.refs = 1, .connects = connects, .demands = demands};
    return c;
}

unsigned
fake_tls_refs(const struct tls_context *c)
{
    return c->refs;
}

struct tls_context *
tls_ref(struct tls_context *c)
{
    c->refs++;
    return c;
}

void
tls_unref(struct tls_context *c)
{
    if (c && !--c->refs)
        free(c);
}

// The change ------------------------------------------------------------------------------

static const char *
obstacle(const struct stream *s)
{
    if (s->tls)
        return "this is TLS already";
    if (stream_unread(s))
        return "there are bytes behind STARTTLS";
    return s->at_eof || s->error ? "the connection has ended" : NULL;
}

bool
stream_start_tls(struct stream *s, struct tls_context *c, char *err, size_t errlen)
{
    expect(s->state == STREAM_OPEN, "a closed stream is used");
    const char *why = obstacle(s);
    if (why) {
        snprintf(err, errlen, "TLS can't start: %s", why);
        return false;
    }
    struct fake_tls *t = calloc(1, sizeof *t);
    expect(t, "out of memory");
    t->context = tls_ref(c);
    t->ahead = (size_t)chance_between(1, AHEAD_MOST);
    s->tls = t;
    while (s->count) { // the last of it in plaintext
        const uint8_t *p;
        uint64_t n = stream_take_segment(s, &p);
        queue_append(&t->sim.wire, p, (size_t)n);
        stream_consume(s, n);
        s->bytes_sent += n;
    }
    sim_tls_begin(&t->sim, c->connects, SIM_PROXY, c->demands);
    return true;
}

void
tls_free(struct stream *s)
{
    if (!s->tls)
        return;
    sim_tls_clear(&s->tls->sim);
    tls_unref(s->tls->context);
    free(s->tls);
}

// What becomes of it ----------------------------------------------------------------------

static void
tls_fail(struct stream *s, int error, const char *why)
{
    if (s->error)
        return;
    snprintf(s->tls->error, sizeof s->tls->error, "%s", why);
    stream_break(s, error);
}

bool
tls_shakes(const struct stream *s)
{
    return s->tls && !s->tls->sim.up && !s->tls->sim.failed;
}

static void
look_up(struct stream *s)
{
    struct fake_tls *t = s->tls;
    if (t->told || !t->sim.up)
        return;
    t->told = true;
    t->facts = (struct tls_facts){.version = "TLSv1.3",
                                  .cipher = "SIM",
                                  .peer = t->sim.peer == SIM_PEER ? "peer" : "",
                                  .resumed = chance_of(50)};
    stream_nudge(s);
}

void
tls_received(struct stream *s, const uint8_t *p, size_t n)
{
    struct fake_tls *t = s->tls;
    // A closed one has nothing to hear, but that what it has yet to say may need a handshake.
    if (s->error || (s->state != STREAM_OPEN && (t->sim.up || !s->unsent)))
        return;
    s->last_received = s->ring->now;
    sim_tls_feed(&t->sim, p, n);
    look_up(s);
    struct bytes plain = queue_bytes(&t->sim.plain);
    stream_gather(s, plain.p, plain.len);
    if (plain.len)
        stream_nudge(s);
    queue_consume(&t->sim.plain, plain.len);
    if (t->sim.failed)
        tls_fail(s, -EPROTO, t->sim.why);
    else if (t->sim.ended)
        stream_ends(s);
}

void
tls_sock_ended(struct stream *s)
{
    struct fake_tls *t = s->tls;
    if (tls_shakes(s)) {
        tls_fail(s, -ECONNRESET, "the peer closed the connection during the handshake");
    } else if (!s->at_eof && !s->error) {
        t->truncated = true;
        stream_ends(s);
    }
}

void
tls_sock_broke(struct stream *s, int error)
{
    queue_consume(&s->tls->sim.wire, queue_left(&s->tls->sim.wire));
    if (tls_shakes(s))
        tls_fail(s, error, "the connection broke during the handshake");
}

const struct tls_facts *
stream_tls(const struct stream *s)
{
    return s->tls && s->tls->sim.up ? &s->tls->facts : NULL;
}

const char *
stream_tls_error(const struct stream *s)
{
    return s->tls && *s->tls->error ? s->tls->error : NULL;
}

const char *
stream_tls_guess(const struct stream *s, char *buf, size_t cap)
{
    (void)s;
    snprintf(buf, cap, "perhaps it trusts nobody");
    return buf;
}

bool
stream_truncated(const struct stream *s)
{
    return s->tls && s->tls->truncated;
}

bool
stream_ended_in_record(const struct stream *s)
{
    return stream_truncated(s) && s->tls->sim.have;
}

// Out -------------------------------------------------------------------------------------

size_t
tls_unsent(const struct stream *s)
{
    return s->tls ? queue_left(&s->tls->sim.wire) : 0;
}

bool
tls_can_seal(const struct stream *s)
{
    const struct fake_tls *t = s->tls;
    return t && t->sim.up && !s->error && s->count && tls_unsent(s) < t->ahead;
}

// One frame of what lies together.
void
tls_seal_one(struct stream *s)
{
    const uint8_t *p;
    uint64_t n = stream_take_segment(s, &p);
    size_t sealed = sim_tls_seal(&s->tls->sim, p, (size_t)n);
    stream_consume(s, sealed);
    s->bytes_sent += sealed;
}

int
tls_send_frames(struct stream *s, uint64_t *most)
{
    while (*most && tls_unsent(s) && sock_room(s->sock)) {
        struct bytes frames = queue_bytes(&s->tls->sim.wire);
        ssize_t sent =
            sock_send(s->sock, frames.p, frames.len < *most ? frames.len : (size_t)*most);
        if (sent <= 0)
            return (int)sent;
        queue_consume(&s->tls->sim.wire, (size_t)sent);
        *most -= (uint64_t)sent;
        s->last_sent = s->ring->now;
    }
    return 0;
}

bool
tls_bid_farewell(struct stream *s)
{
    if (!s->tls || !s->tls->sim.up || s->error || s->tls->sim.farewell)
        return true;
    sim_tls_farewell(&s->tls->sim);
    return false;
}
