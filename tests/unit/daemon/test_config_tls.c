// SPDX-License-Identifier: BSD-3-Clause
// TLS keys of the configuration, what they mean together, and what operators get wrong about them.
// What is in the files is test_config_tls_files.c's.
#include "pki.h"
#include "rig_tls.h"

#include <criterion/criterion.h>
#include <stdio.h>

TestSuite(config_tls, .init = pki_open, .fini = pki_close);

#define CERTIFICATES text_of("tls-certificates = %s\n", pki.dir)
#define PSK_FILE     text_of("tls-psk-file = %s\n", pki.psk)

Test(config_tls, listeners_get_their_context)
{
    struct faults f = {0};
    struct config *c = config_of(listener("tls = require\n", CERTIFICATES), &f);
    cr_assert(c && f.n == 0);
    cr_expect_eq(c->settings->listeners[0].tls, CLIENT_TLS_REQUIRE);
    cr_expect_not_null(c->settings->listeners[0].tls_context);
    config_free(c);
    c = config_of(listener("tls = off\n"), &f);
    cr_assert(c && f.n == 0);
    cr_expect_eq(c->settings->listeners[0].tls, CLIENT_TLS_OFF);
    cr_expect_null(c->settings->listeners[0].tls_context);
    config_free(c);
    expect_fine(listener("tls = require\n", PSK_FILE));
    expect_fine(listener("tls = require\n", PSK_FILE, CERTIFICATES, "tls-verify-peer = yes\n"));
}

Test(config_tls, allow_costs_a_warning)
{
    struct faults f = {0};
    struct config *c = config_of(listener("tls = allow\n", CERTIFICATES), &f);
    cr_assert(c && f.n == 1);
    cr_expect(has_warning(&f, 4, "[listen l] lets clients do without TLS"));
    cr_expect_eq(c->settings->listeners[0].tls, CLIENT_TLS_ALLOW);
    cr_expect_not_null(c->settings->listeners[0].tls_context);
    config_free(c);
    faults_clear(&f);
}

Test(config_tls, tls_needs_something_to_show)
{
    expect_only_fault(listener("tls = require\n"), 4,
                      "tls = require needs tls-certificates = DIRECTORY or tls-psk-file = FILE");
    expect_only_fault(listener("tls = allow\n"), 4, "tls = allow needs");
    expect_only_fault(listener("tls = require\n", "tls-certificates =\n"), 4, "needs");
}

Test(config_tls, keys_without_tls_are_a_fault)
{
    static const char wanted[] = "has no effect, for tls is off in [listen l]: tls = require";
    expect_only_fault(listener(CERTIFICATES), 4, wanted);
    expect_only_fault(listener("tls = off\n", CERTIFICATES), 5, wanted);
    expect_only_fault(listener(PSK_FILE), 4, wanted);
    expect_only_fault(listener("tls-verify-peer = yes\n"), 4, wanted);
    expect_only_fault(listener("tls-allow = a\n"), 4, wanted);
    expect_only_fault(listener("tls-ciphers = TLS_AES_128_GCM_SHA256\n"), 4, wanted);
    expect_only_fault(listener("tls-allow = a\n", PSK_FILE), 5, "tls-psk-file has no effect");
    expect_fine(listener("tls-verify-peer = no\ntls-certificates =\ntls-psk-file =\ntls-allow =\n",
                         "tls-ciphers =\ntls = off\n"));
}

Test(config_tls, clients_are_verified_with_a_ca)
{
    expect_only_fault(listener("tls = require\n", PSK_FILE, "tls-verify-peer = yes\n"), 6,
                      "tls-verify-peer = yes needs tls-certificates");
    expect_fine(listener("tls = require\n", CERTIFICATES, "tls-verify-peer = yes\n"));
}

Test(config_tls, names_are_allowed_only_where_somebody_verifies_them)
{
    static const char allow[] = "tls-allow = alice bob,*.example.org\n";
    expect_only_fault(listener("tls = require\n", CERTIFICATES, allow), 6,
                      "tls-allow needs tls-verify-peer = yes");
    expect_only_fault(listener("tls = require\n", CERTIFICATES, "tls-verify-peer = no\n", allow), 7,
                      "tls-allow needs tls-verify-peer = yes");
    expect_fine(listener("tls = require\n", CERTIFICATES, "tls-verify-peer = yes\n", allow));
    // Not as if there were none: that would let everybody in.
    expect_only_fault(
        listener("tls = require\n", CERTIFICATES, "tls-verify-peer = yes\n", "tls-allow = , ,\n"),
        7, "tls-allow names nobody");
}

Test(config_tls, upstreams_get_their_context)
{
    struct faults f = {0};
    struct config *c = config_of(upstream("nbds://localhost", CERTIFICATES), &f);
    cr_assert(c && f.n == 0);
    cr_expect_not_null(c->settings->upstreams[0].tls);
    config_free(c);
    c = config_of(upstream("nbd://localhost"), &f);
    cr_assert(c && f.n == 0);
    cr_expect_null(c->settings->upstreams[0].tls);
    config_free(c);
    expect_fine(upstream("nbds://a")); // by the system's trust store
    expect_fine(upstream(text_of("nbds://[::1]?tls-certificates=%s", pki.dir)));
    expect_fine(upstream("nbds://alice@localhost", PSK_FILE));
    expect_fine(upstream(text_of("nbds://alice@localhost?tls-psk-file=%s", pki.psk)));
    expect_fine(upstream("nbds+unix://alice@/?socket=/run/s", PSK_FILE));
}

