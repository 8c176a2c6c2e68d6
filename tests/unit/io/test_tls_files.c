// SPDX-License-Identifier: BSD-3-Clause
// Contexts: what operators get wrong, and that one line tells them where.
#include "rig_tls.h"

#include <criterion/criterion.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAY 86400L

static char dir[80], err[TLS_TEXT];

static void
open_all(void)
{
    pki_open();
    pki_dir(dir, "broken");
}

TestSuite(tls_files, .init = open_all, .fini = pki_close, .timeout = 30);

static void
expect_fault(struct tls_context *c, const char *part)
{
    cr_assert_null(c, "it was taken; expected: %s", part);
    cr_assert(strstr(err, part), "no \"%s\" in: %s", part, err);
    cr_assert_null(strchr(err, '\n'));
}

static void
server_fault(const struct tls_server *s, const char *part)
{
    expect_fault(tls_server_new(s, err, sizeof err), part);
}

static void
client_fault(const struct tls_client *k, const char *part)
{
    expect_fault(tls_client_new(k, err, sizeof err), part);
}

Test(tls_files, servers)
{
    struct tls_server s = {.certificates = dir};
    server_fault(&(struct tls_server){0}, "tls-certificates or tls-psk-file");
    server_fault(&s, "/broken/server-cert.pem: No such file");
    pki_write_cert(dir, "server-cert.pem", &pki.server);
    server_fault(&s, "/broken/server-key.pem: No such file");
    pki_write_text(dir, "server-key.pem", "no PEM\n");
    server_fault(&s, "/broken/server-key.pem: no usable private key");
    pki_write_key(dir, "server-key.pem", &pki.alice);
    server_fault(&s, "server-key.pem: this is not the key of the certificate in ");
    pki_write_key(dir, "server-key.pem", &pki.server);
    pki_write_text(dir, "server-cert.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n");
    server_fault(&s, "/broken/server-cert.pem: no usable certificate");
    pki_write_cert(dir, "server-cert.pem", &pki.server);
    s.verify_peer = true;
    server_fault(&s, "/broken/ca-cert.pem: No such file");
    pki_write_text(dir, "ca-cert.pem", "");
    server_fault(&s, "/broken/ca-cert.pem: no usable certificate");
    pki_write_cert(dir, "ca-cert.pem", &pki.ca);
    pki_write_text(dir, "ca-crl.pem", "");
    server_fault(&s, "/broken/ca-crl.pem: no usable revocation list");
    pki_write_crl(dir, &pki.ca, 0, DAY);
    tls_unref(server_from(&s));
}

Test(tls_files, what_does_not_go_together)
{
    static const char *const list[] = {"x"};
    struct tls_server s = {.psk_file = pki.psk, .verify_peer = true};
    server_fault(&s, "tls-verify-peer needs tls-certificates");
    s = (struct tls_server){.certificates = pki.dir, .allow = list, .allow_count = 1};
    server_fault(&s, "tls-allow needs tls-verify-peer");
    s = (struct tls_server){.certificates = pki.dir, .ciphers = "NONSENSE"};
    server_fault(&s, "no usable cipher in \"NONSENSE\"");
    s.ciphers = "TLS_NONSENSE:ECDHE-RSA-AES256-GCM-SHA384";
    server_fault(&s, "does not know all of \"TLS_NONSENSE\"");
    s.ciphers = " : ";
    server_fault(&s, "the list is empty");
    client_fault(&(struct tls_client){.verify_peer = true}, "set tls-hostname");
    client_fault(&(struct tls_client){.certificates = dir, .verify_peer = true, .hostname = "x"},
                 "/broken/ca-cert.pem: No such file");
    client_fault(&(struct tls_client){.psk_file = pki.psk}, "needs a user");
    client_fault(&(struct tls_client){.psk_file = pki.psk, .psk_user = "carol"},
                 "there is no user \"carol\"");
}

// Nobody is asked for a passphrase.
Test(tls_files, encrypted_key)
{
    char path[100];
    snprintf(path, sizeof path, "%s/server-key.pem", dir);
    FILE *f = fopen(path, "we");
    char pass[] = "secret";
    PEM_write_PrivateKey(f, pki.server.key, EVP_aes_256_cbc(), (unsigned char *)pass, 6, NULL,
                         NULL);
    fclose(f);
    pki_write_cert(dir, "server-cert.pem", &pki.server);
    server_fault(&(struct tls_server){.certificates = dir}, "it must not be encrypted");
}

