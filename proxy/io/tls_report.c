// SPDX-License-Identifier: BSD-3-Clause
// What is to say of certificates and lists before anybody has come: do they verify, and when do
// they fail us. One of several CAs may end, and old lists may lie beside new ones: what counts is
// whether another does in its place.
#include "tls_inside.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <unistd.h>

#define NEVER INT64_MAX

static time_t
end_of(const ASN1_TIME *end)
{
    struct tm tm;
    return end && ASN1_TIME_to_tm(end, &tm) == 1 ? timegm(&tm) : NEVER;
}

static void
note_end(struct tls_context *c, time_t end, const char *file)
{
    if (end == NEVER || (c->report.not_after && c->report.not_after <= end))
        return;
    c->report.not_after = end;
    snprintf(c->report.file, sizeof c->report.file, "%s", file);
}

// ---- those that we judge with

static const X509 *
ca_of(const X509_OBJECT *o)
{
    return X509_OBJECT_get_type(o) == X509_LU_X509 ? X509_OBJECT_get0_X509(o) : NULL;
}

static const X509_CRL *
list_of(X509_OBJECT *o)
{
    return X509_OBJECT_get_type(o) == X509_LU_CRL ? X509_OBJECT_get0_X509_CRL(o) : NULL;
}

static const ASN1_TIME *
object_end(X509_OBJECT *o)
{
    if (ca_of(o))
        return X509_get0_notAfter(ca_of(o));
    return list_of(o) ? X509_CRL_get0_nextUpdate(list_of(o)) : NULL;
}

static time_t
later(time_t a, time_t b)
{
    return a > b ? a : b;
}

// The last end of CAs of that name, or of all (NULL); 0: there is none.
static time_t
last_ca(const STACK_OF(X509_OBJECT) * objects, const X509_NAME *name)
{
    time_t last = 0;
    for (int i = 0; i < sk_X509_OBJECT_num(objects); i++) {
        const X509 *x = ca_of(sk_X509_OBJECT_value(objects, i));
        if (x && (!name || X509_NAME_cmp(X509_get_subject_name(x), name) == 0))
            last = later(last, end_of(X509_get0_notAfter(x)));
    }
    return last;
}

static time_t
last_list(const STACK_OF(X509_OBJECT) * objects, const X509_NAME *issuer)
{
    time_t last = 0;
    for (int i = 0; i < sk_X509_OBJECT_num(objects); i++) {
        const X509_CRL *l = list_of(sk_X509_OBJECT_value(objects, i));
        if (l && X509_NAME_cmp(X509_CRL_get_issuer(l), issuer) == 0)
            last = later(last, end_of(X509_CRL_get0_nextUpdate(l)));
    }
    return last;
}

// Nobody renews the list of a CA that has ended, and nobody misses it.
static bool
is_over(time_t ca, time_t now)
{
    return ca && ca <= now;
}

static void
note_store(struct tls_context *c, X509_STORE *store)
{
    const STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(store);
    time_t last = last_ca(objects, NULL), now = time(NULL);
    if (last)
        note_end(c, last, "ca-cert.pem");
    for (int i = 0; i < sk_X509_OBJECT_num(objects); i++) {
        const X509_CRL *l = list_of(sk_X509_OBJECT_value(objects, i));
        if (l && !is_over(last_ca(objects, X509_CRL_get_issuer(l)), now))
            note_end(c, last_list(objects, X509_CRL_get_issuer(l)), "ca-crl.pem");
    }
}

bool
tls_ended_since(const struct tls_context *c, time_t when)
{
    if (!c->directory) // the system's CAs are the system's care
        return false;
    const STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(SSL_CTX_get_cert_store(c->ssl));
    time_t now = time(NULL);
    for (int i = 0; i < sk_X509_OBJECT_num(objects); i++) {
        time_t end = end_of(object_end(sk_X509_OBJECT_value(objects, i)));
        if (end >= when && end <= now)
            return true;
    }
    return false;
}

// ---- those that we show

// Who signed a client's certificate only its server knows.
static bool
matters(const struct tls_context *c, int error)
{
    return !c->is_client || error == X509_V_ERR_CERT_HAS_EXPIRED ||
           error == X509_V_ERR_CERT_NOT_YET_VALID;
}

// As far as peers will need them: what a file holds beside them may end. `v` has looked for them,
// and may have found some of them only.
static void
note_chain(struct tls_context *c, X509_STORE_CTX *v, bool has_ca)
{
    const char *own = c->is_client ? "client-cert.pem" : "server-cert.pem";
    const STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(v);
    int sent = X509_STORE_CTX_get_num_untrusted(v);
    note_end(c, end_of(X509_get0_notAfter(SSL_CTX_get0_certificate(c->ssl))), own);
    for (int i = 0; i < sk_X509_num(chain) && (i < sent || !c->is_client); i++)
        note_end(c, end_of(X509_get0_notAfter(sk_X509_value(chain, i))),
                 i >= sent && has_ca ? "ca-cert.pem" : own);
}

// Would somebody who trusts our CA, or those of the system, trust us?
static void
verify_own(struct tls_context *c, X509_STORE *store, bool has_ca)
{
    STACK_OF(X509) *chain = NULL;
    X509_STORE_CTX *v = X509_STORE_CTX_new();
    SSL_CTX_get0_chain_certs(c->ssl, &chain);
    if (v && X509_STORE_CTX_init(v, store, SSL_CTX_get0_certificate(c->ssl), chain) == 1) {
        X509_STORE_CTX_set_purpose(v, c->is_client ? X509_PURPOSE_SSL_CLIENT
                                                   : X509_PURPOSE_SSL_SERVER);
        X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(v), X509_V_FLAG_PARTIAL_CHAIN);
        if (X509_verify_cert(v) != 1 && matters(c, X509_STORE_CTX_get_error(v)))
            snprintf(c->report.warning, sizeof c->report.warning,
                     "%s/%s-cert.pem does not verify with ca-cert.pem there, nor with the system's "
                     "trust store: %s; peers will refuse it",
                     c->directory, c->is_client ? "client" : "server",
                     X509_verify_cert_error_string(X509_STORE_CTX_get_error(v)));
        note_chain(c, v, has_ca);
    }
    X509_STORE_CTX_free(v);
}

bool
tls_report_fill(struct tls_context *c, char *err, size_t errlen)
{
    if (!c->directory)
        return true;
    note_store(c, SSL_CTX_get_cert_store(c->ssl));
    if (!c->has_certificate)
        return true;
    X509_STORE *store = X509_STORE_new();
    char ca[1100];
    snprintf(ca, sizeof ca, "%s/ca-cert.pem", c->directory);
    if (!store) {
        snprintf(err, errlen, "out of memory for a certificate store");
        return false;
    }
    bool has_ca = access(ca, F_OK) == 0;
    if (has_ca)
        X509_STORE_load_file(store, ca);
    X509_STORE_set_default_paths(store);
    verify_own(c, store, has_ca);
    X509_STORE_free(store);
    ERR_clear_error();
    return true;
}

void
tls_report(const struct tls_context *c, struct tls_report *out)
{
    *out = c->report;
}
