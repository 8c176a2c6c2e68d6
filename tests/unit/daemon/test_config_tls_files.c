// SPDX-License-Identifier: BSD-3-Clause
// The files that TLS keys name: what is missing, what does not fit, and what will not do for long.
#include "pki.h"
#include "rig_tls.h"

#include <criterion/criterion.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DAY 86400L

static char dir[80];

static void
open_directory(void)
{
    pki_open();
    pki_dir(dir, "own");
    pki_write_cert(dir, "ca-cert.pem", &pki.ca);
    pki_write_cert(dir, "server-cert.pem", &pki.server);
    pki_write_key(dir, "server-key.pem", &pki.server);
}

TestSuite(config_tls_files, .init = open_directory, .fini = pki_close);

#define REQUIRE text_of("tls = require\ntls-certificates = %s\n", dir)
#define VERIFY  "tls-verify-peer = yes\n"

static void
lose(const char *file)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s", dir, file);
    cr_assert_eq(unlink(path), 0);
}

Test(config_tls_files, that_are_missing)
{
    lose("ca-cert.pem");
    expect_fine(listener(REQUIRE));
    expect_only_fault(listener(REQUIRE, VERIFY), 5,
                      "own/ca-cert.pem: No such file or directory: tls-verify-peer = yes");
    expect_only_fault(upstream("nbds://a", text_of("tls-certificates = %s\n", dir)), 6,
                      "own/ca-cert.pem: No such file or directory: the upstream's");
    expect_fine(
        upstream("nbds://a", text_of("tls-certificates = %s\n", dir), "tls-verify-peer = no\n"));
    lose("server-key.pem");
    expect_only_fault(listener(REQUIRE), 5, "own/server-key.pem: No such file or directory");
    // Each is told.
    lose("server-cert.pem");
    struct faults f = {0};
    cr_expect_null(config_of(listener(REQUIRE, VERIFY), &f));
    cr_expect(f.errors == 3 && has_fault(&f, 5, "server-cert.pem") &&
              has_fault(&f, 5, "server-key.pem") && has_fault(&f, 5, "ca-cert.pem"));
    faults_clear(&f);
}

Test(config_tls_files, a_directory_that_is_none)
{
    static const char missing[] = "tls-certificates = /nonexistent\n";
    expect_only_fault(listener("tls = require\n", missing), 5,
                      "tls-certificates: cannot read /nonexistent: No such file or directory: a "
                      "directory with server-cert.pem and server-key.pem");
    expect_only_fault(upstream("nbds://a", missing), 6, "a directory with ca-cert.pem");
    expect_only_fault(upstream("nbds://a", missing, "tls-verify-peer = no\n"), 6, "/nonexistent");
    expect_only_fault(listener("tls = require\n", text_of("tls-certificates = %s\n", pki.psk)), 5,
                      "psk: Not a directory");
}

Test(config_tls_files, that_do_not_fit)
{
    pki_write_key(dir, "server-key.pem", &pki.alice);
    expect_only_fault(listener(REQUIRE), 5,
                      "own/server-key.pem: this is not the key of the certificate in");
    pki_write_text(dir, "server-key.pem", "garbage\n");
    expect_only_fault(listener(REQUIRE), 5, "own/server-key.pem: no usable private key");
    pki_write_text(dir, "server-cert.pem", "garbage\n");
    expect_only_fault(listener(REQUIRE), 5, "own/server-cert.pem: no usable certificate");
    pki_write_cert(dir, "server-cert.pem", &pki.server);
    pki_write_key(dir, "server-key.pem", &pki.server);
    pki_write_text(dir, "ca-cert.pem", "garbage\n");
    expect_only_fault(listener(REQUIRE, VERIFY), 5, "own/ca-cert.pem: no usable certificate");
    pki_write_cert(dir, "ca-cert.pem", &pki.ca);
    pki_write_text(dir, "ca-crl.pem", "garbage\n");
    expect_only_fault(listener(REQUIRE, VERIFY), 5, "own/ca-crl.pem: no usable revocation list");
}

Test(config_tls_files, a_client_s_certificate_needs_its_key)
{
    const char *certificates = text_of("tls-certificates = %s\n", dir);
    pki_write_cert(dir, "client-cert.pem", &pki.alice);
    expect_only_fault(upstream("nbds://a", certificates), 6, "own/client-key.pem: No such file");
    pki_write_key(dir, "client-key.pem", &pki.server);
    expect_only_fault(upstream("nbds://a", certificates), 6, "own/client-key.pem: this is not the");
    pki_write_key(dir, "client-key.pem", &pki.alice);
    expect_fine(upstream("nbds://a", certificates));
}

