// SPDX-License-Identifier: BSD-3-Clause
// Whom we refuse, whether they hear why, and whether our operator does.
#include "rig_tls.h"

#include <criterion/criterion.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DAY 86400L

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

TestSuite(tls_refused, .init = open_all, .fini = close_all, .timeout = 60);

// Lets peer and context, which is freed, try; afterwards `user` says how it went.
static void
attempt(struct tls_context *c)
{
    user_open(&user, &rig, fd[0]);
    converse(&rig, c, &user, &peer);
    tls_unref(c);
}

static void
expect_refusal(int alert, const char *part)
{
    cr_assert_neq(user.error, 0, "it was not refused");
    cr_assert(strstr(user.why, part), "no \"%s\" in: %s", part, user.why);
    cr_assert_null(strchr(user.why, '\n'));
    cr_assert_eq(peer.alert, alert, "alert %d, not %d (%s)", peer.alert, alert, user.why);
    peer = (struct peer){0};
}

// ---- upstreams (protocol.md: 62)

static void
connect_to(const struct identity *i, const char *hostname)
{
    pair_tcp(fd);
    peer_server(&peer, fd[1]);
    peer_show(&peer, i);
    attempt(client_new(pki.dir, hostname));
}

static void
expect_refused_server(const struct wish *w, const char *hostname, int alert, const char *part)
{
    struct identity i = pki_make(w);
    connect_to(&i, hostname);
    expect_refusal(alert, part);
    pki_free(&i);
}

Test(tls_refused, upstream_for_another_name)
{
    connect_to(&pki.server, "example.org");
    expect_refusal(SSL_AD_BAD_CERTIFICATE, "is not for example.org but for: localhost, 127.0.0.1");
}

Test(tls_refused, upstream_for_another_address)
{
    connect_to(&pki.server, "127.0.0.2");
    expect_refusal(SSL_AD_BAD_CERTIFICATE, "is not for 127.0.0.2");
}

Test(tls_refused, upstream_whose_name_is_a_cn_only)
{
    expect_refused_server(&(struct wish){.cn = "localhost", .issuer = &pki.ca}, "localhost",
                          SSL_AD_BAD_CERTIFICATE, "a CN alone does not count");
}

Test(tls_refused, upstream_with_a_partial_wildcard)
{
    expect_refused_server(&(struct wish){.cn = "x", .san = "DNS:a*.example.org", .issuer = &pki.ca},
                          "ab.example.org", SSL_AD_BAD_CERTIFICATE, "is not for ab.example.org");
}

Test(tls_refused, upstream_of_another_ca)
{
    connect_to(&pki.stranger, "localhost");
    expect_refusal(SSL_AD_UNKNOWN_CA, "was not signed by a CA in ");
}

Test(tls_refused, upstream_that_signed_itself)
{
    expect_refused_server(&(struct wish){.cn = "self", .san = "DNS:localhost"}, "localhost",
                          SSL_AD_UNKNOWN_CA, "self-signed");
}

Test(tls_refused, upstream_whose_certificate_has_expired)
{
    expect_refused_server(
        &(struct wish){
            .cn = "old", .san = "DNS:localhost", .issuer = &pki.ca, .from = -9 * DAY, .to = -DAY},
        "localhost", SSL_AD_CERTIFICATE_EXPIRED,
        "certificate (old), or one of those that signed it, has expired");
}

Test(tls_refused, upstream_whose_certificate_begins_tomorrow)
{
    expect_refused_server(
        &(struct wish){
            .cn = "new", .san = "DNS:localhost", .issuer = &pki.ca, .from = DAY, .to = 9 * DAY},
        "localhost", SSL_AD_BAD_CERTIFICATE, "is not yet valid");
}

Test(tls_refused, upstream_that_was_revoked)
{
    struct identity i = pki_make(
        &(struct wish){.cn = "gone", .san = "DNS:localhost", .issuer = &pki.ca, .serial = 99});
    pki_write_crl(pki.dir, &pki.ca, 99, DAY);
    connect_to(&i, "localhost");
    expect_refusal(SSL_AD_CERTIFICATE_REVOKED, "(gone) is revoked by");
    pki_free(&i);
    connect_to(&pki.server, "localhost");
    cr_assert_eq(user.error, 0, "%s", user.why);
}

Test(tls_refused, anybody_while_the_revocation_list_is_overdue)
{
    pki_write_crl(pki.dir, &pki.ca, 0, -60);
    connect_to(&pki.server, "localhost");
    expect_refusal(SSL_AD_CERTIFICATE_EXPIRED, "ca-crl.pem: CRL has expired");
}

