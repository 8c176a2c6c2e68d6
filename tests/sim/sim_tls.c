// SPDX-License-Identifier: BSD-3-Clause
// A frame: kind, 3, 3, length; then as many bytes, scrambled with a key that the hellos have made,
// the last four of them a sum over the others and the frame's number.
#include "sim_tls.h"

#include "sock.h"
#include "world.h"
#include <string.h>

#define HEADER     5u
#define SUM        4u
#define HELLO_HEAD 12u // number, rounds, last, identity, nonce
#define ROUNDS     3u

enum kind { ALERT = 21, HELLO = 22, DATA = 23 };

// Bytes -----------------------------------------------------------------------------------

static uint64_t
mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

// Hellos and alerts before the end of the handshake are not secret.
static uint64_t
key_of(const struct sim_tls *t, enum kind kind, bool from_connecting, uint64_t number)
{
    uint64_t secret = kind == DATA ? mix(t->nonces[0]) ^ t->nonces[1] : kind;
    return mix(secret + 2 * number + from_connecting);
}

static void
scramble(uint8_t *p, size_t n, uint64_t key)
{
    for (size_t i = 0; i < n; i += 8) {
        uint64_t word = mix(key + i);
        for (size_t j = i; j < n && j < i + 8; j++, word >>= 8)
            p[j] ^= (uint8_t)word;
    }
}

static uint32_t
sum_of(const uint8_t *p, size_t n, uint64_t key)
{
    uint64_t sum = key ^ n;
    for (size_t i = 0; i < n; i++)
        sum = sum * 31 + p[i];
    return (uint32_t)mix(sum);
}

// Out -------------------------------------------------------------------------------------

static void
say(struct sim_tls *t, enum kind kind, const uint8_t *p, size_t n)
{
    uint8_t frame[HEADER + SIM_TLS_FRAME + SUM];
    uint64_t key = key_of(t, kind, t->connects, t->said_frames++);
    expect(n <= SIM_TLS_FRAME, "a frame of %zu bytes", n);
    frame[0] = (uint8_t)kind;
    frame[1] = frame[2] = 3;
    put_be16(frame + 3, (uint16_t)(n + SUM));
    if (n)
        memcpy(frame + HEADER, p, n);
    put_be32(frame + HEADER + n, sum_of(p, n, key));
    scramble(frame + HEADER, n + SUM, key);
    queue_append(&t->wire, frame, HEADER + n + SUM);
}

static void
say_alert(struct sim_tls *t, uint8_t code)
{
    say(t, ALERT, &code, 1);
}

static void
fail(struct sim_tls *t, const char *why, bool tell)
{
    t->failed = true;
    t->why = why;
    if (tell)
        say_alert(t, 1);
}

static void
say_hello(struct sim_tls *t)
{
    uint8_t hello[HELLO_HEAD + 300] = {0};
    // What is never said need not be refused.
    unsigned most = t->rounds + (t->connects && t->last);
    t->refuses_at = t->refuses_at < most ? t->refuses_at : most;
    t->silent_at = t->silent_at < most ? t->silent_at : most;
    if (++t->said == t->refuses_at) {
        fail(t, "I don't like it", true);
        return;
    }
    if (t->said == t->silent_at)
        return;
    hello[0] = (uint8_t)t->said;
    hello[1] = (uint8_t)t->rounds;
    hello[2] = t->last;
    hello[3] = (uint8_t)t->identity;
    put_be64(hello + 4, t->nonces[!t->connects]);
    say(t, HELLO, hello, chance_between(HELLO_HEAD, sizeof hello));
}

size_t
sim_tls_seal(struct sim_tls *t, const uint8_t *p, size_t n)
{
    expect(t->up && !t->failed && !t->farewell, "sealed before its time, or behind the farewell");
    if (n > SIM_TLS_FRAME)
        n = SIM_TLS_FRAME;
    if (!chance_of(sock_bulk ? 90 : 50))
        n = (size_t)chance_between(1, n);
    if (chance_of(5))
        say(t, DATA, NULL, 0); // nothing forbids it
    say(t, DATA, p, n);
    t->sealed += n;
    t->last_frame = n;
    return n;
}

void
sim_tls_farewell(struct sim_tls *t)
{
    if (t->up && !t->failed && !t->farewell)
        say_alert(t, 0);
    t->farewell = true;
}

// In --------------------------------------------------------------------------------------

static bool
may_be_up(const struct sim_tls *t)
{
    unsigned of_server = t->rounds, of_client = t->rounds + t->last;
    return t->said == (t->connects ? of_client : of_server) &&
           t->heard == (t->connects ? of_server : of_client);
}