Test(config_tls, a_parameter_of_the_uri_is_the_key)
{
    static const char different[] = "differs from the key in line 6: keep one";
    const char *certificates = text_of("nbds://a?tls-certificates=%s", pki.dir);
    expect_fine(upstream(certificates, CERTIFICATES));
    expect_only_fault(upstream(certificates, "tls-certificates = /other\n"), 5, different);
    expect_only_fault(
        upstream(text_of("nbds://alice@a?tls-psk-file=%s", pki.psk), "tls-psk-file = /other\n"), 5,
        different);
    expect_only_fault(upstream("nbds://a?tls-hostname=b", "tls-hostname = c\n"), 5, different);
    expect_fine(upstream("nbds://a?tls-hostname=b", "tls-hostname = b\n"));
    expect_only_fault(upstream("nbds://a?tls-verify-peer=0", "tls-verify-peer = yes\n"), 5,
                      different);
    expect_only_fault(upstream("nbds://a?tls-verify-peer=1", "tls-verify-peer = no\n"), 5,
                      different);
    expect_fine(upstream("nbds://a?tls-verify-peer=0", "tls-verify-peer = no\n"));
    // It is looked into as the key is, and the fault is the URI's.
    expect_only_fault(upstream("nbds://a?tls-certificates=/nonexistent"), 5, "/nonexistent");
    expect_only_fault(upstream("nbds://alice@a?tls-psk-file=/nonexistent"), 5, "/nonexistent");
}

Test(config_tls, a_socket_has_no_name_to_verify)
{
    static const char uri[] = "nbds+unix:///?socket=/run/s";
    expect_only_fault(upstream(uri), 5, "tls-hostname = NAME");
    expect_only_fault(upstream(uri, CERTIFICATES), 5, "tls-hostname = NAME");
    expect_fine(upstream(uri, "tls-hostname = a\n"));
    expect_fine(upstream("nbds+unix:///?socket=/run/s&tls-hostname=a"));
    expect_fine(upstream(uri, "tls-verify-peer = no\n"));
}

Test(config_tls, not_to_verify_costs_a_warning)
{
    struct faults f = {0};
    config_free(config_of(upstream("nbds://a", "tls-verify-peer = no\n"), &f));
    cr_expect(f.n == 1 && has_warning(&f, 6, "[upstream u] is not verified"));
    faults_clear(&f);
    config_free(config_of(upstream("nbds://a?tls-verify-peer=0"), &f));
    cr_expect(f.n == 1 && has_warning(&f, 5, "[upstream u] is not verified"));
    faults_clear(&f);
    struct config *c =
        config_of(upstream("nbds://alice@a", PSK_FILE, "tls-verify-peer = no\n"), &f);
    cr_expect(c && f.n == 0, "a PSK is verified in any case");
    config_free(c);
}

Test(config_tls, users_and_keys_belong_together)
{
    expect_only_fault(upstream("nbds://alice@a"), 5, "a user, alice, and no key: tls-psk-file");
    expect_only_fault(upstream("nbds+unix://alice@/?socket=/s"), 5, "tls-psk-file = FILE");
    expect_only_fault(upstream("nbds://a", PSK_FILE), 6, "nbds://USER@HOST");
    expect_only_fault(upstream("nbds+unix:///?socket=/s", "tls-hostname = a\n", PSK_FILE), 7,
                      "nbds+unix://USER@/EXPORT?socket=/PATH");
    expect_only_fault(upstream("nbds://carol@a", PSK_FILE), 6, "no user \"carol\"");
    expect_only_fault(upstream("nbds://alice@a", PSK_FILE, CERTIFICATES), 7, "keep one");
}

Test(config_tls, tls_of_a_plaintext_upstream_is_a_fault)
{
    static const char wanted[] = "has no effect, for the URI is one without TLS: nbds://";
    expect_only_fault(upstream("nbd://a", CERTIFICATES), 6, wanted);
    expect_only_fault(upstream("nbd://a", PSK_FILE), 6, wanted);
    expect_only_fault(upstream("nbd://a", "tls-hostname = a\n"), 6, wanted);
    expect_only_fault(upstream("nbd://a", "tls-verify-peer = no\n"), 6, wanted);
    expect_only_fault(upstream("nbd://a", "tls-ciphers = TLS_AES_128_GCM_SHA256\n"), 6, wanted);
    expect_only_fault(upstream("nbd://a?tls-hostname=b"), 5, wanted);
    expect_only_fault(upstream("nbd://a?tls-verify-peer=1"), 5, wanted);
    expect_only_fault(upstream("nbd://alice@a"), 5, "alice@ has no effect");
    expect_only_fault(upstream("nbd+unix:///?socket=/s&tls-hostname=b"), 5, "nbds+unix://");
    expect_only_fault(upstream("nbd://a", "tls-verify-peer = yes\n"), 6, wanted);
    expect_fine(upstream("nbd://a", "tls-certificates =\ntls-ciphers =\n"));
}
