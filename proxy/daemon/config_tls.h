// SPDX-License-Identifier: BSD-3-Clause
// TLS of [listen] and [upstream]: keys and files become contexts; what operators get wrong becomes
// a fault.
#ifndef DAEMON_CONFIG_TLS_H
#define DAEMON_CONFIG_TLS_H

#include "config_document.h"

#include <session/settings.h>

// Fills in `tls` and `tls_context` (config_listen_tls.c).
void config_listener_tls(struct listener_settings *l, const struct config_section *s,
                         struct faults *faults);
// Fills in `tls`; after `uri`, whose parameters count as keys (config_upstream_tls.c).
void config_upstream_tls(struct upstream_settings *u, const struct config_section *s,
                         struct faults *faults);

// A warning comes so many seconds before one of our certificates ends.
#define CERTIFICATE_WARNING (14 * 24 * 3600)

// What a section says of TLS that must be read from files. ---------------------------------

struct tls_source {
    const char *text; // NULL: not given
    unsigned line;
};

struct tls_keys {
    const struct config_section *section;
    bool connects; // an upstream: we are TLS's client there
    struct tls_source certificates, psk_file, ciphers;
    bool verify_peer;
    const char *const *allow; // of a listener
    size_t allow_count;
    const char *hostname, *user; // of an upstream
};

// A new reference, with warnings of what will not do for long; NULL after faults, one for each of
// the three sources that is wrong, at its line.
struct tls_context *config_tls_context(const struct tls_keys *keys, struct faults *faults);

// The key as it is given there; text NULL: it isn't, or is empty.
static inline struct tls_source
tls_source_of(const struct config_section *s, enum config_key_id id)
{
    const struct config_value *v = &s->values[id];
    return (struct tls_source){.text = *v->text ? v->text : NULL, .line = v->line};
}

#endif
