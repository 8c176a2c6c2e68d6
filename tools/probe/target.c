// SPDX-License-Identifier: BSD-3-Clause
#include "target.h"

#include <stdio.h>

#define CONNECT_TIMEOUT (10 * NS_PER_SEC)

static const char *
or_null(const char *text)
{
    return *text ? text : NULL;
}

// The same rules as for an [upstream] section: what is given must mean something.
static const char *
what_is_wrong(const struct nbd_uri *u)
{
    bool parameters = *u->tls_certificates || *u->tls_psk_file || *u->tls_hostname ||
                      u->tls_verify_peer >= 0 || *u->user;
    if (!u->tls)
        return parameters ? "its user or tls-... parameters mean nothing without TLS: nbds would "
                            "be right"
                          : NULL;
    if (!*u->user != !*u->tls_psk_file)
        return "a PSK needs both USER@ and tls-psk-file=FILE";
    if (*u->tls_psk_file && *u->tls_certificates)
        return "tls-certificates and tls-psk-file exclude each other";
    bool nameless = u->address.kind == ADDRESS_UNIX && !*u->tls_hostname && !*u->tls_psk_file;
    if (nameless && u->tls_verify_peer != 0)
        return "a Unix socket has no name that a certificate could be for: tls-hostname=NAME would "
               "be right";
    return NULL;
}

static struct tls_context *
tls_of(const struct nbd_uri *u, char *err, size_t errlen)
{
    const char *hostname = or_null(u->tls_hostname);
    if (!hostname && u->address.kind == ADDRESS_TCP)
        hostname = u->address.host;
    struct tls_client c = {
        .certificates = or_null(u->tls_certificates),
        .hostname = hostname,
        .psk_file = or_null(u->tls_psk_file),
        .psk_user = or_null(u->user),
        .verify_peer = u->tls_verify_peer != 0 && (hostname || *u->tls_psk_file),
    };
    return tls_client_new(&c, err, errlen);
}

enum target_error
target_begin(struct target *t, const char *uri, char *err, size_t errlen)
{
    *t =
        (struct target){.settings = {.counters = &t->counters, .connect_timeout = CONNECT_TIMEOUT}};
    struct nbd_uri *u = &t->settings.uri;
    if (!nbd_uri_parse(uri, u, err, errlen))
        return TARGET_MISUSED;
    const char *wrong = what_is_wrong(u);
    if (wrong) {
        snprintf(err, errlen, "the URI: %s", wrong);
        return TARGET_MISUSED;
    }
    if (!u->tls)
        return TARGET_FINE;
    t->settings.tls = tls_of(u, err, errlen);
    return t->settings.tls ? TARGET_FINE : TARGET_UNUSABLE;
}

void
target_end(struct target *t)
{
    tls_unref(t->settings.tls);
    t->settings.tls = NULL;
}
