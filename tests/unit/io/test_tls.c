// SPDX-License-Identifier: BSD-3-Clause
// TLS streams that get along with their peers: versions, PSK, resumption, ends, and data.
#include "rig_tls.h"

#include <criterion/criterion.h>
#include <openssl/err.h>
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

TestSuite(tls, .init = open_all, .fini = close_all, .timeout = 120);

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
static const char *const version_names[] = {"TLSv1.2", "TLSv1.3"};

Test(tls, serves_both_versions)
{
    struct tls_context *c = server_new(pki.dir, false);
    for (int i = 0; i < 2; i++) {
        i ? pair_tcp(fd) : pair_unix(fd);
        peer_client(&peer, fd[1]);
        peer_versions(&peer, versions[i], versions[i]);
        user_open(&user, &rig, fd[0]);
        converse(&rig, c, &user, &peer);
        cr_assert_eq(peer.handshake, 1);
        cr_assert_eq(user.error, 0, "%s", user.why);
        cr_assert_str_eq(user.version, version_names[i]);
        cr_assert_str_eq(user.peer, "");
        cr_assert(user.ended && !user.truncated);
        cr_assert(peer.saw_close_notify);
        peer = (struct peer){0};
    }
    tls_unref(c);
}

Test(tls, connects_with_both_versions_and_shows_a_certificate)
{
    struct tls_context *c = client_new(pki.dir, "localhost");
    for (int i = 0; i < 2; i++) {
        pair_tcp(fd);
        peer_server(&peer, fd[1]);
        peer_versions(&peer, versions[i], versions[i]);
        X509_STORE_add_cert(SSL_CTX_get_cert_store(peer.ctx), pki.ca.cert);
        SSL_CTX_set_verify(peer.ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        user_open(&user, &rig, fd[0]);
        converse(&rig, c, &user, &peer);
        cr_assert_eq(user.error, 0, "%s", user.why);
        cr_assert_eq(peer.handshake, 1);
        cr_assert_str_eq(user.version, version_names[i]);
        cr_assert_str_eq(user.peer, "server");
        peer = (struct peer){0};
    }
    tls_unref(c);
}
