// SPDX-License-Identifier: BSD-3-Clause
// Certificates, keys and lists from their directory: are they there, do they belong together.
#include "tls_inside.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct path {
    char text[1100];
};

static struct path
path_of(const struct tls_context *c, const char *file)
{
    struct path p;
    snprintf(p.text, sizeof p.text, "%s/%s", c->directory, file);
    return p;
}

// What is there and cannot be opened (a link to nowhere, a directory that is closed to us) is a
// fault for who opens it, not an absence.
static bool
is_there(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 || errno != ENOENT;
}

// OpenSSL says little of files that it can't open.
static bool
can_read(const char *path, char *err, size_t errlen)
{
    FILE *f = fopen(path, "re");
    if (f) {
        fclose(f);
        return true;
    }
    snprintf(err, errlen, "%s: %s", path, strerror(errno));
    return false;
}

static bool
bad(const char *path, const char *what, char *err, size_t errlen)
{
    char why[200];
    snprintf(err, errlen, "%s: %s (%s)", path, what, tls_why(why, sizeof why));
    return false;
}

static bool
load_pair(struct tls_context *c, const char *cert, const char *key, char *err, size_t errlen)
{
    if (!can_read(cert, err, errlen) || !can_read(key, err, errlen))
        return false;
    if (SSL_CTX_use_certificate_chain_file(c->ssl, cert) != 1)
        return bad(cert, "no usable certificate in PEM form", err, errlen);
    // That they fit is checked here and now: in a moment of its own, to tell it from the rest.
    BIO *in = BIO_new_file(key, "r");
    EVP_PKEY *k =
        in ? PEM_read_bio_PrivateKey(in, NULL, SSL_CTX_get_default_passwd_cb(c->ssl), NULL) : NULL;
    BIO_free(in);
    if (!k)
        return bad(key, "no usable private key in PEM form; it must not be encrypted", err, errlen);
    bool fits = X509_check_private_key(SSL_CTX_get0_certificate(c->ssl), k) == 1;
    bool used = fits && SSL_CTX_use_PrivateKey(c->ssl, k) == 1;
    EVP_PKEY_free(k);
    if (fits && !used)
        return bad(key, "this key can't be used", err, errlen);
    if (!fits) {
        ERR_clear_error();
        snprintf(err, errlen, "%s: this is not the key of the certificate in %s", key, cert);
    }
    c->has_certificate = used;
    return used;
}

bool
tls_load_pair(struct tls_context *c, const char *side, bool required, char *err, size_t errlen)
{
    char cert[40], key[40];
    snprintf(cert, sizeof cert, "%s-cert.pem", side);
    snprintf(key, sizeof key, "%s-key.pem", side);
    struct path cert_path = path_of(c, cert), key_path = path_of(c, key);
    if (!required && !is_there(cert_path.text) && !is_there(key_path.text))
        return true;
    return load_pair(c, cert_path.text, key_path.text, err, errlen);
}

bool
tls_load_ca(struct tls_context *c, char *err, size_t errlen)
{
    struct path p = path_of(c, "ca-cert.pem");
    if (!can_read(p.text, err, errlen))
        return false;
    if (SSL_CTX_load_verify_file(c->ssl, p.text) != 1)
        return bad(p.text, "no usable certificate in PEM form", err, errlen);
    // What is in that file is trusted, be it a root or not; GnuTLS does so, too.
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(c->ssl), X509_V_FLAG_PARTIAL_CHAIN);
    if (c->is_client)
        return true;
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(p.text);
    if (!names)
        return bad(p.text, "no usable certificate in PEM form", err, errlen);
    SSL_CTX_set_client_CA_list(c->ssl, names);
    return true;
}

bool
tls_load_crl(struct tls_context *c, char *err, size_t errlen)
{
    struct path p = path_of(c, "ca-crl.pem");
    if (!is_there(p.text))
        return true;
    if (!can_read(p.text, err, errlen))
        return false;
    X509_LOOKUP *l = X509_STORE_add_lookup(SSL_CTX_get_cert_store(c->ssl), X509_LOOKUP_file());
    if (!l || X509_load_crl_file(l, p.text, X509_FILETYPE_PEM) < 1)
        return bad(p.text, "no usable revocation list in PEM form", err, errlen);
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(c->ssl), X509_V_FLAG_CRL_CHECK);
    return true;
}
