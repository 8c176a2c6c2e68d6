// SPDX-License-Identifier: BSD-3-Clause
// Contexts: what all TLS streams of a listener or an upstream have in common.
#include "tls_inside.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

bool
tls_fault(char *err, size_t errlen, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err, errlen, fmt, ap);
    va_end(ap);
    ERR_clear_error();
    return false;
}

static bool
no_memory(char *err, size_t errlen)
{
    return tls_fault(err, errlen, "out of memory for TLS");
}

// OpenSSL would ask at the terminal.
static int
no_passphrase(char *buf, int size, int rwflag, void *arg)
{
    return -1;
}

static bool
copy(char **to, const char *text)
{
    *to = text && *text ? strdup(text) : NULL;
    return *to || !text || !*text;
}

static struct tls_context *
context_new(bool is_client)
{
    struct tls_context *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->refs = 1;
    c->is_client = is_client;
    c->ssl = SSL_CTX_new(is_client ? TLS_client_method() : TLS_server_method());
    if (c->ssl && RAND_bytes(c->decoy, sizeof c->decoy) == 1)
        return c;
    tls_unref(c);
    return NULL;
}

struct tls_context *
tls_ref(struct tls_context *c)
{
    c->refs++;
    return c;
}

void
tls_unref(struct tls_context *c)
{
    if (!c || --c->refs > 0)
        return;
    SSL_SESSION_free(c->session);
    SSL_CTX_free(c->ssl);
    psk_free(&c->users);
    for (size_t i = 0; i < c->allow_count; i++)
        free(c->allow[i]);
    free(c->allow);
    free(c->directory);
    free(c->psk_file);
    free(c->hostname);
    free(c);
}

// ---- both sides

