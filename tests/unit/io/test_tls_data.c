// SPDX-License-Identifier: BSD-3-Clause
// Bytes through TLS: however they are cut, and whatever lies between them.
#include "forge.h"
#include "rig_tls.h"

#include <criterion/criterion.h>
#include <poll.h>
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