Test(config_tls_files, an_encrypted_key, .description = "nobody is asked at the terminal")
{
    char path[200];
    snprintf(path, sizeof path, "%s/server-key.pem", dir);
    FILE *f = fopen(path, "we");
    cr_assert_not_null(f);
    PEM_write_PrivateKey(f, pki.server.key, EVP_aes_256_cbc(), (const unsigned char *)"secret", 6,
                         NULL, NULL);
    fclose(f);
    expect_only_fault(listener(REQUIRE), 5, "own/server-key.pem: no usable private key");
}

static void
expect_bad_psk(const char *text, const char *part)
{
    char path[120];
    pki_write_text(dir, "keys.psk", text);
    snprintf(path, sizeof path, "%s/keys.psk", dir);
    expect_only_fault(listener("tls = require\n", text_of("tls-psk-file = %s\n", path)), 5, part);
    expect_only_fault(upstream("nbds://alice@a", text_of("tls-psk-file = %s\n", path)), 6, part);
}

Test(config_tls_files, psk_files)
{
    expect_bad_psk("", "tls-psk-file: ");
    expect_bad_psk("", "own/keys.psk: there is no user in it");
    expect_bad_psk("# comment\nalice:" PSK_ALICE "\nbob\n", "own/keys.psk, line 3: ");
    expect_bad_psk("alice:" PSK_ALICE "\nbob:00112233\n", "own/keys.psk, line 2: ");
    expect_bad_psk("alice:" PSK_ALICE "\nalice:" PSK_BOB "\n", "lines 1 and 2");
    expect_only_fault(listener("tls = require\ntls-psk-file = /nonexistent\n"), 5,
                      "cannot read /nonexistent: No such file or directory: psktool");
    expect_only_fault(upstream("nbds://alice@a", "tls-psk-file = /nonexistent\n"), 6,
                      "cannot read /nonexistent: No such file or directory: psktool");
}

Test(config_tls_files, ciphers)
{
    static const char unknown[] = "tls-ciphers = TLS_AES_128_GCM_SHA257\n";
    expect_only_fault(listener(REQUIRE, unknown), 6, "tls-ciphers: OpenSSL does not know all of");
    expect_only_fault(upstream("nbds://a", unknown), 6, "TLS_AES_128_GCM_SHA257");
    expect_only_fault(listener(REQUIRE, "tls-ciphers = ROT13\n"), 6, "no usable cipher");
    expect_fine(listener(REQUIRE, "tls-ciphers = TLS_AES_128_GCM_SHA256\n"));
    expect_fine(upstream("nbds://a", "tls-ciphers = TLS_AES_128_GCM_SHA256\n"));
    // Sound by themselves, but nobody could use the key.
    expect_only_fault(listener("tls = require\n", text_of("tls-psk-file = %s\n", pki.psk),
                               "tls-ciphers = ECDHE-RSA-AES128-GCM-SHA256\n"),
                      6, "tls-ciphers: no PSK cipher");
    expect_only_fault(listener(REQUIRE,
                               text_of("tls-verify-peer = yes\ntls-psk-file = %s\n", pki.psk),
                               "tls-ciphers = TLS_AES_256_GCM_SHA384\n"),
                      8, "tls-ciphers: no PSK cipher");
    expect_fine(listener("tls = require\n", text_of("tls-psk-file = %s\n", pki.psk),
                         "tls-ciphers = TLS_AES_128_GCM_SHA256\n"));
    expect_only_fault(upstream("nbds://alice@a", text_of("tls-psk-file = %s\n", pki.psk),
                               "tls-ciphers = TLS_AES_256_GCM_SHA384\n"),
                      7, "tls-ciphers: no PSK cipher");
}

Test(config_tls_files, one_fault_hides_no_other)
{
    struct faults f = {0};
    pki_write_key(dir, "server-key.pem", &pki.alice);
    pki_write_text(dir, "keys.psk", "alice\n");
    cr_expect_null(config_of(listener(REQUIRE, text_of("tls-psk-file = %s/keys.psk\n", dir),
                                      "tls-ciphers = ROT13\n", "tls-allow = a\n"),
                             &f));
    cr_expect(f.errors == 5, "%zu", f.errors);
    cr_expect(has_fault(&f, 5, "own/server-key.pem"));
    cr_expect(has_fault(&f, 6, "keeps nobody out"));
    cr_expect(has_fault(&f, 6, "own/keys.psk, line 1"));
    cr_expect(has_fault(&f, 7, "ROT13"));
    cr_expect(has_fault(&f, 8, "tls-allow needs"));
    faults_clear(&f);
}

