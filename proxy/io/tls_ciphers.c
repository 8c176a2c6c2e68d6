// SPDX-License-Identifier: BSD-3-Clause
// Ciphers: the system's policy, what tls-ciphers makes of it, and what PSK needs of it.
#include "tls_inside.h"

#include <stdio.h>
#include <string.h>

// Splits the list: names of TLS 1.3 begin with "TLS_" (RFC 8446, appendix B.4), others don't.
static void
split_ciphers(const char *list, char *old, char *new, size_t cap)
{
    size_t used[2] = {0, 0};
    char *to[2] = {old, new};
    old[0] = new[0] = '\0';
    while (*list) {
        size_t n = strcspn(list, ":, ");
        int is_new = strncmp(list, "TLS_", 4) == 0;
        if (n && used[is_new] + n + 2 < cap)
            used[is_new] += (size_t)snprintf(to[is_new] + used[is_new], cap - used[is_new],
                                             "%s%.*s", used[is_new] ? ":" : "", (int)n, list);
        list += n + (list[n] != '\0');
    }
}

bool
tls_set_ciphers(struct tls_context *c, const char *list, char *err, size_t errlen)
{
    char old[1024], new[1024];
    if (!list || !*list)
        return true;
    if (strlen(list) >= sizeof old)
        return tls_fault(err, errlen, "tls-ciphers: the list is longer than %zu bytes",
                         sizeof old - 1);
    split_ciphers(list, old, new, sizeof old);
    if (*old && SSL_CTX_set_cipher_list(c->ssl, old) != 1)
        return tls_fault(err, errlen,
                         "tls-ciphers: OpenSSL knows no usable cipher in \"%s\": "
                         "`openssl ciphers -s` shows what there is",
                         old);
    if (*new &&SSL_CTX_set_ciphersuites(c->ssl, new) != 1)
        return tls_fault(err, errlen,
                         "tls-ciphers: OpenSSL does not know all of \"%s\": "
                         "`openssl ciphers -s -tls1_3` shows what there is",
                         new);
    // What is not named is not offered.
    if (!*new)
        SSL_CTX_set_max_proto_version(c->ssl, TLS1_2_VERSION);
    if (!*old)
        SSL_CTX_set_min_proto_version(c->ssl, TLS1_3_VERSION);
    return *old || *new || tls_fault(err, errlen, "tls-ciphers: the list is empty");
}

// ---- PSK

static bool
is_new(const SSL_CIPHER *x)
{
    return strncmp(SSL_CIPHER_get_name(x), "TLS_", 4) == 0;
}

// A PSK of TLS 1.3 goes with one hash, and that of files like ours is SHA-256 (RFC 8446, section
// 4.2.11).
static bool
is_new_sha256(const SSL_CIPHER *x)
{
    return is_new(x) && EVP_MD_is_a(SSL_CIPHER_get_handshake_digest(x), "SHA256");
}

static bool
is_new_other(const SSL_CIPHER *x)
{
    return is_new(x) && !is_new_sha256(x);
}

static bool
is_old_psk(const SSL_CIPHER *x)
{
    return !is_new(x) && SSL_CIPHER_get_auth_nid(x) == NID_auth_psk;
}

static bool
is_old_other(const SSL_CIPHER *x)
{
    return !is_new(x) && !is_old_psk(x);
}

// OpenSSL lists those of both versions, whichever may be spoken.
static bool
is_spoken(const struct tls_context *c, const SSL_CIPHER *x)
{
    long most = SSL_CTX_get_max_proto_version(c->ssl); // 0: no bound
    return is_new(x) ? !most || most >= TLS1_3_VERSION
                     : SSL_CTX_get_min_proto_version(c->ssl) <= TLS1_2_VERSION;
}

// Appends the names of those that are allowed now and wanted.
static void
append(struct tls_context *c, bool (*wanted)(const SSL_CIPHER *), char *list, size_t cap)
{
    const STACK_OF(SSL_CIPHER) *all = SSL_CTX_get_ciphers(c->ssl);
    for (int i = 0; i < sk_SSL_CIPHER_num(all); i++) {
        const SSL_CIPHER *x = sk_SSL_CIPHER_value(all, i);
        size_t used = strlen(list);
        if (wanted(x) && is_spoken(c, x) && used + 64 < cap)
            snprintf(list + used, cap - used, "%s%s", used ? ":" : "", SSL_CIPHER_get_name(x));
    }
}

bool
tls_prefer_psk(struct tls_context *c)
{
    char old[4096] = "", new[1024] = "";
    append(c, is_new_sha256, new, sizeof new);
    append(c, is_old_psk, old, sizeof old);
    bool some = *new || *old;
    append(c, is_new_other, new, sizeof new);
    append(c, is_old_other, old, sizeof old);
    if (*new)
        SSL_CTX_set_ciphersuites(c->ssl, new);
    if (*old)
        SSL_CTX_set_cipher_list(c->ssl, old);
    SSL_CTX_set_options(c->ssl, SSL_OP_CIPHER_SERVER_PREFERENCE);
    return some;
}

bool
tls_only_psk(struct tls_context *c)
{
    char old[4096] = "", new[1024] = "";
    append(c, is_old_psk, old, sizeof old);
    append(c, is_new_sha256, new, sizeof new);
    if (*new)
        SSL_CTX_set_ciphersuites(c->ssl, new);
    else
        SSL_CTX_set_max_proto_version(c->ssl, TLS1_2_VERSION);
    if (*old)
        return SSL_CTX_set_cipher_list(c->ssl, old) == 1;
    SSL_CTX_set_min_proto_version(c->ssl, TLS1_3_VERSION);
    return *new;
}