Test(tls_files, client_certificate_without_its_key)
{
    pki_write_cert(dir, "ca-cert.pem", &pki.ca);
    pki_write_cert(dir, "client-cert.pem", &pki.alice);
    client_fault(&(struct tls_client){.certificates = dir, .verify_peer = true, .hostname = "x"},
                 "/broken/client-key.pem: No such file");
}

static void
psk_fault(const char *text, const char *part)
{
    char path[100];
    pki_write_text(dir, "psk", text);
    snprintf(path, sizeof path, "%s/psk", dir);
    server_fault(&(struct tls_server){.psk_file = path}, part);
}

#define KEY "00112233445566778899aabbccddeeff"

Test(tls_files, psk)
{
    char text[2000];
    server_fault(&(struct tls_server){.psk_file = "/nowhere/psk"}, "/nowhere/psk: No such file");
    psk_fault("", "there is no user in it");
    psk_fault("# nothing but words\n\n", "there is no user in it");
    psk_fault("a:" KEY "\nbob " KEY "\n", "/psk, line 2: expected user:hexkey");
    psk_fault(":" KEY "\n", "line 1: there is no user");
    psk_fault("a:xyz\n", "line 1: after ':'");
    psk_fault("a:" KEY "0\n", "line 1: after ':'");
    psk_fault("a:001122\n", "of 16 to 512 bytes");
    psk_fault("a:\n", "line 1: after ':'");
    psk_fault("\n#6:" KEY "\n", "line 2: after '#'");
    psk_fault("#6100:" KEY "\n", "without zero bytes");
    psk_fault("b:" KEY "\na:" KEY "\n# x\nb:" KEY "\n", "the users of lines 1 and 4 are the same");
    psk_fault("b:" KEY "\n#62:" KEY "\n", "the users of lines 1 and 2 are the same");
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    psk_fault(text, "line 1: the line is too long");
    text[300] = '\0';
    strcat(text, ":" KEY);
    psk_fault(text, "longer than 256 bytes");
}

Test(tls_files, psk_in_all_its_forms)
{
    char path[100];
    pki_write_text(dir, "psk", "# ours\r\nalice:" KEY "\r\n\n#626f62:" KEY "\nlast:" KEY);
    snprintf(path, sizeof path, "%s/psk", dir);
    tls_unref(server_from(&(struct tls_server){.psk_file = path}));
    for (int i = 0; i < 3; i++)
        tls_unref(client_from(&(struct tls_client){
            .psk_file = path, .psk_user = (const char *const[]){"alice", "bob", "last"}[i]}));
}

static struct tls_report
report_of(struct tls_context *c)
{
    struct tls_report r;
    tls_report(c, &r);
    tls_unref(c);
    return r;
}

static void
expect_end(const struct tls_report *r, const char *file, long in)
{
    long left = r->not_after - time(NULL);
    cr_assert_str_eq(r->file, file);
    cr_assert(left > in - 100 && left <= in, "%ld s", left);
}

Test(tls_files, the_report_names_what_ends_first)
{
    struct tls_report r = report_of(server_new(pki.dir, true));
    cr_assert_str_eq(r.warning, "");
    cr_assert_gt(r.not_after, time(NULL) + 300 * DAY);
    struct identity soon = pki_make(
        &(struct wish){.cn = "x", .san = "DNS:x", .issuer = &pki.ca, .from = -DAY, .to = 3 * DAY});
    pki_write_cert(pki.dir, "server-cert.pem", &soon);
    pki_write_key(pki.dir, "server-key.pem", &soon);
    r = report_of(server_new(pki.dir, true));
    expect_end(&r, "server-cert.pem", 3 * DAY);
    pki_write_crl(pki.dir, &pki.ca, 0, 2 * DAY);
    r = report_of(server_new(pki.dir, true));
    expect_end(&r, "ca-crl.pem", 2 * DAY);
    pki_free(&soon);
    r = report_of(server_from(&(struct tls_server){.psk_file = pki.psk}));
    cr_assert_eq(r.not_after, 0);
}

static struct identity
ca_until(const char *cn, long to)
{
    return pki_make(&(struct wish){.cn = cn, .is_ca = true, .from = -9 * DAY, .to = to});
}

