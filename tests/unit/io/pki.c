// SPDX-License-Identifier: BSD-3-Clause
#include "pki.h"

#include <criterion/criterion.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define DAY 86400L

struct pki pki;

static FILE *
file_open(const char *dir, const char *file, const char *mode)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s", dir, file);
    FILE *f = fopen(path, mode);
    cr_assert_not_null(f, "%s", path);
    return f;
}

static void
extend(X509 *x, const struct wish *w, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, w->issuer ? w->issuer->cert : x, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    cr_assert_not_null(e, "%s", value);
    X509_add_ext(x, e, -1);
    X509_EXTENSION_free(e);
}

struct identity
pki_make(const struct wish *w)
{
    static long serial = 1000;
    bool dated = w->from || w->to;
    struct identity i = {.cert = X509_new()};
    i.key = w->rsa_bits ? EVP_RSA_gen((unsigned)w->rsa_bits) : EVP_EC_gen("P-256");
    cr_assert_not_null(i.key);
    X509_set_version(i.cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(i.cert), w->serial ? w->serial : serial++);
    X509_gmtime_adj(X509_getm_notBefore(i.cert), dated ? w->from : -DAY);
    X509_gmtime_adj(X509_getm_notAfter(i.cert), dated ? w->to : 365 * DAY);
    X509_set_pubkey(i.cert, i.key);
    X509_NAME *name = X509_get_subject_name(i.cert);
    if (w->cn)
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)w->cn, -1, -1,
                                   0);
    X509_set_issuer_name(i.cert, w->issuer ? X509_get_subject_name(w->issuer->cert) : name);
    extend(i.cert, w, NID_basic_constraints, w->is_ca ? "critical,CA:TRUE" : "CA:FALSE");
    extend(i.cert, w, NID_subject_key_identifier, "hash");
    if (w->san)
        extend(i.cert, w, NID_subject_alt_name, w->san);
    cr_assert_gt(X509_sign(i.cert, w->issuer ? w->issuer->key : i.key, EVP_sha256()), 0);
    return i;
}

void
pki_free(struct identity *i)
{
    X509_free(i->cert);
    EVP_PKEY_free(i->key);
    *i = (struct identity){0};
}

void
pki_write_cert(const char *dir, const char *file, const struct identity *i)
{
    FILE *f = file_open(dir, file, "we");
    PEM_write_X509(f, i->cert);
    fclose(f);
}

void
pki_append_cert(const char *dir, const char *file, const struct identity *i)
{
    FILE *f = file_open(dir, file, "ae");
    PEM_write_X509(f, i->cert);
    fclose(f);
}

void
pki_write_key(const char *dir, const char *file, const struct identity *i)
{
    FILE *f = file_open(dir, file, "we");
    PEM_write_PrivateKey(f, i->key, NULL, NULL, 0, NULL, NULL);
    fclose(f);
}

void
pki_write_crl(const char *dir, const struct identity *ca, long serial, long due)
{
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *t = X509_gmtime_adj(NULL, -DAY);
    X509_CRL_set_version(crl, X509_CRL_VERSION_2);
    X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca->cert));
    X509_CRL_set1_lastUpdate(crl, t);
    if (serial) {
        X509_REVOKED *r = X509_REVOKED_new();
        ASN1_INTEGER *n = ASN1_INTEGER_new();
        ASN1_INTEGER_set(n, serial);
        X509_REVOKED_set_serialNumber(r, n);
        X509_REVOKED_set_revocationDate(r, t);
        X509_CRL_add0_revoked(crl, r);
        ASN1_INTEGER_free(n);
    }
    X509_gmtime_adj(t, due);
    X509_CRL_set1_nextUpdate(crl, t);
    ASN1_TIME_free(t);
    cr_assert_gt(X509_CRL_sign(crl, ca->key, EVP_sha256()), 0);
    FILE *f = file_open(dir, "ca-crl.pem", "we");
    PEM_write_X509_CRL(f, crl);
    fclose(f);
    X509_CRL_free(crl);
}

void
pki_write_text(const char *dir, const char *file, const char *text)
{
    FILE *f = file_open(dir, file, "we");
    fputs(text, f);
    fclose(f);
}

const char *
pki_dir(char buf[80], const char *name)
{
    snprintf(buf, 80, "%s/%s", pki.root, name);
    cr_assert_eq(mkdir(buf, 0700), 0);
    return buf;
}

void
pki_open(void)
{
    strcpy(pki.root, "/tmp/nbdzero-pki-XXXXXX");
    cr_assert_not_null(mkdtemp(pki.root));
    pki_dir(pki.dir, "pki");
    pki.ca = pki_make(&(struct wish){.cn = "Test CA", .is_ca = true});
    pki.server = pki_make(
        &(struct wish){.cn = "server", .san = "DNS:localhost,IP:127.0.0.1", .issuer = &pki.ca});
    pki.alice = pki_make(&(struct wish){.cn = "alice", .issuer = &pki.ca, .serial = 77});
    pki.stranger_ca = pki_make(&(struct wish){.cn = "Other CA", .is_ca = true});
    pki.stranger = pki_make(
        &(struct wish){.cn = "stranger", .san = "DNS:localhost", .issuer = &pki.stranger_ca});
    pki_write_cert(pki.dir, "ca-cert.pem", &pki.ca);
    pki_write_cert(pki.dir, "server-cert.pem", &pki.server);
    pki_write_key(pki.dir, "server-key.pem", &pki.server);
    pki_write_cert(pki.dir, "client-cert.pem", &pki.alice);
    pki_write_key(pki.dir, "client-key.pem", &pki.alice);
    pki_write_text(pki.root, "psk", "alice:" PSK_ALICE "\nbob:" PSK_BOB "\n");
    snprintf(pki.psk, sizeof pki.psk, "%s/psk", pki.root);
}

void
pki_close(void)
{
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", pki.root);
    cr_assert_eq(system(command), 0);
    pki_free(&pki.ca);
    pki_free(&pki.server);
    pki_free(&pki.alice);
    pki_free(&pki.stranger_ca);
    pki_free(&pki.stranger);
}