Test(config_tls_files, what_is_missing_takes_no_other_key_with_it)
{
    static const char gone[] = "tls = require\ntls-certificates = /nonexistent\n";
    struct faults f = {0};
    cr_expect_null(config_of(
        listener(gone, VERIFY, "tls-allow = alice\n", "tls-psk-file = /nonexistent.psk\n"), &f));
    cr_expect(f.errors == 2 && has_fault(&f, 5, "/nonexistent:") &&
              has_fault(&f, 8, "/nonexistent.psk:"));
    faults_clear(&f);
    expect_only_fault(
        listener(gone, VERIFY, "tls-allow = alice\n", text_of("tls-psk-file = %s\n", pki.psk)), 5,
        "/nonexistent:");
    expect_only_fault(upstream("nbds+unix://alice@/?socket=/s", "tls-psk-file = /nonexistent\n"), 6,
                      "/nonexistent:");
}

// A server's certificate with these dates. `part` NULL: nothing is to be said; `alarm`: even now it
// doesn't work.
static void
expect_said(long from, long to, const char *part, bool alarm)
{
    struct faults f = {0};
    struct identity i = pki_make(&(struct wish){
        .cn = "localhost", .san = "DNS:localhost", .from = from, .to = to, .issuer = &pki.ca});
    pki_write_cert(dir, "server-cert.pem", &i);
    pki_write_key(dir, "server-key.pem", &i);
    struct config *c = config_of(listener(REQUIRE), &f);
    cr_assert_not_null(c, "dates stop nothing");
    cr_assert_eq(f.n, part ? 1 : 0, "%zu", f.n);
    if (part) {
        cr_expect(has_warning(&f, 5, part), "%s", f.list[0].text);
        cr_expect_not_null(strstr(f.list[0].text, "[listen l]: "));
        cr_expect_eq(f.list[0].alarm, alarm, "%s", f.list[0].text);
    }
    config_free(c);
    faults_clear(&f);
    pki_free(&i);
}

Test(config_tls_files, certificates_that_end)
{
    expect_said(-DAY, 15 * DAY, NULL, false);
    expect_said(-DAY, 14 * DAY + 60, NULL, false);
    expect_said(-DAY, 14 * DAY - 60, "own/server-cert.pem ends on 2", false);
    expect_said(-2 * DAY, 60, "renew it, or connections will fail", false);
    expect_said(-2 * DAY, -60, "own/server-cert.pem ended on 2", true);
    expect_said(DAY, 2 * 365 * DAY, "not yet valid", false);
}

Test(config_tls_files, certificates_that_nobody_signed)
{
    struct faults f = {0};
    pki_write_cert(dir, "server-cert.pem", &pki.stranger);
    pki_write_key(dir, "server-key.pem", &pki.stranger);
    config_free(config_of(listener(REQUIRE), &f));
    cr_expect(f.n == 1 && has_warning(&f, 5, "does not verify with ca-cert.pem"));
    faults_clear(&f);
}

static void
expect_said_of_list(long due, const char *part, bool alarm)
{
    struct faults f = {0};
    pki_write_crl(dir, &pki.ca, 0, due);
    config_free(config_of(listener(REQUIRE, VERIFY), &f));
    cr_assert_eq(f.n, part ? 1 : 0);
    if (part) {
        cr_expect(has_warning(&f, 5, part), "%s", f.list[0].text);
        cr_expect_eq(f.list[0].alarm, alarm);
    }
    faults_clear(&f);
}

Test(config_tls_files, lists_that_are_due)
{
    expect_said_of_list(30 * DAY, NULL, false);
    expect_said_of_list(5 * DAY, "own/ca-crl.pem is due again on 2", false);
    expect_said_of_list(-60, "own/ca-crl.pem was due again on 2", true);
}

Test(config_tls_files, an_upstream_s_ca_that_ends)
{
    struct faults f = {0};
    struct identity ca =
        pki_make(&(struct wish){.cn = "Old CA", .from = -9 * DAY, .to = 3 * DAY, .is_ca = true});
    pki_write_cert(dir, "ca-cert.pem", &ca);
    config_free(config_of(upstream("nbds://a", text_of("tls-certificates = %s\n", dir)), &f));
    cr_expect(f.n == 1 && has_warning(&f, 6, "[upstream u]: "));
    cr_expect(has_warning(&f, 6, "own/ca-cert.pem ends on 2"));
    faults_clear(&f);
    pki_free(&ca);
}
