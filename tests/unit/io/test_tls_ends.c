// SPDX-License-Identifier: BSD-3-Clause
// How TLS streams end, and what is sent before and at last.
#include "forge.h"
#include "rig_tls.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct rig rig;
static struct user user;
static struct peer peer;
static struct tls_context *context;
static int fd[2];

static void
open_all(void)
{
    rig_open(&rig);
    pki_open();
    user = (struct user){0};
    peer = (struct peer){0};
    context = server_new(pki.dir, false);
}

static void
close_all(void)
{
    tls_unref(context);
    rig_run_for(&rig, 600 * NS_PER_MS);
    cr_expect_leq(ring_memory(rig.ring), 4096, "%zu bytes are held by nobody",
                  ring_memory(rig.ring));
    rig_close(&rig);
    pki_close();
}

TestSuite(tls_ends, .init = open_all, .fini = close_all, .timeout = 120);

static void
attempt(int version)
{
    pair_tcp(fd);
    peer_client(&peer, fd[1]);
    if (version)
        peer_versions(&peer, version, version);
    user_open(&user, &rig, fd[0]);
    converse(&rig, context, &user, &peer);
}

// ---- ends (67)

static void
leave_abruptly(struct peer *p)
{
    char back[11]; // or its reset would overtake our end
    peer_write(p, "half a mess", 11);
    peer_read(p, back, 11);
    p->abrupt = true;
}

Test(tls_ends, an_end_without_farewell_is_seen)
{
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        peer = (struct peer){.talk = leave_abruptly};
        attempt(version);
        cr_assert_eq(user.error, 0, "%s", user.why);
        cr_assert(user.ended && user.truncated);
        cr_assert_eq(user.n, 11);
    }
}

static void
leave_within_a_record(struct peer *p)
{
    struct forge *f = p->arg;
    char back[5];
    forge_begin(f, p);
    forge_record(f, SSL3_RT_APPLICATION_DATA, "whole", 5);
    peer_read(p, back, 5);
    f->cut = 9;
    forge_record(f, SSL3_RT_APPLICATION_DATA, "this one is cut short", 21);
    p->abrupt = true;
}

Test(tls_ends, an_end_within_a_record_is_seen)
{
    struct forge f = {0};
    pair_tcp(fd);
    peer_client(&peer, fd[1]);
    peer.talk = leave_within_a_record;
    peer.arg = &f;
    forge_listen(&f, &peer);
    user_open(&user, &rig, fd[0]);
    converse(&rig, context, &user, &peer);
    cr_assert_eq(user.error, 0, "%s", user.why);
    cr_assert(user.ended && user.truncated);
    cr_assert_eq(user.n, 5);
}

static void
forge_garbage(struct peer *p)
{
    struct forge *f = p->arg;
    char c;
    forge_begin(f, p);
    forge_record(f, SSL3_RT_APPLICATION_DATA, "good", 4);
    f->flip = true;
    forge_record(f, SSL3_RT_APPLICATION_DATA, "altered underway", 16);
    peer_read(p, &c, 1);
    peer_read(p, &c, 1);
    peer_read(p, &c, 1);
    peer_read(p, &c, 1);
    peer_read(p, &c, 1);
    p->abrupt = true;
}

Test(tls_ends, an_altered_record_is_refused_with_an_alert)
{
    struct forge f = {0};
    pair_tcp(fd);
    peer_client(&peer, fd[1]);
    peer.talk = forge_garbage;
    peer.arg = &f;
    forge_listen(&f, &peer);
    user_open(&user, &rig, fd[0]);
    converse(&rig, context, &user, &peer);
    cr_assert(strstr(user.why, "altered underway"), "%s", user.why);
    cr_assert_eq(user.n, 4);
    cr_assert_eq(peer.alert, SSL_AD_BAD_RECORD_MAC);
}

static void
end_first(struct peer *p)
{
    char text[5];
    SSL_shutdown(p->ssl); // our sending has ended, theirs has not
    if (!peer_read(p, text, 5) || memcmp(text, "later", 5))
        p->handshake = -1;
    else if (peer_read(p, text, 1) || !p->saw_close_notify)
        p->handshake = -2;
    p->abrupt = true;
}

Test(tls_ends, who_has_ended_his_sending_still_gets_bytes)
{
    pair_tcp(fd);
    peer_client(&peer, fd[1]);
    peer.talk = end_first;
    user_open(&user, &rig, fd[0]);
    user_start_tls(&user, context);
    peer_start(&peer);
    rig_run(&rig, 10 * NS_PER_SEC);
    cr_assert(user.ended && !user.truncated);
    stream_send_copy(user.stream, "later", 5);
    user_close(&user, STREAM_FINISH);
    rig_run_for(&rig, 50 * NS_PER_MS);
    peer_join(&peer);
    cr_assert_eq(peer.handshake, 1);
}

static void
hear_the_end(struct peer *p)
{
    char c;
    while (peer_read(p, &c, 1))
        ;
    p->abrupt = true;
}

Test(tls_ends, an_abort_bids_no_farewell)
{
    pair_tcp(fd);
    peer_client(&peer, fd[1]);
    peer.talk = hear_the_end;
    user.stop_when_up = true;
    user_open(&user, &rig, fd[0]);
    user_start_tls(&user, context);
    peer_start(&peer);
    rig_run(&rig, 10 * NS_PER_SEC);
    stream_send_copy(user.stream, "dropped", 7);
    user_close(&user, STREAM_ABORT);
    rig_run_for(&rig, 20 * NS_PER_MS);
    peer_join(&peer);
    cr_assert(!peer.saw_close_notify);
}