Test(tls_refused, upstream_of_the_systems_trust_store_that_is_not_in_it)
{
    pair_tcp(fd);
    peer_server(&peer, fd[1]);
    attempt(client_new(NULL, "localhost"));
    expect_refusal(SSL_AD_UNKNOWN_CA, "the system's trust store");
}

Test(tls_refused, nobody_whom_we_do_not_verify)
{
    pair_tcp(fd);
    peer_server(&peer, fd[1]);
    peer_show(&peer, &pki.stranger);
    attempt(client_from(&(struct tls_client){.certificates = pki.dir, .hostname = "elsewhere"}));
    cr_assert_eq(user.error, 0, "%s", user.why);
    cr_assert_str_eq(user.peer, "stranger");
}

// Names and addresses that are right, in all forms.
Test(tls_refused, nobody_with_the_right_name)
{
    static const char *const right[] = {"localhost", "LocalHost.", "127.0.0.1"};
    for (int i = 0; i < 3; i++) {
        connect_to(&pki.server, right[i]);
        cr_assert_eq(user.error, 0, "%s: %s", right[i], user.why);
        peer = (struct peer){0};
    }
    struct identity i =
        pki_make(&(struct wish){.cn = "x", .san = "DNS:*.example.org,IP:::1", .issuer = &pki.ca});
    connect_to(&i, "a.example.org");
    cr_assert_eq(user.error, 0, "%s", user.why);
    peer = (struct peer){0};
    connect_to(&i, "::1");
    cr_assert_eq(user.error, 0, "%s", user.why);
    pki_free(&i);
}

// ---- clients (protocol.md: 63)

static void
accept_from(const struct identity *i, struct tls_context *c, int version)
{
    pair_tcp(fd);
    peer_client(&peer, fd[1]);
    peer_versions(&peer, version, version);
    if (i)
        peer_show(&peer, i);
    attempt(c);
}

static struct tls_context *
strict(const char *const *allow, size_t n)
{
    return server_from(&(struct tls_server){
        .certificates = pki.dir, .verify_peer = true, .allow = allow, .allow_count = n});
}

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

Test(tls_refused, client_without_certificate)
{
    accept_from(NULL, strict(NULL, 0), TLS1_3_VERSION);
    expect_refusal(SSL_AD_CERTIFICATE_REQUIRED, "showed no certificate");
    accept_from(NULL, strict(NULL, 0), TLS1_2_VERSION);
    expect_refusal(SSL_AD_HANDSHAKE_FAILURE, "showed no certificate");
}

Test(tls_refused, client_of_another_ca)
{
    for (int i = 0; i < 2; i++) {
        accept_from(&pki.stranger, strict(NULL, 0), versions[i]);
        expect_refusal(SSL_AD_UNKNOWN_CA, "(stranger) was not signed by a CA in ");
    }
}

Test(tls_refused, client_whose_certificate_has_expired)
{
    struct identity i =
        pki_make(&(struct wish){.cn = "late", .issuer = &pki.ca, .from = -9 * DAY, .to = -DAY});
    accept_from(&i, strict(NULL, 0), TLS1_3_VERSION);
    expect_refusal(SSL_AD_CERTIFICATE_EXPIRED,
                   "(late), or one of those that signed it, has expired");
    pki_free(&i);
}

Test(tls_refused, client_that_was_revoked)
{
    pki_write_crl(pki.dir, &pki.ca, 77, DAY);
    accept_from(&pki.alice, strict(NULL, 0), TLS1_3_VERSION);
    expect_refusal(SSL_AD_CERTIFICATE_REVOKED, "(alice) is revoked by");
}

Test(tls_refused, client_that_is_not_on_the_list)
{
    static const char *const list[] = {"bob", "*.example.org", "alice2", "*lic"};
    for (int i = 0; i < 2; i++) {
        accept_from(&pki.alice, strict(list, 4), versions[i]);
        expect_refusal(SSL_AD_HANDSHAKE_FAILURE, "(alice) is valid, but tls-allow has none");
    }
}

Test(tls_refused, nobody_who_is_on_the_list)
{
    static const char *const by_cn[] = {"nobody", "a*e"}, *const by_san[] = {"*.example.org"};
    struct identity i =
        pki_make(&(struct wish){.cn = "x", .san = "DNS:Host.Example.org", .issuer = &pki.ca});
    accept_from(&pki.alice, strict(by_cn, 2), TLS1_3_VERSION);
    cr_assert_eq(user.error, 0, "%s", user.why);
    cr_assert_str_eq(user.peer, "alice");
    peer = (struct peer){0};
    accept_from(&i, strict(by_san, 1), TLS1_3_VERSION);
    cr_assert_eq(user.error, 0, "%s", user.why);
    pki_free(&i);
}

