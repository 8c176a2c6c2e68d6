// SPDX-License-Identifier: BSD-3-Clause
// Records out: what the user has queued is encrypted into buffers that raw sends from.
#include "tls_inside.h"

#include <errno.h>
#include <openssl/err.h>
#include <string.h>

#define RECORD SSL3_RT_MAX_PLAIN_LENGTH
// Encrypted and unsent, at most: encrypting a little and sending it at once stays in the cache; and
// should the peer be slow, what waits waits where it lies.
#define AHEAD (112u << 10)
// In one turn: a third of a millisecond.
#define SEND_MOST (512u << 10)
// One key of TLS 1.3 is good for 2^24 full records of AES-GCM (RFC 8446, section 5.5); change it
// long before.
#define REKEY_AFTER (1u << 22)

// The next record's bytes, where they lie if they lie together, else gathered.
static size_t
gather(struct stream *s, const uint8_t **p, uint8_t *room)
{
    const struct seg *first = queue_at(&s->queue, 0);
    size_t n = 0;
    if (first->n >= RECORD || s->queue.count == 1) {
        *p = first->buf ? first->p : s->ring->zeroes;
        return first->n < RECORD ? first->n : RECORD;
    }
    *p = room;
    for (uint32_t i = 0; i < s->queue.count && n < RECORD; i++) {
        const struct seg *seg = queue_at(&s->queue, i);
        size_t some = seg->n < RECORD - n ? seg->n : RECORD - n;
        memcpy(room + n, seg->buf ? seg->p : s->ring->zeroes, some);
        n += some;
    }
    return n;
}

static void
change_key(struct tls *t)
{
    t->records = 0;
    if (SSL_version(t->ssl) >= TLS1_3_VERSION)
        SSL_key_update(t->ssl, SSL_KEY_UPDATE_NOT_REQUESTED); // goes out before the next record
}

static void
encrypt_one(struct tls *t)
{
    struct stream *s = t->user;
    uint8_t room[RECORD];
    const uint8_t *p;
    size_t written, n = gather(s, &p, room);
    char why[TLS_TEXT];
    ERR_clear_error();
    if (SSL_write_ex(t->ssl, p, n, &written) != 1) {
        tls_explain(t, why, sizeof why);
        tls_fail(t, -EPROTO, "%s", why);
        return;
    }
    queue_consume(&s->queue, written);
    s->bytes_sent += written;
    if (++t->records == REKEY_AFTER)
        change_key(t);
}

// The kernel encrypts: raw sends what the user queued.
static void
hand_over(struct tls *t)
{
    struct stream *s = t->user;
    while (s->queue.count) {
        const struct seg *seg = queue_at(&s->queue, 0);
        uint64_t n = seg->n;
        if (!queue_push(&t->raw->queue, seg->buf, seg->p, n)) {
            stream_break(s, -ENOMEM);
            return;
        }
        queue_consume(&s->queue, n);
        s->bytes_sent += n;
    }
}

static void
fill(struct tls *t)
{
    struct stream *s = t->user;
    if (t->up && t->facts.kernel_sends)
        hand_over(t);
    else
        while (t->up && s->queue.count && !s->error && t->raw->queue.bytes < AHEAD)
            encrypt_one(t);
    tls_out_end(t);
}

void
tls_send(struct tls *t)
{
    struct stream *s = t->user, *raw = t->raw;
    uint64_t sent = raw->bytes_sent;
    do {
        fill(t);
        send_start(raw);
    } while (t->up && s->queue.count && !raw->queue.count && !s->error && !raw->error &&
             raw->bytes_sent - sent < SEND_MOST);
    if (raw->bytes_sent != sent)
        s->last_sent = s->ring->now;
    if (raw->polling)
        send_compact(s);
    else if (!raw->error && (raw->queue.count || (t->up && s->queue.count)))
        stream_dirty(s);
    if (s->was_high && stream_unsent(s) <= STREAM_LOW) {
        s->was_high = false;
        stream_nudge(s);
    }
}

bool
tls_bid_farewell(struct tls *t)
{
    if (t->user->queue.count)
        return false;
    if (!t->up || t->farewell)
        return true;
    if (t->facts.kernel_sends && t->raw->queue.count)
        return false;
    ERR_clear_error();
    int rc = SSL_shutdown(t->ssl);
    tls_out_end(t);
    if (rc < 0 && SSL_get_error(t->ssl, rc) == SSL_ERROR_WANT_WRITE) {
        t->wants_write = true;
        return false;
    }
    t->farewell = true;
    return true;
}