// Who connects shows who it is with its last words, as in TLS 1.3; the other with its first.
static bool
is_shown(const struct sim_tls *t)
{
    return t->connects ? t->heard == 1 : t->heard == t->rounds + t->last;
}

static void
hear_hello(struct sim_tls *t, const uint8_t *p, size_t n)
{
    if (t->up || n < HELLO_HEAD || p[0] != t->heard + 1 || !p[1] || p[1] > ROUNDS) {
        fail(t, "a hello at the wrong time", true);
        return;
    }
    t->heard++;
    t->peer = (enum sim_identity)p[3];
    t->nonces[t->connects] = get_be64(p + 4);
    if (!t->connects) {
        t->rounds = p[1];
        t->last = p[2];
    }
    if (is_shown(t) && t->demands && t->peer != t->demands) {
        fail(t, "the peer is somebody else", true);
        return;
    }
    unsigned mine = t->rounds + (t->connects && t->last);
    if (t->said < mine && t->said < t->heard + t->connects)
        say_hello(t);
    t->up = !t->failed && t->said != t->silent_at && may_be_up(t);
}

static void
hear(struct sim_tls *t, enum kind kind, const uint8_t *p, size_t n)
{
    switch (kind) {
    case HELLO: hear_hello(t, p, n); break;
    case DATA:
        if (t->up)
            queue_append(&t->plain, p, n);
        else
            fail(t, "data before its time", true);
        break;
    case ALERT:
        if (n == 1 && p[0] == 0 && t->up)
            t->ended = true;
        else
            fail(t, "the peer says: alert", false);
        break;
    }
}

static void
open_frame(struct sim_tls *t)
{
    uint8_t *p = t->frame + HEADER;
    size_t n = t->have - HEADER;
    enum kind kind = (enum kind)t->frame[0];
    uint64_t key = key_of(t, kind, !t->connects, t->heard_frames++);
    t->have = 0;
    scramble(p, n, key);
    n -= SUM;
    if (get_be32(p + n) != sum_of(p, n, key))
        fail(t, "a frame that was altered, or is not the next one", true);
    else
        hear(t, kind, p, n);
}

static void
check_header(struct sim_tls *t)
{
    const uint8_t *h = t->frame;
    bool known = h[0] == ALERT || h[0] == HELLO || h[0] == DATA;
    uint16_t n = get_be16(h + 3);
    if (known && h[1] == 3 && h[2] == 3 && n >= SUM && n <= SIM_TLS_FRAME + SUM)
        return;
    t->plaintext = true;
    fail(t, "what the peer says is not TLS", true);
}

void
sim_tls_feed(struct sim_tls *t, const uint8_t *p, size_t n)
{
    while (n && !t->failed && !t->ended) {
        size_t need = t->have < HEADER ? HEADER : HEADER + get_be16(t->frame + 3);
        size_t some = need - t->have < n ? need - t->have : n;
        memcpy(t->frame + t->have, p, some);
        t->have += some;
        p += some;
        n -= some;
        if (t->have == HEADER && need == HEADER)
            check_header(t);
        else if (t->have == need)
            open_frame(t);
    }
}

// Its life --------------------------------------------------------------------------------

void
sim_tls_begin(struct sim_tls *t, bool connects, enum sim_identity identity,
              enum sim_identity demands)
{
    t->connects = connects;
    t->identity = identity;
    t->demands = demands;
    t->nonces[!connects] = chance_next();
    t->rounds = connects ? 1 + (unsigned)chance_below(ROUNDS) : ROUNDS;
    t->last = connects && chance_of(50);
    if (connects)
        say_hello(t);
}

void
sim_tls_begin_peer(struct sim_tls *t, bool connects, enum tls_trouble trouble)
{
    if (trouble == TLS_SILENT)
        t->silent_at = 1 + (unsigned)chance_below(ROUNDS);
    if (trouble == TLS_REFUSED)
        t->refuses_at = 1 + (unsigned)chance_below(ROUNDS);
    if (trouble == TLS_PLAINTEXT && !connects)
        t->silent_at = 1;
    sim_tls_begin(t, connects, trouble == TLS_STRANGER ? SIM_STRANGER : SIM_PEER,
                  trouble == TLS_SUSPICIOUS ? SIM_STRANGER : SIM_PROXY);
}

void
sim_tls_clear(struct sim_tls *t)
{
    queue_clear(&t->plain);
    queue_clear(&t->wire);
}
