// SPDX-License-Identifier: BSD-3-Clause
// TLS of a [listen] section.
#include "config_tls.h"

#include "memory.h"

#include <stdlib.h>
#include <string.h>

#define BLANKS " \t,"

// Who gives certificates and forgets to switch TLS on believes himself protected.
static void
check_needless(const struct config_section *s, struct faults *faults)
{
    static const enum config_key_id keys[] = {KEY_LISTEN_TLS_CERTIFICATES, KEY_LISTEN_TLS_PSK_FILE,
                                              KEY_LISTEN_TLS_VERIFY_PEER, KEY_LISTEN_TLS_ALLOW,
                                              KEY_TLS_CIPHERS};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const struct config_value *v = &s->values[keys[i]];
        bool is_default = keys[i] == KEY_LISTEN_TLS_VERIFY_PEER && !v->number;
        if (!v->line || !*v->text || is_default)
            continue;
        fault_at(faults, v->line,
                 "%s has no effect, for tls is off in [listen %s]: tls = require would be right, "
                 "or none of these keys",
                 config_keys[keys[i]].name, s->name);
        return;
    }
}

// Pattern by pattern; the array and `copy`, where they lie, are the caller's to free.
static const char **
patterns(const char *text, char **copy, size_t *n)
{
    const char **list = NULL;
    char *rest;
    *n = 0;
    *copy = need_copy(text);
    for (char *p = strtok_r(*copy, BLANKS, &rest); p; p = strtok_r(NULL, BLANKS, &rest)) {
        list = need_array(list, *n + 1, sizeof *list);
        list[(*n)++] = p;
    }
    return list;
}

// What the keys mean together; what is wrong is taken out of them, so that files can be checked.
static void
check_keys(struct tls_keys *k, const struct config_value *v, struct faults *faults)
{
    const struct config_value *tls = &v[KEY_LISTEN_TLS], *allow = &v[KEY_LISTEN_TLS_ALLOW];
    if (!k->certificates.text && !k->psk_file.text)
        fault_at(faults, tls->line,
                 "tls = %s needs tls-certificates = DIRECTORY or tls-psk-file = FILE", tls->text);
    if (k->verify_peer && !k->certificates.text)
        fault_at(faults, v[KEY_LISTEN_TLS_VERIFY_PEER].line,
                 "tls-verify-peer = yes needs tls-certificates, a directory with the ca-cert.pem "
                 "to verify with");
    if (k->psk_file.text && k->certificates.text && !k->verify_peer)
        fault_at(faults, v[KEY_LISTEN_TLS_PSK_FILE].line,
                 "tls-psk-file keeps nobody out where tls-certificates lets everybody in: "
                 "tls-verify-peer = yes would be right, or one of both without the other");
    if (*allow->text && !k->verify_peer)
        fault_at(faults, allow->line,
                 "tls-allow needs tls-verify-peer = yes: a name that nobody has verified means "
                 "nothing");
    if (*allow->text && !k->allow_count)
        fault_at(faults, allow->line,
                 "tls-allow names nobody: names, or * for all, would be right");
    k->verify_peer &= k->certificates.text != NULL;
    if (!k->verify_peer)
        k->allow_count = 0;
}

void
config_listener_tls(struct listener_settings *l, const struct config_section *s,
                    struct faults *faults)
{
    static const enum client_tls choices[] = {CLIENT_TLS_OFF, CLIENT_TLS_ALLOW, CLIENT_TLS_REQUIRE};
    const struct config_value *v = s->values;
    l->tls = choices[v[KEY_LISTEN_TLS].number];
    if (l->tls == CLIENT_TLS_OFF) {
        check_needless(s, faults);
        return;
    }
    char *copy;
    struct tls_keys k = {.section = s,
                         .certificates = tls_source_of(s, KEY_LISTEN_TLS_CERTIFICATES),
                         .psk_file = tls_source_of(s, KEY_LISTEN_TLS_PSK_FILE),
                         .ciphers = tls_source_of(s, KEY_TLS_CIPHERS),
                         .verify_peer = v[KEY_LISTEN_TLS_VERIFY_PEER].number};
    const char **allow = patterns(v[KEY_LISTEN_TLS_ALLOW].text, &copy, &k.allow_count);
    k.allow = allow;
    check_keys(&k, v, faults);
    l->tls_context = config_tls_context(&k, faults);
    if (l->tls == CLIENT_TLS_ALLOW)
        warning_at(faults, v[KEY_LISTEN_TLS].line,
                   "[listen %s] lets clients do without TLS, and somebody in between may keep them "
                   "in plaintext: tls = require once all of them can",
                   s->name);
    free(allow);
    free(copy);
}
