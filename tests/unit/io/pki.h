// SPDX-License-Identifier: BSD-3-Clause
// Certificates of a test's own: authorities, what they sign, and directories as operators have
// them.
#ifndef TEST_IO_PKI_H
#define TEST_IO_PKI_H

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdbool.h>

struct identity {
    X509 *cert;
    EVP_PKEY *key;
};

struct wish {
    const char *cn;
    const char *san;               // as in openssl.cnf: "DNS:localhost,IP:127.0.0.1"; NULL: none
    long from, to;                 // seconds from now; 0, 0: since yesterday, for a year
    const struct identity *issuer; // NULL: signs itself
    bool is_ca;
    int rsa_bits; // 0: ECDSA P-256
    long serial;
};
struct identity pki_make(const struct wish *w);
void pki_free(struct identity *i);

void pki_write_cert(const char *dir, const char *file, const struct identity *i);
void pki_append_cert(const char *dir, const char *file, const struct identity *i);
void pki_write_key(const char *dir, const char *file, const struct identity *i);
// A list signed by `ca` that revokes `serial` (0: nothing); due again in `due` seconds.
void pki_write_crl(const char *dir, const struct identity *ca, long serial, long due);
void pki_write_text(const char *dir, const char *file, const char *text);

// What most tests need: made once a process, under a directory that goes with it.
//   server/  ca-cert, server-cert (localhost, 127.0.0.1), server-key, client-cert (alice), -key
//   psk      alice and bob
struct pki {
    char root[64], dir[80], psk[80];
    struct identity ca, server, alice, stranger_ca, stranger;
};
extern struct pki pki;
#define PSK_ALICE "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define PSK_BOB   "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100"
void pki_open(void);
void pki_close(void);
// A fresh directory, empty; returns buf.
const char *pki_dir(char buf[80], const char *name);

#endif