// One CA of several may end, and lie there ever after: who judges has another.
Test(tls_files, the_report_is_of_the_last_ca)
{
    struct identity old = ca_until("old", -DAY), soon = ca_until("soon", 2 * DAY);
    pki_append_cert(pki.dir, "ca-cert.pem", &old);
    struct tls_report r = report_of(server_new(pki.dir, true));
    cr_assert_gt(r.not_after, time(NULL) + 300 * DAY);
    cr_assert_str_eq(r.warning, "");
    pki_write_cert(dir, "ca-cert.pem", &old);
    r = report_of(client_new(dir, "localhost"));
    expect_end(&r, "ca-cert.pem", -DAY);
    pki_append_cert(dir, "ca-cert.pem", &soon);
    r = report_of(client_new(dir, "localhost"));
    expect_end(&r, "ca-cert.pem", 2 * DAY);
    pki_free(&old);
    pki_free(&soon);
}

// What lies behind our certificate ends with it as far as peers need it; the rest is nothing.
Test(tls_files, the_report_is_of_the_chain_that_peers_find)
{
    struct identity old = ca_until("old", -DAY), soon = ca_until("soon", 2 * DAY);
    struct identity own =
        pki_make(&(struct wish){.cn = "x", .san = "DNS:x", .issuer = &soon, .to = 9 * DAY});
    pki_append_cert(pki.dir, "server-cert.pem", &old);
    struct tls_report r = report_of(server_new(pki.dir, false));
    cr_assert_gt(r.not_after, time(NULL) + 300 * DAY);
    cr_assert_str_eq(r.warning, "");
    pki_write_cert(dir, "server-cert.pem", &own);
    pki_write_key(dir, "server-key.pem", &own);
    pki_write_cert(dir, "ca-cert.pem", &pki.ca);
    pki_append_cert(dir, "ca-cert.pem", &soon);
    r = report_of(server_new(dir, true));
    expect_end(&r, "ca-cert.pem", 2 * DAY);
    pki_free(&old);
    pki_free(&soon);
    pki_free(&own);
}

static void
append_crl(const struct identity *ca, long due)
{
    char command[400], other[80];
    pki_dir(other, "list");
    pki_write_crl(other, ca, 0, due);
    snprintf(command, sizeof command, "cat %s/ca-crl.pem >> %s/ca-crl.pem", other, pki.dir);
    cr_assert_eq(system(command), 0);
    snprintf(command, sizeof command, "rm -r %s", other);
    cr_assert_eq(system(command), 0);
}

// The newest of each CA; of one that has ended nobody will make another.
Test(tls_files, the_report_is_of_the_newest_lists)
{
    struct identity old = ca_until("old", -DAY), other = ca_until("other", 90 * DAY);
    pki_append_cert(pki.dir, "ca-cert.pem", &old);
    pki_append_cert(pki.dir, "ca-cert.pem", &other);
    pki_write_crl(pki.dir, &pki.ca, 0, -3 * DAY);
    append_crl(&pki.ca, 8 * DAY);
    append_crl(&old, -2 * DAY);
    append_crl(&other, 30 * DAY);
    struct tls_report r = report_of(server_new(pki.dir, true));
    expect_end(&r, "ca-crl.pem", 8 * DAY);
    append_crl(&pki.ca, 20 * DAY);
    append_crl(&pki.ca, 10 * DAY);
    r = report_of(server_new(pki.dir, true));
    expect_end(&r, "ca-crl.pem", 20 * DAY);
    pki_free(&old);
    pki_free(&other);
}

// What peers would refuse is not wrong enough to stop, but said.
Test(tls_files, the_report_warns_of_what_peers_will_refuse)
{
    struct identity old = pki_make(
        &(struct wish){.cn = "x", .san = "DNS:x", .issuer = &pki.ca, .from = -9 * DAY, .to = -DAY});
    pki_write_cert(pki.dir, "server-cert.pem", &old);
    pki_write_key(pki.dir, "server-key.pem", &old);
    struct tls_report r = report_of(server_new(pki.dir, false));
    cr_assert(strstr(r.warning, "certificate has expired"), "%s", r.warning);
    expect_end(&r, "server-cert.pem", -DAY);
    pki_free(&old);
    pki_write_cert(pki.dir, "server-cert.pem", &pki.stranger);
    pki_write_key(pki.dir, "server-key.pem", &pki.stranger);
    r = report_of(server_new(pki.dir, false));
    cr_assert(strstr(r.warning, "server-cert.pem does not verify with ca-cert.pem"), "%s",
              r.warning);
}
