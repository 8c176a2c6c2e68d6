// SPDX-License-Identifier: BSD-3-Clause
#include "rig_tls.h"

#include <criterion/criterion.h>
#include <openssl/err.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

// ---- the peer

static void
peer_new(struct peer *p, int fd, const SSL_METHOD *method)
{
    *p = (struct peer){.fd = fd, .ctx = SSL_CTX_new(method), .talk = p->talk, .arg = p->arg};
    cr_assert_not_null(p->ctx);
    signal(SIGPIPE, SIG_IGN);
    fd_blocking(fd, true);
    // No test waits for a peer that hangs.
    struct timeval limit = {.tv_sec = 20};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

void
peer_client(struct peer *p, int fd)
{
    peer_new(p, fd, TLS_client_method());
    X509_STORE_add_cert(SSL_CTX_get_cert_store(p->ctx), pki.ca.cert);
    SSL_CTX_set_verify(p->ctx, SSL_VERIFY_PEER, NULL);
    p->host = "localhost";
}

void
peer_server(struct peer *p, int fd)
{
    peer_new(p, fd, TLS_server_method());
    peer_show(p, &pki.server);
}

void
peer_show(struct peer *p, const struct identity *i)
{
    cr_assert_eq(SSL_CTX_use_certificate(p->ctx, i->cert), 1);
    cr_assert_eq(SSL_CTX_use_PrivateKey(p->ctx, i->key), 1);
}

void
peer_versions(struct peer *p, int least, int most)
{
    SSL_CTX_set_security_level(p->ctx, least < TLS1_2_VERSION ? 0 : 2);
    if (least < TLS1_2_VERSION)
        SSL_CTX_set_cipher_list(p->ctx, "ALL:@SECLEVEL=0");
    SSL_CTX_set_min_proto_version(p->ctx, least);
    SSL_CTX_set_max_proto_version(p->ctx, most);
}

struct secret {
    char user[40];
    uint8_t *key;
    long n;
};
static struct secret secret; // tests run one at a time

static unsigned
psk_of_client(SSL *ssl, const char *hint, char *name, unsigned cap, unsigned char *key,
              unsigned key_cap)
{
    snprintf(name, cap, "%s", secret.user);
    memcpy(key, secret.key, (size_t)secret.n);
    return (unsigned)secret.n;
}

static unsigned
psk_of_server(SSL *ssl, const char *name, unsigned char *key, unsigned cap)
{
    if (strcmp(name, secret.user))
        return 0;
    memcpy(key, secret.key, (size_t)secret.n);
    return (unsigned)secret.n;
}

void
peer_psk(struct peer *p, const char *user, const char *hexkey)
{
    OPENSSL_free(secret.key);
    snprintf(secret.user, sizeof secret.user, "%s", user);
    secret.key = OPENSSL_hexstr2buf(hexkey, &secret.n);
    cr_assert_not_null(secret.key);
    cr_assert_eq(SSL_CTX_set_cipher_list(p->ctx, "PSK"), 1);
    SSL_CTX_set_psk_client_callback(p->ctx, psk_of_client);
    SSL_CTX_set_psk_server_callback(p->ctx, psk_of_server);
}

static int
alert_of(unsigned long e)
{
    int reason = ERR_GET_REASON(e);
    return ERR_GET_LIB(e) == ERR_LIB_SSL && reason > SSL_AD_REASON_OFFSET
               ? reason - SSL_AD_REASON_OFFSET
               : 0;
}

static void
note_alert(struct peer *p)
{
    unsigned long e;
    while ((e = ERR_get_error()))
        if (alert_of(e))
            p->alert = alert_of(e);
}

// Until their end.
static void
read_away(struct peer *p)
{
    char c[256];
    int n;
    while ((n = SSL_read(p->ssl, c, sizeof c)) > 0)
        ;
    p->saw_close_notify = SSL_get_error(p->ssl, n) == SSL_ERROR_ZERO_RETURN;
    note_alert(p);
}

static void *
peer_main(void *arg)
{
    struct peer *p = arg;
    ERR_clear_error();
    p->handshake = SSL_is_server(p->ssl) ? SSL_accept(p->ssl) : SSL_connect(p->ssl);
    note_alert(p);
    if (p->handshake == 1 && p->talk)
        p->talk(p);
    if (p->handshake == 1 && !p->abrupt) {
        if (SSL_shutdown(p->ssl) == 0)
            read_away(p);
    } else if (p->handshake == 1 && !p->talk) {
        read_away(p);
    }
    note_alert(p);
    shutdown(p->fd, SHUT_RDWR);
    close(p->fd);
    return NULL;
}

void
peer_start(struct peer *p)
{
    p->ssl = SSL_new(p->ctx);
    cr_assert_not_null(p->ssl);
    SSL_set_fd(p->ssl, p->fd);
    if (p->host) {
        SSL_set_tlsext_host_name(p->ssl, (char *)(uintptr_t)p->host);
        SSL_set1_host(p->ssl, p->host);
    }
    if (p->resume)
        SSL_set_session(p->ssl, p->resume);
    cr_assert_eq(pthread_create(&p->thread, NULL, peer_main, p), 0);
}

void
peer_join(struct peer *p)
{
    pthread_join(p->thread, NULL);
    SSL_free(p->ssl);
    SSL_CTX_free(p->ctx);
}

void
peer_write(struct peer *p, const void *data, size_t n)
{
    if (SSL_write(p->ssl, data, (int)n) <= 0)
        note_alert(p);
}

bool
peer_read(struct peer *p, void *data, size_t n)
{
    for (size_t done = 0, some; done < n; done += some)
        if (SSL_read_ex(p->ssl, (char *)data + done, n - done, &some) != 1) {
            p->saw_close_notify = SSL_get_error(p->ssl, 0) == SSL_ERROR_ZERO_RETURN;
            note_alert(p);
            return false;
        }
    return true;
}

// ---- the stream's user

static void
learn(struct user *u)
{
    const struct tls_facts *f = stream_tls(u->stream);
    if (!f || u->up)
        return;
    u->up = true;
    u->psk = f->psk;
    u->resumed = f->resumed;
    u->kernel = f->kernel_sends;
    snprintf(u->peer, sizeof u->peer, "%s", f->peer);
    snprintf(u->version, sizeof u->version, "%s", f->version);
    snprintf(u->cipher, sizeof u->cipher, "%s", f->cipher);
    if (u->stop_when_up)
        ring_stop(u->rig->ring);
}

static void
user_ready(void *ctx)
{
    struct user *u = ctx;
    size_t n;
    const uint8_t *p = stream_peek(u->stream, &n);
    u->readies++;
    learn(u);
    if (u->echo)
        stream_send_ref(u->stream, u->stream, p, n);
    cr_assert_leq(u->n + n, u->cap);
    memcpy(u->got + u->n, p, n);
    u->n += n;
    stream_take(u->stream, n);
    stream_want(u->stream, u->want);
    u->ended = stream_ended(u->stream);
    u->truncated = stream_truncated(u->stream);
    if (u->ended || (u->expected && u->n >= u->expected))
        ring_stop(u->rig->ring);
}

static void
user_broken(void *ctx)
{
    struct user *u = ctx;
    u->error = stream_error(u->stream);
    if (stream_tls_error(u->stream))
        snprintf(u->why, sizeof u->why, "%s", stream_tls_error(u->stream));
    stream_close(u->stream, STREAM_ABORT);
    u->stream = NULL;
    ring_stop(u->rig->ring);
}

static const struct stream_handler user_handler = {.ready = user_ready, .broken = user_broken};

#define KEPT (4u << 20)

void
user_open(struct user *u, struct rig *g, int fd)
{
    bool echo = u->echo, stop_when_up = u->stop_when_up;
    size_t expected = u->expected, want = u->want;
    *u = (struct user){.rig = g,
                       .echo = echo,
                       .stop_when_up = stop_when_up,
                       .expected = expected,
                       .want = want ? want : 28,
                       .got = malloc(KEPT),
                       .cap = KEPT};
    u->stream = stream_new(g->ring, fd, 0, &user_handler, u);
    cr_assert_not_null(u->stream);
    stream_want(u->stream, u->want);
}

void
user_start_tls(struct user *u, struct tls_context *c)
{
    char err[TLS_TEXT];
    cr_assert(stream_start_tls(u->stream, c, err, sizeof err), "%s", err);
}

void
user_close(struct user *u, enum stream_close how)
{
    if (u->stream)
        stream_close(u->stream, how);
    u->stream = NULL;
    free(u->got);
    u->got = NULL;
}

struct tls_context *
server_from(const struct tls_server *s)
{
    char err[TLS_TEXT];
    struct tls_context *c = tls_server_new(s, err, sizeof err);
    cr_assert_not_null(c, "%s", err);
    return c;
}

struct tls_context *
client_from(const struct tls_client *k)
{
    char err[TLS_TEXT];
    struct tls_context *c = tls_client_new(k, err, sizeof err);
    cr_assert_not_null(c, "%s", err);
    return c;
}

struct tls_context *
server_new(const char *dir, bool verify)
{
    return server_from(&(struct tls_server){.certificates = dir, .verify_peer = verify});
}

struct tls_context *
client_new(const char *dir, const char *hostname)
{
    return client_from(
        &(struct tls_client){.certificates = dir, .hostname = hostname, .verify_peer = true});
}

static void
say_hello(struct peer *p)
{
    char text[5] = "";
    peer_write(p, "hello", 5);
    if (!peer_read(p, text, 5) || memcmp(text, "hello", 5))
        p->handshake = -1;
}

void
converse(struct rig *g, struct tls_context *c, struct user *u, struct peer *p)
{
    u->echo = true;
    if (!p->talk)
        p->talk = say_hello;
    user_start_tls(u, c);
    peer_start(p);
    rig_run(g, 20 * NS_PER_SEC);
    user_close(u, STREAM_FINISH);
    ring_stop(g->ring); // and what is being finished is
    ring_run(g->ring);
    peer_join(p);
}
