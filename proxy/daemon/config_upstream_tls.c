// SPDX-License-Identifier: BSD-3-Clause
// TLS of an [upstream] section. Its URI says whether there is any; parameters of the URI count as
// keys.
#include "config_tls.h"

#include <string.h>

#define KEY(id) config_keys[id].name

static unsigned
uri_line(const struct config_section *s)
{
    return s->values[KEY_UPSTREAM_URI].line;
}

static void
say_different(const struct config_section *s, enum config_key_id id, struct faults *faults)
{
    fault_at(faults, uri_line(s), "the URI's %s differs from the key in line %u: keep one", KEY(id),
             s->values[id].line);
}

static struct tls_source
either(const struct config_section *s, enum config_key_id id, const char *parameter,
       struct faults *faults)
{
    struct tls_source key = tls_source_of(s, id);
    if (!*parameter)
        return key;
    if (key.line && strcmp(s->values[id].text, parameter) != 0)
        say_different(s, id, faults);
    return (struct tls_source){.text = parameter, .line = uri_line(s)};
}

struct verify {
    bool wanted;
    unsigned line;
};

static struct verify
verify_of(const struct config_section *s, const struct nbd_uri *u, struct faults *faults)
{
    const struct config_value *v = &s->values[KEY_UPSTREAM_TLS_VERIFY_PEER];
    if (u->tls_verify_peer < 0)
        return (struct verify){v->number, v->line};
    if (v->line && v->number != (uint64_t)u->tls_verify_peer)
        say_different(s, KEY_UPSTREAM_TLS_VERIFY_PEER, faults);
    return (struct verify){u->tls_verify_peer, uri_line(s)};
}

// Who gives certificates and forgets the s of nbds believes himself protected.
static void
check_needless(const struct config_section *s, const struct nbd_uri *u, struct faults *faults)
{
    const char *unix_socket = u->address.kind == ADDRESS_UNIX ? "+unix" : "";
    const struct {
        enum config_key_id id;
        bool parameter;
    } keys[] = {
        {KEY_UPSTREAM_TLS_CERTIFICATES, *u->tls_certificates},
        {KEY_UPSTREAM_TLS_PSK_FILE, *u->tls_psk_file},
        {KEY_UPSTREAM_TLS_HOSTNAME, *u->tls_hostname},
        {KEY_UPSTREAM_TLS_VERIFY_PEER, u->tls_verify_peer >= 0},
        {KEY_TLS_CIPHERS, false},
    };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        struct tls_source key = tls_source_of(s, keys[i].id);
        bool given = key.line && key.text;
        if (!given && !keys[i].parameter)
            continue;
        fault_at(faults, given ? key.line : uri_line(s),
                 "%s has no effect, for the URI is one without TLS: nbds%s:// would be right",
                 KEY(keys[i].id), unix_socket);
        return;
    }
    if (*u->user)
        fault_at(faults, uri_line(s),
                 "%s@ has no effect, for the URI is one without TLS: nbds%s:// and tls-psk-file "
                 "would be right",
                 u->user, unix_socket);
}

// What the keys mean together; what is wrong is taken out of them, so that files can be checked.
static void
check_keys(struct tls_keys *k, const struct nbd_uri *u, struct faults *faults)
{
    unsigned line = uri_line(k->section);
    if (k->psk_file.text && !k->user)
        fault_at(faults, k->psk_file.line,
                 "tls-psk-file needs the user's name in the URI: nbds%s would be right",
                 u->address.kind == ADDRESS_UNIX ? "+unix://USER@/EXPORT?socket=/PATH"
                                                 : "://USER@HOST");
    if (k->user && !k->psk_file.text)
        fault_at(faults, line,
                 "the URI has a user, %s, and no key: tls-psk-file = FILE would be right, or no "
                 "user",
                 k->user);
    if (k->psk_file.text && k->certificates.text)
        fault_at(faults, k->certificates.line,
                 "tls-certificates and tls-psk-file: with a PSK nobody shows a certificate; keep "
                 "one of them");
    if (!k->psk_file.text && !k->user && k->verify_peer && !k->hostname)
        fault_at(faults, line,
                 "a Unix socket has no name that a certificate could be for: tls-hostname = NAME "
                 "would be right");
    if (!k->user)
        k->psk_file.text = NULL;
    if (!k->hostname && !k->psk_file.text)
        k->verify_peer = false;
}

void
config_upstream_tls(struct upstream_settings *u, const struct config_section *s,
                    struct faults *faults)
{
    const struct nbd_uri *uri = &u->uri;
    struct verify verify = verify_of(s, uri, faults);
    struct tls_keys k = {
        .section = s,
        .connects = true,
        .certificates = either(s, KEY_UPSTREAM_TLS_CERTIFICATES, uri->tls_certificates, faults),
        .psk_file = either(s, KEY_UPSTREAM_TLS_PSK_FILE, uri->tls_psk_file, faults),
        .ciphers = tls_source_of(s, KEY_TLS_CIPHERS),
        .verify_peer = verify.wanted,
        .hostname = either(s, KEY_UPSTREAM_TLS_HOSTNAME, uri->tls_hostname, faults).text,
        .user = *uri->user ? uri->user : NULL,
    };
    if (!uri->tls) {
        check_needless(s, uri, faults);
        return;
    }
    if (!k.hostname && uri->address.kind == ADDRESS_TCP) // a socket's path is no name of a host
        k.hostname = uri->address.host;
    if (!verify.wanted && !k.psk_file.text)
        warning_at(faults, verify.line,
                   "[upstream %s] is not verified: somebody in between may read and change "
                   "everything; tls-verify-peer = yes would be right",
                   s->name);
    check_keys(&k, uri, faults);
    u->tls = config_tls_context(&k, faults);
}