static bool
common(struct tls_context *c, const char *ciphers, char *err, size_t errlen)
{
    char why[TLS_TEXT];
    SSL_CTX *x = c->ssl;
    if (SSL_CTX_get_min_proto_version(x) < TLS1_2_VERSION) // the policy may ask for more
        SSL_CTX_set_min_proto_version(x, TLS1_2_VERSION);
    SSL_CTX_set_options(x, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(x, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    // After each record that holds no data the turn is ours again: many of them are an attack.
    SSL_CTX_clear_mode(x, SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_msg_callback(x, tls_message);
    SSL_CTX_set_default_passwd_cb(x, no_passphrase);
    SSL_CTX_set_dh_auto(x, 1);
    c->kernel = tls_kernel_offers(why, sizeof why);
    if (c->kernel)
        SSL_CTX_set_options(x, SSL_OP_ENABLE_KTLS);
    return tls_set_ciphers(c, ciphers, err, errlen);
}

static int
refuse(struct tls *t, X509_STORE_CTX *v, int error)
{
    X509_STORE_CTX_set_error(v, error);
    t->refused = error;
    X509 *x = X509_STORE_CTX_get_current_cert(v);
    bool other_name =
        error == X509_V_ERR_HOSTNAME_MISMATCH || error == X509_V_ERR_IP_ADDRESS_MISMATCH;
    (other_name ? tls_names : tls_name)(x, t->refused_name, sizeof t->refused_name);
    return 0;
}

// What it leaves in OpenSSL's queue, of a name that is malformed, must not look like a failure of
// the handshake.
static bool
is_allowed(const struct tls_context *c, X509 *x)
{
    ERR_set_mark();
    bool allowed = tls_allowed(c, x);
    ERR_pop_to_mark();
    return allowed;
}

// Once for each certificate of a chain, the root first; `ok`: OpenSSL is content with it.
static int
judge(int ok, X509_STORE_CTX *v)
{
    struct tls *t = tls_of(X509_STORE_CTX_get_ex_data(v, SSL_get_ex_data_X509_STORE_CTX_idx()));
    if (t->context->user) // it should have used our key
        return refuse(t, v, X509_V_ERR_APPLICATION_VERIFICATION);
    if (!ok)
        return refuse(t, v, X509_STORE_CTX_get_error(v));
    if (X509_STORE_CTX_get_error_depth(v) == 0 &&
        !is_allowed(t->context, X509_STORE_CTX_get_current_cert(v)))
        return refuse(t, v, X509_V_ERR_APPLICATION_VERIFICATION);
    return 1;
}

// What was demanded of the peer when the session began is still demanded when it is resumed. Where
// a CA of ours has ended since, or a list of the revoked is due, a whole handshake judges.
bool
tls_still_valid(const struct tls_context *c, const SSL_SESSION *session)
{
    X509 *x = SSL_SESSION_get0_peer((SSL_SESSION *)(uintptr_t)session);
    if (!c->verify_peer)
        return true;
    if (tls_ended_since(c, (time_t)SSL_SESSION_get_time(session)))
        return false;
    return x && X509_cmp_current_time(X509_get0_notAfter(x)) > 0 && is_allowed(c, x);
}

// ---- server

// A ticket does not say whose PSK it was: such are marked, and not honoured.
static int
write_ticket(SSL *ssl, void *arg)
{
    return !tls_of(ssl)->psk ||
           SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), "psk", 3) == 1;
}

// Keys of tickets belong to the context, so none survives a reload, or comes from another listener.
static SSL_TICKET_RETURN
honour_ticket(SSL *ssl, SSL_SESSION *session, const unsigned char *name, size_t name_len,
              SSL_TICKET_STATUS status, void *arg)
{
    struct tls_context *c = arg;
    if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    void *mark;
    size_t marked = 0;
    if (!tls_still_valid(c, session) || !SSL_SESSION_get0_ticket_appdata(session, &mark, &marked) ||
        marked)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    tls_of(ssl)->psk = NULL; // he may have named a user before, but this is what he comes in with
    return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

static bool
tickets(struct tls_context *c)
{
    uint8_t id[16];
    SSL_CTX_set_session_cache_mode(c->ssl, SSL_SESS_CACHE_OFF);
    return RAND_bytes(id, sizeof id) == 1 &&
           SSL_CTX_set_session_id_context(c->ssl, id, sizeof id) == 1 &&
           SSL_CTX_set_session_ticket_cb(c->ssl, write_ticket, honour_ticket, c) == 1;
}

static bool
copy_allow(struct tls_context *c, const struct tls_server *s)
{
    c->allow = s->allow_count ? calloc(s->allow_count, sizeof *c->allow) : NULL;
    for (size_t i = 0; c->allow && i < s->allow_count; i++) {
        c->allow[i] = strdup(s->allow[i]);
        if (!c->allow[i])
            return false;
        c->allow_count++;
    }
    return c->allow_count == s->allow_count;
}

static bool
server_fill(struct tls_context *c, const struct tls_server *s, char *err, size_t errlen)
{
    c->verify_peer = s->verify_peer;
    if (!s->certificates && !s->psk_file)
        return tls_fault(err, errlen, "TLS needs tls-certificates or tls-psk-file");
    if (s->verify_peer && !s->certificates)
        return tls_fault(err, errlen,
                         "tls-verify-peer needs tls-certificates, a directory with the "
                         "ca-cert.pem to verify with");
    if (s->allow_count && !s->verify_peer)
        return tls_fault(err, errlen,
                         "tls-allow needs tls-verify-peer = yes: a name that nobody "
                         "verified means nothing");
    if (!copy(&c->directory, s->certificates) || !copy(&c->psk_file, s->psk_file) ||
        !copy_allow(c, s) || !tickets(c))
        return no_memory(err, errlen);
    if (!common(c, s->ciphers, err, errlen))
        return false;
    if (s->certificates && !tls_load_pair(c, "server", true, err, errlen))
        return false;
    if (s->verify_peer) {
        if (!tls_load_ca(c, err, errlen) || !tls_load_crl(c, err, errlen))
            return false;
        SSL_CTX_set_verify(c->ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, judge);
    }
    if (s->psk_file) {
        if (!psk_load(&c->users, s->psk_file, err, errlen))
            return false;
        psk_serve(c);
        if (!tls_prefer_psk(c))
            return tls_fault(err, errlen, "no PSK cipher can be used");
    }
    return tls_report_fill(c, err, errlen);
}

struct tls_context *
tls_server_new(const struct tls_server *s, char *err, size_t errlen)
{
    struct tls_context *c = context_new(false);
    if (!c)
        no_memory(err, errlen);
    else if (server_fill(c, s, err, errlen))
        return c;
    tls_unref(c);
    return NULL;
}

// ---- client

// Sessions of TLS 1.3 are for one use (RFC 8446, appendix C.4): who takes one leaves none.
static int
keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls *t = tls_of(ssl);
    SSL_SESSION_free(atomic_exchange(&t->context->session, session));
    return 1; // it is ours now
}

static bool
name_peer(struct tls_context *c, const char *hostname)
{
    uint8_t number[16];
    X509_VERIFY_PARAM *p = SSL_CTX_get0_param(c->ssl);
    if (!copy(&c->hostname, hostname))
        return false;
    if (!c->hostname)
        return true;
    c->is_number =
        inet_pton(AF_INET, hostname, number) == 1 || inet_pton(AF_INET6, hostname, number) == 1;
    size_t n = strlen(c->hostname);
    if (!c->is_number && n > 1 && c->hostname[n - 1] == '.')
        c->hostname[n - 1] = '\0'; // the root's dot is in no certificate (RFC 6066, section 3)
    // A CN is no host name (RFC 9525, section 2), and "a*.example" no wildcard.
    X509_VERIFY_PARAM_set_hostflags(p, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT |
                                           X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (!c->verify_peer)
        return true;
    return c->is_number ? X509_VERIFY_PARAM_set1_ip_asc(p, c->hostname) == 1
                        : X509_VERIFY_PARAM_set1_host(p, c->hostname, 0) == 1;
}

static bool
client_psk(struct tls_context *c, const struct tls_client *k, char *err, size_t errlen)
{
    if (!k->psk_user || !*k->psk_user)
        return tls_fault(err, errlen, "tls-psk-file needs a user: nbds://USER@host/");
    if (!psk_load(&c->users, k->psk_file, err, errlen))
        return false;
    c->user = psk_find(&c->users, k->psk_user);
    if (!c->user)
        return tls_fault(err, errlen, "%s: there is no user \"%s\" in it", k->psk_file,
                         k->psk_user);
    psk_use(c);
    SSL_CTX_set_verify(c->ssl, SSL_VERIFY_PEER, judge);
    return tls_only_psk(c) || tls_fault(err, errlen, "no PSK cipher can be used");
}

static bool
client_certificates(struct tls_context *c, const struct tls_client *k, char *err, size_t errlen)
{
    if (k->verify_peer && !c->hostname)
        return tls_fault(err, errlen,
                         "there is no name that the upstream's certificate must be for: "
                         "set tls-hostname (or, at your risk, tls-verify-peer = no)");
    if (c->directory && !tls_load_pair(c, "client", false, err, errlen))
        return false;
    if (!k->verify_peer)
        return true;
    SSL_CTX_set_verify(c->ssl, SSL_VERIFY_PEER, judge);
    if (c->directory)
        return tls_load_ca(c, err, errlen) && tls_load_crl(c, err, errlen);
    return SSL_CTX_set_default_verify_paths(c->ssl) == 1 ||
           tls_fault(err, errlen, "the system's trust store can't be used: set tls-certificates");
}

static bool
client_fill(struct tls_context *c, const struct tls_client *k, char *err, size_t errlen)
{
    c->verify_peer = k->verify_peer;
    if (!copy(&c->directory, k->certificates) || !copy(&c->psk_file, k->psk_file) ||
        !name_peer(c, k->hostname))
        return no_memory(err, errlen);
    if (!common(c, k->ciphers, err, errlen))
        return false;
    // PSK asks for no signature: resuming would spare nothing.
    SSL_CTX_set_session_cache_mode(c->ssl, k->psk_file ? SSL_SESS_CACHE_OFF
                                                       : SSL_SESS_CACHE_CLIENT |
                                                             SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(c->ssl, keep_session);
    bool ok = k->psk_file ? client_psk(c, k, err, errlen) : client_certificates(c, k, err, errlen);
    return ok && tls_report_fill(c, err, errlen);
}

struct tls_context *
tls_client_new(const struct tls_client *k, char *err, size_t errlen)
{
    struct tls_context *c = context_new(true);
    if (!c)
        no_memory(err, errlen);
    else if (client_fill(c, k, err, errlen))
        return c;
    tls_unref(c);
    return NULL;
}
