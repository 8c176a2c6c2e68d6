// SPDX-License-Identifier: BSD-3-Clause
#include "forge.h"

#include <criterion/criterion.h>
#include <openssl/hmac.h>
#include <string.h>
#include <sys/socket.h>

static struct forge *listening;

static void
learn(const SSL *ssl, const char *line)
{
    static const char label[] = "CLIENT_TRAFFIC_SECRET_0 ";
    long n;
    if (strncmp(line, label, sizeof label - 1))
        return;
    uint8_t *secret = OPENSSL_hexstr2buf(strrchr(line, ' ') + 1, &n);
    cr_assert_eq(n, 32);
    memcpy(listening->secret, secret, 32);
    OPENSSL_free(secret);
}

void
forge_listen(struct forge *f, struct peer *p)
{
    listening = f;
    peer_versions(p, TLS1_3_VERSION, TLS1_3_VERSION);
    SSL_CTX_set_ciphersuites(p->ctx, "TLS_AES_128_GCM_SHA256");
    SSL_CTX_set_keylog_callback(p->ctx, learn);
}

// HKDF-Expand-Label for results of one block.
static void
expand(const uint8_t secret[32], const char *label, uint8_t *to, size_t n)
{
    uint8_t info[64], block[32];
    size_t len = strlen(label);
    unsigned block_len;
    info[0] = 0;
    info[1] = (uint8_t)n;
    info[2] = (uint8_t)(6 + len);
    memcpy(info + 3, "tls13 ", 6);
    memcpy(info + 9, label, len);
    info[9 + len] = 0;
    info[10 + len] = 1;
    HMAC(EVP_sha256(), secret, 32, info, 11 + len, block, &block_len);
    memcpy(to, block, n);
}

void
forge_begin(struct forge *f, struct peer *p)
{
    f->fd = p->fd;
    expand(f->secret, "key", f->key, sizeof f->key);
    expand(f->secret, "iv", f->iv, sizeof f->iv);
}

bool
forge_record(struct forge *f, uint8_t type, const void *data, size_t n)
{
    uint8_t record[5 + 17000], plain[17000], nonce[12];
    size_t len = n + 1 + 16, total = 5 + len;
    int some;
    memcpy(plain, data, n);
    plain[n] = type;
    memcpy(nonce, f->iv, sizeof nonce);
    for (int i = 0; i < 8; i++)
        nonce[11 - i] ^= (uint8_t)(f->sequence >> 8 * i);
    f->sequence++;
    memcpy(record, (uint8_t[]){SSL3_RT_APPLICATION_DATA, 3, 3, (uint8_t)(len >> 8), (uint8_t)len},
           5);
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    EVP_EncryptInit_ex(c, EVP_aes_128_gcm(), NULL, f->key, nonce);
    EVP_EncryptUpdate(c, NULL, &some, record, 5);
    EVP_EncryptUpdate(c, record + 5, &some, plain, (int)n + 1);
    EVP_EncryptFinal_ex(c, record + 5 + n + 1, &some);
    EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, 16, record + 5 + n + 1);
    EVP_CIPHER_CTX_free(c);
    if (f->flip)
        record[7] ^= 1;
    if (f->cut)
        total = f->cut;
    return send(f->fd, record, total, MSG_NOSIGNAL) == (ssize_t)total;
}