// ---- versions and ciphers (64)

Test(tls_refused, tls_1_1)
{
    accept_from(NULL, server_new(pki.dir, false), TLS1_1_VERSION);
    expect_refusal(SSL_AD_PROTOCOL_VERSION, "neither TLS 1.2 nor 1.3");
    pair_tcp(fd);
    peer_server(&peer, fd[1]);
    peer_versions(&peer, TLS1_VERSION, TLS1_1_VERSION);
    attempt(client_new(pki.dir, "localhost"));
    cr_assert_neq(user.error, 0);
    cr_assert(strstr(user.why, "protocol version"), "%s", user.why);
}

Test(tls_refused, who_has_none_of_our_ciphers)
{
    struct tls_server s = {.certificates = pki.dir, .ciphers = "TLS_CHACHA20_POLY1305_SHA256"};
    pair_tcp(fd);
    peer_client(&peer, fd[1]);
    SSL_CTX_set_ciphersuites(peer.ctx, "TLS_AES_128_GCM_SHA256");
    attempt(server_from(&s));
    expect_refusal(SSL_AD_HANDSHAKE_FAILURE, "tls-ciphers");
    pair_tcp(fd);
    peer_client(&peer, fd[1]);
    attempt(server_from(&s));
    cr_assert_eq(user.error, 0, "%s", user.why);
    cr_assert_str_eq(user.cipher, "TLS_CHACHA20_POLY1305_SHA256");
    peer = (struct peer){0};
    s.ciphers = "ECDHE-ECDSA-AES256-GCM-SHA384"; // no name of 1.3: no 1.3
    pair_tcp(fd);
    peer_client(&peer, fd[1]);
    attempt(server_from(&s));
    cr_assert_eq(user.error, 0, "%s", user.why);
    cr_assert_str_eq(user.version, "TLSv1.2");
    cr_assert_str_eq(user.cipher, "ECDHE-ECDSA-AES256-GCM-SHA384");
}

// ---- PSK (69)

static struct tls_context *
psk_server(void)
{
    return server_from(&(struct tls_server){.psk_file = pki.psk});
}

static struct tls_context *
psk_client(const char *name)
{
    return client_from(&(struct tls_client){
        .psk_file = pki.psk, .psk_user = name, .verify_peer = true, .hostname = "localhost"});
}

static void
accept_psk(const char *name, const char *key, int version, struct tls_context *c)
{
    pair_tcp(fd);
    peer_client(&peer, fd[1]);
    peer_versions(&peer, version, version);
    peer_psk(&peer, name, key);
    attempt(c);
}

Test(tls_refused, psk_with_the_right_key_is_not)
{
    for (int i = 0; i < 2; i++) {
        accept_psk("bob", PSK_BOB, versions[i], psk_server());
        cr_assert_eq(user.error, 0, "%s", user.why);
        cr_assert(user.psk && !user.resumed);
        cr_assert_str_eq(user.peer, "bob");
        peer = (struct peer){0};
        pair_tcp(fd);
        peer_server(&peer, fd[1]);
        peer_versions(&peer, versions[i], versions[i]);
        peer_psk(&peer, "alice", PSK_ALICE);
        attempt(psk_client("alice"));
        cr_assert_eq(user.error, 0, "%s", user.why);
        cr_assert(user.psk && !user.resumed);
        cr_assert_str_eq(user.peer, "alice");
        peer = (struct peer){0};
    }
}

// Who guesses users learns nothing: both fail in the same way.
Test(tls_refused, psk_with_a_wrong_key_and_one_of_an_unknown_user_alike)
{
    for (int i = 0; i < 2; i++) {
        accept_psk("bob", PSK_ALICE, versions[i], psk_server());
        int alert = peer.alert;
        cr_assert_neq(alert, 0);
        expect_refusal(alert, "user is bob");
        accept_psk("mallory\n", PSK_ALICE, versions[i], psk_server());
        expect_refusal(alert, "named the PSK user mallory\\x0a, who is not in ");
    }
}

Test(tls_refused, psk_server_with_another_key)
{
    for (int i = 0; i < 2; i++) {
        pair_tcp(fd);
        peer_server(&peer, fd[1]);
        peer_versions(&peer, versions[i], versions[i]);
        peer_psk(&peer, "alice", PSK_BOB);
        attempt(psk_client("alice"));
        cr_assert_neq(user.error, 0);
        cr_assert(strstr(user.why, "alert"), "%s", user.why);
        peer = (struct peer){0};
    }
}

