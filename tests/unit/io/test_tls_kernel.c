// SPDX-License-Identifier: BSD-3-Clause
// kTLS, with a kernel of the test's own: who encrypts what, in which order, and what happens where
// the kernel has no mind to.
#include "fake_ktls.h"
#include "rig_tls.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct rig rig;
static struct user user;
static struct peer peer;
static int fd[2];

static void
open_all(void)
{
    fake_ktls = (struct fake_ktls){0};
    rig_open(&rig);
    pki_open();
    user = (struct user){0};
    peer = (struct peer){0};
}

static void
close_all(void)
{
    rig_close(&rig);
    pki_close();
}

TestSuite(ktls, .init = open_all, .fini = close_all, .timeout = 60);

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

static void
expect_fine(void)
{
    cr_assert_eq(user.error, 0, "%s", user.why);
    cr_assert_eq(peer.handshake, 1);
    cr_assert(user.ended && !user.truncated);
    cr_assert(peer.saw_close_notify);
}

static void
accept_peer(struct tls_context *c, int version, const char *cipher)
{
    pair_tcp(fd);
    peer_client(&peer, fd[1]);
    peer_versions(&peer, version, version);
    if (cipher && version == TLS1_3_VERSION)
        SSL_CTX_set_ciphersuites(peer.ctx, cipher);
    user_open(&user, &rig, fd[0]);
    converse(&rig, c, &user, &peer);
    tls_unref(c);
}

Test(ktls, servers_and_clients_hand_their_keys_over)
{
    char why[TLS_TEXT];
    cr_assert(tls_kernel_offers(why, sizeof why), "%s", why);
    for (int i = 0; i < 2; i++) {
        accept_peer(server_new(pki.dir, false), versions[i], NULL);
        expect_fine();
        cr_assert(user.kernel);
        peer = (struct peer){0};
        pair_tcp(fd);
        peer_server(&peer, fd[1]);
        peer_versions(&peer, versions[i], versions[i]);
        user_open(&user, &rig, fd[0]);
        struct tls_context *c = client_new(pki.dir, "localhost");
        converse(&rig, c, &user, &peer);
        tls_unref(c);
        expect_fine();
        cr_assert(user.kernel);
        peer = (struct peer){0};
    }
    cr_assert_eq(fake_ktls.taken, 4);
    cr_assert_eq(fake_ktls.data, 4, "an echo each");
    cr_assert_geq(fake_ktls.control, 4, "a farewell each");
}

Test(ktls, a_cipher_that_the_kernel_does_not_know_is_ours_to_do)
{
    accept_peer(server_new(pki.dir, false), TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256");
    expect_fine();
    cr_assert(!user.kernel);
    peer = (struct peer){0};
    fake_ktls.refuses_key = true;
    for (int i = 0; i < 2; i++) {
        accept_peer(server_new(pki.dir, false), versions[i], NULL);
        expect_fine();
        cr_assert(!user.kernel);
        peer = (struct peer){0};
    }
    cr_assert_eq(fake_ktls.data, 0);
}

Test(ktls, a_kernel_without_it_says_so)
{
    char why[TLS_TEXT];
    fake_ktls.absent = true;
    cr_assert(!tls_kernel_offers(why, sizeof why));
    cr_assert(strstr(why, "CONFIG_TLS"), "%s", why);
    accept_peer(server_new(pki.dir, false), TLS1_3_VERSION, NULL);
    expect_fine();
    cr_assert(!user.kernel);
}

static void
swap_much(struct peer *p)
{
    uint8_t *buf = malloc(1u << 20), *back = malloc(1u << 20);
    for (size_t n = 0; n < 3u << 20; n += 1u << 18) {
        pattern_fill(buf, 1u << 18, 5, n);
        peer_write(p, buf, 1u << 18);
        if (!peer_read(p, back, 1u << 18) || memcmp(buf, back, 1u << 18))
            p->handshake = -1;
    }
    free(buf);
    free(back);
}

// By reference, in bulk, with the answer to STARTTLS before it and a socket that is full at the
// worst moments.
Test(ktls, data_goes_out_as_it_lies)
{
    for (int i = 0; i < 2; i++) {
        char answer[4];
        struct tls_context *c = server_new(pki.dir, false);
        pair_tcp(fd);
        peer_client(&peer, fd[1]);
        peer_versions(&peer, versions[i], versions[i]);
        peer.talk = swap_much;
        user.want = 1u << 20;
        user.echo = true;
        user_open(&user, &rig, fd[0]);
        stream_send_copy(user.stream, "ack!", 4);
        user_start_tls(&user, c);
        rig_run_for(&rig, 10 * NS_PER_MS);
        cr_assert_eq(recv(fd[1], answer, 4, 0), 4);
        cr_assert_eq(memcmp(answer, "ack!", 4), 0);
        fake_ktls.busy_once = 3;
        peer_start(&peer);
        rig_run(&rig, 20 * NS_PER_SEC);
        fake_ktls.busy_once = 1;
        user_close(&user, STREAM_FINISH);
        ring_stop(rig.ring);
        ring_run(rig.ring);
        peer_join(&peer);
        expect_fine();
        cr_assert(user.kernel);
        tls_unref(c);
        user = (struct user){0};
        peer = (struct peer){0};
    }
    cr_assert_geq(fake_ktls.data, 2 * (3u << 20) / 16384);
}

static void
ask_for_a_new_key(struct peer *p)
{
    char c;
    SSL_key_update(p->ssl, *(int *)p->arg);
    SSL_do_handshake(p->ssl);
    peer_write(p, "x", 1);
    if (!peer_read(p, &c, 1) || c != 'x')
        p->handshake = -1;
}

// The peer's key may change, ours can't.
Test(ktls, a_new_key_of_ours_is_not_to_be_had)
{
    int how = SSL_KEY_UPDATE_NOT_REQUESTED;
    peer = (struct peer){.talk = ask_for_a_new_key, .arg = &how};
    accept_peer(server_new(pki.dir, false), TLS1_3_VERSION, NULL);
    expect_fine();
    how = SSL_KEY_UPDATE_REQUESTED;
    peer = (struct peer){.talk = ask_for_a_new_key, .arg = &how};
    accept_peer(server_new(pki.dir, false), TLS1_3_VERSION, NULL);
    cr_assert(strstr(user.why, "which kTLS can't change"), "%s", user.why);
    cr_assert_eq(peer.handshake, -1);
}