// ---- sending

#define MUCH (24u << 20)

static void
read_much(struct peer *p)
{
    uint8_t *buf = malloc(1u << 20);
    usleep(100000); // until the socket is full
    for (size_t n = 0; n < MUCH; n += 1u << 20) {
        if (!peer_read(p, buf, 1u << 20) || !pattern_is(buf, 1u << 20, 7, n)) {
            p->handshake = -1;
            break;
        }
    }
    uint8_t zero[3];
    if (!peer_read(p, zero, 3) || zero[0] || zero[1] || zero[2] || peer_read(p, zero, 1) ||
        !p->saw_close_notify)
        p->handshake = -1;
    free(buf);
    p->abrupt = true;
}

static void
queue_much(void)
{
    uint64_t rng = 11;
    for (size_t n = 0, len; n < MUCH; n += len) {
        len = 1 + rng_below(&rng, n % 3 ? 500 : 200000);
        if (len > MUCH - n)
            len = MUCH - n;
        struct buf *b = buf_new(rig.ring, len);
        pattern_fill(b->data, len, 7, n);
        if (n % 2)
            stream_send_buf(user.stream, b, b->data, len);
        else
            stream_send_copy(user.stream, b->data, len);
        buf_unref(b);
    }
    stream_send_zeroes(user.stream, 3);
}

// Queued before the handshake has begun, to a peer that reads late: all arrives, then our farewell.
Test(tls_ends, what_is_sent_during_the_handshake_waits_for_it)
{
    pair_tcp(fd);
    peer_client(&peer, fd[1]);
    peer.talk = read_much;
    user_open(&user, &rig, fd[0]);
    user_start_tls(&user, context);
    queue_much();
    cr_assert_eq(stream_unsent(user.stream), MUCH + 3);
    peer_start(&peer);
    user_close(&user, STREAM_FINISH);
    rig_run_for(&rig, 2 * NS_PER_SEC);
    peer_join(&peer);
    cr_assert_eq(peer.handshake, 1);
}

// The answer to STARTTLS goes out in plaintext, before all else.
static void
read_answer(struct peer *p)
{
}

Test(tls_ends, what_was_queued_before_is_plaintext)
{
    char answer[4];
    pair_tcp(fd);
    peer_client(&peer, fd[1]);
    peer.talk = read_answer;
    user.stop_when_up = true;
    user_open(&user, &rig, fd[0]);
    stream_send_copy(user.stream, "ack!", 4);
    user_start_tls(&user, context);
    rig_run_for(&rig, 10 * NS_PER_MS);
    cr_assert_eq(recv(fd[1], answer, 4, 0), 4);
    cr_assert_eq(memcmp(answer, "ack!", 4), 0);
    peer_start(&peer);
    rig_run(&rig, 10 * NS_PER_SEC);
    cr_assert(user.up);
    user_close(&user, STREAM_FINISH);
    rig_run_for(&rig, 20 * NS_PER_MS);
    peer_join(&peer);
}

// ---- closing and rest

static void
read_and_leave(struct peer *p)
{
    static uint8_t bytes[400000], back[400000];
    char c;
    peer_write(p, bytes, sizeof bytes);
    peer_read(p, back, sizeof back);
    peer_read(p, &c, 1); // waits for their end
    p->abrupt = true;
}

Test(tls_ends, an_idle_one_holds_no_buffer)
{
    pair_tcp(fd);
    peer_client(&peer, fd[1]);
    peer.talk = read_and_leave;
    user.echo = true;
    user.want = 1u << 20;
    user_open(&user, &rig, fd[0]);
    user_start_tls(&user, context);
    peer_start(&peer);
    rig_run_for(&rig, 2 * NS_PER_SEC);
    cr_assert_eq(user.n, 400000);
    cr_assert_leq(ring_memory(rig.ring), 4096, "%zu", ring_memory(rig.ring));
    user_close(&user, STREAM_FINISH);
    rig_run_for(&rig, 20 * NS_PER_MS);
    peer_join(&peer);
}

static void
chat(struct peer *p)
{
    char c[1000] = "";
    for (int i = 0; i < 50; i++) {
        peer_write(p, c, sizeof c);
        if (!peer_read(p, c, 500))
            break;
    }
    p->abrupt = true;
}

// At any moment of handshake and conversation, in either way, by us or by the ring.
Test(tls_ends, may_be_closed_at_any_time)
{
    uint64_t rng = 17;
    for (int i = 0; i < (SANITIZED ? 150 : 400); i++) {
        peer = (struct peer){.talk = chat};
        user = (struct user){.echo = true};
        i % 2 ? pair_tcp(fd) : pair_unix(fd);
        peer_client(&peer, fd[1]);
        peer_versions(&peer, TLS1_2_VERSION, i % 3 ? TLS1_3_VERSION : TLS1_2_VERSION);
        user_open(&user, &rig, fd[0]);
        user_start_tls(&user, context);
        if (i % 5 == 0)
            stream_send_zeroes(user.stream, 3u << 20);
        peer_start(&peer);
        rig_run_for(&rig, rng_below(&rng, (SANITIZED ? 20 : 4) * NS_PER_MS));
        if (i % 7 == 0) {
            rig_close(&rig); // closes what is open
            rig_open(&rig);
            user.stream = NULL;
        }
        user_close(&user, rng_below(&rng, 2) ? STREAM_FINISH : STREAM_ABORT);
        rig_run_for(&rig, rng_below(&rng, NS_PER_MS));
        shutdown(fd[1], SHUT_RDWR);
        peer_join(&peer);
    }
    rig_run_for(&rig, 2500 * NS_PER_MS);
}