// The right certificate is no substitute for the key.
Test(tls_refused, psk_server_that_shows_a_certificate)
{
    pair_tcp(fd);
    peer_server(&peer, fd[1]);
    attempt(psk_client("alice"));
    expect_refusal(SSL_AD_HANDSHAKE_FAILURE, "shows a certificate (");
}

Test(tls_refused, client_without_psk_where_there_is_nothing_else)
{
    accept_from(NULL, psk_server(), TLS1_3_VERSION);
    cr_assert_neq(user.error, 0);
    peer = (struct peer){0};
    accept_from(NULL, psk_server(), TLS1_2_VERSION);
    expect_refusal(SSL_AD_HANDSHAKE_FAILURE, "both PSK");
}

// One listener with both.
Test(tls_refused, nobody_with_either_where_both_are_good)
{
    struct tls_server s = {.certificates = pki.dir, .psk_file = pki.psk, .verify_peer = true};
    for (int i = 0; i < 2; i++) {
        accept_psk("bob", PSK_BOB, versions[i], server_from(&s));
        cr_assert_eq(user.error, 0, "%s", user.why);
        cr_assert_str_eq(user.peer, "bob");
        peer = (struct peer){0};
        accept_from(&pki.alice, server_from(&s), versions[i]);
        cr_assert_eq(user.error, 0, "%s", user.why);
        cr_assert_str_eq(user.peer, "alice");
        peer = (struct peer){0};
        accept_psk("bob", PSK_ALICE, versions[i], server_from(&s));
        cr_assert_neq(user.error, 0);
        peer = (struct peer){0};
    }
}

// ---- what comes before TLS, and what is none (55, 59, 68)

Test(tls_refused, bytes_behind_starttls)
{
    char err[TLS_TEXT];
    struct tls_context *c = server_new(pki.dir, false);
    pair_tcp(fd);
    user.expected = 1;
    user_open(&user, &rig, fd[0]);
    cr_assert_eq(send(fd[1], "NBD", 3, 0), 3);
    stream_set_handler(user.stream, NULL, NULL);
    rig_run_for(&rig, 20 * NS_PER_MS);
    cr_assert(!stream_start_tls(user.stream, c, err, sizeof err));
    cr_assert(strstr(err, "bytes behind STARTTLS"), "%s", err);
    size_t n;
    cr_assert(stream_peek(user.stream, &n));
    cr_assert_eq(n, 3, "it is as it was");
    user_close(&user, STREAM_ABORT);
    close(fd[1]);
    tls_unref(c);
}

static void
expect_nonsense(const char *bytes, size_t n, const char *part)
{
    struct tls_context *c = server_new(pki.dir, false);
    pair_tcp(fd);
    user_open(&user, &rig, fd[0]);
    user_start_tls(&user, c);
    cr_assert_eq(send(fd[1], bytes, n, 0), (ssize_t)n);
    rig_run(&rig, 10 * NS_PER_SEC);
    cr_assert(strstr(user.why, part), "%s", user.why);
    user_close(&user, STREAM_ABORT);
    close(fd[1]);
    tls_unref(c);
}

Test(tls_refused, plaintext_instead_of_tls)
{
    expect_nonsense("IHAVEOPT\0\0\0\7\0\0\0\0", 16, "not TLS");
    expect_nonsense("GET / HTTP/1.0\r\n\r\n", 18, "HTTP");
}

static void
say_plaintext(struct peer *p)
{
    char c;
    cr_assert_eq(send(p->fd, "\x25\x60\x95\x13\0\0\0\1........", 16, 0), 16);
    peer_read(p, &c, 1);
    p->abrupt = true;
}

Test(tls_refused, plaintext_after_the_handshake)
{
    for (int i = 0; i < 2; i++) {
        peer.talk = say_plaintext;
        accept_from(NULL, server_new(pki.dir, false), versions[i]);
        cr_assert_neq(user.error, 0);
        cr_assert_eq(user.n, 0, "none of it was taken for data");
        cr_assert_neq(peer.alert, 0, "%s", user.why);
        peer = (struct peer){0};
    }
}

Test(tls_refused, who_leaves_during_the_handshake)
{
    struct tls_context *c = server_new(pki.dir, false);
    pair_tcp(fd);
    user_open(&user, &rig, fd[0]);
    user_start_tls(&user, c);
    close(fd[1]);
    rig_run(&rig, 10 * NS_PER_SEC);
    cr_assert(strstr(user.why, "closed the connection during the handshake"), "%s", user.why);
    user_close(&user, STREAM_ABORT);
    tls_unref(c);
}
