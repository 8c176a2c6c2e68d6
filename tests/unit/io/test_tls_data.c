// SPDX-License-Identifier: BSD-3-Clause
// Bytes through TLS: however they are cut, whatever lies between them, and how they end.
#include "forge.h"
#include "rig_tls.h"

#include <criterion/criterion.h>
#include <poll.h>
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

TestSuite(tls_data, .init = open_all, .fini = close_all, .timeout = 120);

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

// ---- cuts (protocol.md: 66)

// Copies from the peer to the stream, with a pause after `cut` bytes; 0: each byte by itself.
struct cutter {
    pthread_t thread;
    int from, to;
    size_t cut, seen;
};

static void
pass_on(struct cutter *k, const char *p, size_t n)
{
    while (n > 0) {
        size_t some = n;
        if (!k->cut)
            some = 1;
        else if (k->seen < k->cut && k->cut - k->seen < n)
            some = k->cut - k->seen;
        if (send(k->to, p, some, MSG_NOSIGNAL) < 0)
            return;
        k->seen += some;
        p += some;
        n -= some;
        if (k->seen == k->cut)
            usleep(200);
        else if (!k->cut && k->seen % 16 == 0)
            usleep(50);
    }
}

static void *
cutter_main(void *arg)
{
    struct cutter *k = arg;
    struct pollfd p[2] = {{.fd = k->from, .events = POLLIN}, {.fd = k->to, .events = POLLIN}};
    char buf[4096];
    ssize_t n[2] = {1, 1};
    while (n[0] > 0 && n[1] > 0 && poll(p, 2, 20000) > 0) {
        if (p[0].revents && (n[0] = recv(k->from, buf, sizeof buf, 0)) > 0)
            pass_on(k, buf, (size_t)n[0]);
        if (p[1].revents && (n[1] = recv(k->to, buf, sizeof buf, 0)) > 0)
            n[1] = send(k->from, buf, (size_t)n[1], MSG_NOSIGNAL);
    }
    close(k->from);
    close(k->to);
    return NULL;
}

// Returns how many bytes the peer sent in all.
static size_t
converse_cut(size_t cut, int version)
{
    int inner[2];
    pair_unix(fd);
    pair_unix(inner);
    struct cutter k = {.from = inner[0], .to = fd[1], .cut = cut};
    peer = (struct peer){0};
    peer_client(&peer, inner[1]);
    peer_versions(&peer, version, version);
    user_open(&user, &rig, fd[0]);
    cr_assert_eq(pthread_create(&k.thread, NULL, cutter_main, &k), 0);
    converse(&rig, context, &user, &peer);
    pthread_join(k.thread, NULL);
    cr_assert_eq(user.error, 0, "cut at %zu: %s", cut, user.why);
    cr_assert_eq(peer.handshake, 1, "cut at %zu", cut);
    cr_assert(user.ended && !user.truncated, "cut at %zu", cut);
    return k.seen;
}

Test(tls_data, records_cut_at_every_byte)
{
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        size_t n = converse_cut(0, version);
        cr_assert_gt(n, 300);
        for (size_t cut = 1; cut < n; cut += SANITIZED ? 7 : 1)
            converse_cut(cut, version);
    }
}

// ---- sizes of records

static void
say_in_pieces(struct peer *p)
{
    static uint8_t text[100000], back[100000];
    pattern_fill(text, sizeof text, 1, 0);
    size_t n = 0;
    for (; n < 500; n++)
        peer_write(p, text + n, 1);
    for (size_t piece = 1; n + piece < 60000; n += piece, piece += 97)
        peer_write(p, text + n, piece);
    peer_write(p, text + n, sizeof text - n); // full records
    if (!peer_read(p, back, sizeof back) || memcmp(text, back, sizeof text))
        p->handshake = -1;
}

Test(tls_data, a_byte_a_record_and_many_records_at_once)
{
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        peer = (struct peer){.talk = say_in_pieces};
        attempt(version);
        cr_assert_eq(user.error, 0, "%s", user.why);
        cr_assert_eq(peer.handshake, 1);
        cr_assert_eq(user.n, 0 + 100000);
    }
}

static void
forge_empty(struct peer *p)
{
    struct forge *f = p->arg;
    char back[2];
    // A few are fine ...
    forge_begin(f, p);
    for (int i = 0; i < 10; i++)
        forge_record(f, SSL3_RT_APPLICATION_DATA, "", 0);
    forge_record(f, SSL3_RT_APPLICATION_DATA, "hi", 2);
    if (!peer_read(p, back, 2))
        p->handshake = -1;
    // ... and many are not.
    for (int i = 0; i < 100000 && forge_record(f, SSL3_RT_APPLICATION_DATA, "", 0); i++)
        ;
    p->abrupt = true;
}

Test(tls_data, empty_records_without_end_are_refused)
{
    struct forge f = {0};
    pair_tcp(fd);
    peer_client(&peer, fd[1]);
    peer.talk = forge_empty;
    peer.arg = &f;
    forge_listen(&f, &peer);
    user_open(&user, &rig, fd[0]);
    converse(&rig, context, &user, &peer);
    cr_assert_eq(peer.handshake, 1);
    cr_assert(strstr(user.why, "empty records without end"), "%s", user.why);
}

// ---- keys that change (65)

static void
update_keys(struct peer *p)
{
    char back[5];
    int most = *(int *)p->arg;
    for (int i = 0; i < most; i++) {
        if (SSL_key_update(p->ssl,
                           i % 2 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED) != 1 ||
            SSL_do_handshake(p->ssl) != 1)
            break;
    }
    peer_write(p, "hello", 5);
    if (!peer_read(p, back, 5) || memcmp(back, "hello", 5))
        p->handshake = -1;
}

Test(tls_data, keys_may_change_now_and_then)
{
    int most = 20;
    peer = (struct peer){.talk = update_keys, .arg = &most};
    attempt(TLS1_3_VERSION);
    cr_assert_eq(user.error, 0, "%s", user.why);
    cr_assert_eq(peer.handshake, 1);
}

Test(tls_data, keys_may_not_change_ten_thousand_times)
{
    int most = 10000;
    peer = (struct peer){.talk = update_keys, .arg = &most};
    attempt(TLS1_3_VERSION);
    cr_assert_eq(peer.handshake, -1);
    cr_assert(strstr(user.why, "new keys"), "%s", user.why);
}

static void
renegotiate(struct peer *p)
{
    char c;
    SSL_renegotiate(p->ssl);
    if (SSL_do_handshake(p->ssl) == 1 && SSL_read(p->ssl, &c, 1) > 0)
        p->handshake = -1;
    p->abrupt = true;
}

Test(tls_data, no_renegotiation)
{
    peer = (struct peer){.talk = renegotiate};
    attempt(TLS1_2_VERSION);
    cr_assert_eq(peer.handshake, 1, "it was refused");
    cr_assert(user.error || user.truncated);
    cr_assert(user.up);
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

Test(tls_data, an_end_without_farewell_is_seen)
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

Test(tls_data, an_end_within_a_record_is_seen)
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

Test(tls_data, an_altered_record_is_refused_with_an_alert)
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

Test(tls_data, who_has_ended_his_sending_still_gets_bytes)
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

Test(tls_data, an_abort_bids_no_farewell)
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
Test(tls_data, what_is_sent_during_the_handshake_waits_for_it)
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

Test(tls_data, what_was_queued_before_is_plaintext)
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

Test(tls_data, an_idle_one_holds_no_buffer)
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
Test(tls_data, may_be_closed_at_any_time)
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
