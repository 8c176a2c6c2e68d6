// SPDX-License-Identifier: BSD-3-Clause
// Resumption keeps the checks (protocol.md: 71).
#include "rig_tls.h"

#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

#define DAY 86400L

static struct rig rig;
static struct user user;
static struct peer peer;
static int fd[2];
static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

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

TestSuite(tls_resumed, .init = open_all, .fini = close_all, .timeout = 60);

// Lets peer and context try; afterwards `user` says how it went.
static void
attempt(struct tls_context *c)
{
    user_open(&user, &rig, fd[0]);
    converse(&rig, c, &user, &peer);
    peer = (struct peer){0};
}

static struct tls_context *
strict(void)
{
    return server_from(&(struct tls_server){.certificates = pki.dir, .verify_peer = true});
}

// Valid for two seconds from now.
static struct identity
brief(void)
{
    return pki_make(&(struct wish){
        .cn = "brief", .san = "DNS:localhost", .issuer = &pki.ca, .from = -DAY, .to = 2});
}

// ---- clients

static SSL_SESSION *kept;

static int
keep(SSL *ssl, SSL_SESSION *session)
{
    SSL_SESSION_free(kept);
    kept = session;
    return 1;
}

static void
visit(struct tls_context *c, const struct identity *i, int version)
{
    pair_tcp(fd);
    peer_client(&peer, fd[1]);
    peer_versions(&peer, version, version);
    if (i)
        peer_show(&peer, i);
    SSL_CTX_set_session_cache_mode(peer.ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(peer.ctx, keep);
    SSL_SESSION *resume = peer.resume = kept;
    kept = NULL;
    attempt(c);
    SSL_SESSION_free(resume);
}

Test(tls_resumed, nobody_who_resumes_and_who_he_is_stays_known)
{
    struct tls_context *c = strict();
    for (int i = 0; i < 2; i++) {
        visit(c, &pki.alice, versions[i]);
        cr_assert_eq(user.error, 0, "%s", user.why);
        cr_assert(!user.resumed && kept);
        visit(c, NULL, versions[i]); // the ticket is enough
        cr_assert_eq(user.error, 0, "%s", user.why);
        cr_assert(user.resumed);
        cr_assert_str_eq(user.peer, "alice");
        SSL_SESSION_free(kept);
        kept = NULL;
    }
    tls_unref(c);
}

Test(tls_resumed, ticket_of_another_listener_or_of_before_a_reload)
{
    struct tls_context *lax = server_new(pki.dir, false);
    for (int i = 0; i < 2; i++) {
        visit(lax, NULL, versions[i]);
        cr_assert_eq(user.error, 0, "%s", user.why);
        struct tls_context *c = strict();
        visit(c, NULL, versions[i]);
        cr_assert(strstr(user.why, "showed no certificate"), "%s", user.why);
        tls_unref(c);
    }
    tls_unref(lax);
}

Test(tls_resumed, ticket_whose_certificate_has_expired_meanwhile)
{
    struct identity i = brief();
    struct tls_context *c = strict();
    visit(c, &i, TLS1_3_VERSION);
    cr_assert_eq(user.error, 0, "%s", user.why);
    sleep(3);
    visit(c, NULL, TLS1_3_VERSION);
    cr_assert(strstr(user.why, "showed no certificate"), "%s", user.why);
    tls_unref(c);
    pki_free(&i);
}

// A CA that had ended before has vouched for nobody who holds a ticket.
Test(tls_resumed, one_of_several_cas_has_ended)
{
    struct identity old =
        pki_make(&(struct wish){.cn = "old", .is_ca = true, .from = -9 * DAY, .to = -DAY});
    pki_append_cert(pki.dir, "ca-cert.pem", &old);
    struct tls_context *c = strict();
    visit(c, &pki.alice, TLS1_3_VERSION);
    cr_assert_eq(user.error, 0, "%s", user.why);
    visit(c, NULL, TLS1_3_VERSION);
    cr_assert_eq(user.error, 0, "%s", user.why);
    cr_assert(user.resumed);
    tls_unref(c);
    pki_free(&old);
}

Test(tls_resumed, ticket_whose_ca_has_ended_meanwhile)
{
    struct identity ca =
        pki_make(&(struct wish){.cn = "brief", .is_ca = true, .from = -DAY, .to = 2});
    struct identity i = pki_make(&(struct wish){.cn = "x", .issuer = &ca});
    pki_append_cert(pki.dir, "ca-cert.pem", &ca);
    struct tls_context *c = strict();
    visit(c, &i, TLS1_3_VERSION);
    cr_assert_eq(user.error, 0, "%s", user.why);
    sleep(3);
    visit(c, NULL, TLS1_3_VERSION);
    cr_assert(strstr(user.why, "showed no certificate"), "%s", user.why);
    visit(c, &pki.alice, TLS1_3_VERSION);
    cr_assert_eq(user.error, 0, "%s", user.why);
    visit(c, NULL, TLS1_3_VERSION);
    cr_assert(user.resumed, "what began after that end stands");
    tls_unref(c);
    pki_free(&i);
    pki_free(&ca);
}

// ---- upstreams: it is we who resume

// A server that keeps the keys of its tickets from one connection to the next.
static void
visit_server(SSL_CTX *server, struct tls_context *c)
{
    pair_tcp(fd);
    peer_server(&peer, fd[1]);
    SSL_CTX_free(peer.ctx);
    peer.ctx = server;
    SSL_CTX_up_ref(server);
    attempt(c);
}

static SSL_CTX *
server_ctx(const struct identity *i, int version)
{
    SSL_CTX *x = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_min_proto_version(x, version);
    SSL_CTX_set_max_proto_version(x, version);
    cr_assert_eq(SSL_CTX_use_certificate(x, i->cert), 1);
    cr_assert_eq(SSL_CTX_use_PrivateKey(x, i->key), 1);
    return x;
}

// Each connection but the first resumes; and so the first after a reload does not.
Test(tls_resumed, nobody_to_whom_we_come_back)
{
    for (int i = 0; i < 2; i++) {
        SSL_CTX *server = server_ctx(&pki.server, versions[i]);
        for (int reload = 0; reload < 2; reload++) {
            struct tls_context *c = client_new(pki.dir, "localhost");
            for (int k = 0; k < 3; k++) {
                visit_server(server, c);
                cr_assert_eq(user.error, 0, "%s", user.why);
                cr_assert_eq(user.resumed, k > 0);
                cr_assert_str_eq(user.peer, "server");
            }
            tls_unref(c);
        }
        SSL_CTX_free(server);
    }
}

Test(tls_resumed, upstream_whose_certificate_has_expired_meanwhile)
{
    struct identity id = brief();
    struct tls_context *c[2];
    SSL_CTX *server[2];
    for (int i = 0; i < 2; i++) {
        c[i] = client_new(pki.dir, "localhost");
        server[i] = server_ctx(&id, versions[i]);
        visit_server(server[i], c[i]);
        cr_assert_eq(user.error, 0, "%s", user.why);
    }
    sleep(3);
    for (int i = 0; i < 2; i++) {
        visit_server(server[i], c[i]);
        cr_assert(strstr(user.why, "expired"), "%s", user.why);
        SSL_CTX_free(server[i]);
        tls_unref(c[i]);
    }
    pki_free(&id);
}
