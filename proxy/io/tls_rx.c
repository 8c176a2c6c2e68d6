// SPDX-License-Identifier: BSD-3-Clause
// Records in: from the buffer that raw received into, decrypted to the buffer that the user peeks
// at and passes on by reference.
#include "tls_inside.h"

#include <errno.h>
#include <openssl/err.h>

// As much is decrypted in one turn: the others want their share, and what follows, forwarding, is
// faster while it lies in the cache.
#define READ_MOST (256u << 10)
// And as many records: those that hold a byte or none cost as much time as longer ones.
#define READ_RECORDS 256u
// While the handshake lasts: the longest record, and nothing behind what it has yet to look at, for
// its turn may be long in coming when many ask. An end behind that is noticed afterwards: a step
// leaves nothing unread unless it is the last.
#define HANDSHAKE_WANT (16u << 10)

size_t
tls_undecrypted(const struct tls *t)
{
    return (size_t)(t->raw->tail - t->raw->head);
}

static void
ended(struct tls *t, bool truncated)
{
    if (t->user->at_eof)
        return;
    t->user->at_eof = true;
    t->truncated = truncated;
    stream_nudge(t->user);
}

// After a read that gave nothing. True: worth another one.
static bool
try_again(struct tls *t, size_t before)
{
    char why[TLS_TEXT];
    switch (SSL_get_error(t->ssl, 0)) {
    case SSL_ERROR_WANT_READ: return tls_undecrypted(t) != before;
    case SSL_ERROR_WANT_WRITE: t->wants_write = true; return false;
    case SSL_ERROR_ZERO_RETURN: ended(t, false); return false;
    default:
        tls_explain(t, why, sizeof why);
        tls_fail(t, -EPROTO, "%s", why);
        return false;
    }
}

// False: nothing more for the moment.
static bool
read_some(struct tls *t, size_t *got)
{
    struct stream *s = t->user;
    size_t n, before = tls_undecrypted(t);
    if (!receive_room(s)) {
        t->stuck = s->head;
        return false;
    }
    ERR_clear_error();
    bool ok = SSL_read_ex(t->ssl, s->tail, receive_space(s), &n) == 1;
    if (ok) {
        s->tail += n;
        *got += n;
        s->bytes_received += n;
        s->last_received = s->ring->now;
        s->stalled = false;
    }
    if (tls_chatters(t)) {
        tls_fail(t, -EPROTO, "the peer asks for new keys, or sends tickets, without end");
        return false;
    }
    if (t->must_rekey && t->facts.kernel_sends) {
        tls_fail(t, -EPROTO, "the peer asks us for a new key, which kTLS can't change");
        return false;
    }
    return ok || try_again(t, before);
}

void
tls_read(struct tls *t)
{
    struct stream *s = t->user;
    size_t got = 0;
    t->stuck = NULL;
    for (unsigned i = 0; i < READ_RECORDS && got < READ_MOST && s->want && !s->at_eof; i++)
        if (!read_some(t, &got))
            break;
    tls_out_end(t); // answers to what is not data
    t->more = tls_undecrypted(t) || SSL_pending(t->ssl) > 0;
    if (got)
        stream_nudge(s);
    if (!t->more && t->raw->at_eof && !s->error)
        ended(t, true);
    stream_dirty(s);
}

void
tls_receive(struct tls *t)
{
    struct stream *s = t->user, *raw = t->raw;
    receive_settle(s);
    if (s->error || s->at_eof)
        raw->want = 0;
    else if (!t->up)
        raw->want = tls_undecrypted(t) ? 0 : HANDSHAKE_WANT;
    else if (t->more)
        raw->want = 0;
    else
        raw->want = s->want;
    if (t->more && s->want && t->stuck != s->head && !s->at_eof && !s->error)
        stream_nudge(raw);
    receive_settle(raw);
    receive_start(raw);
}
