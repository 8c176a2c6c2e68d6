// SPDX-License-Identifier: BSD-3-Clause
// The handshake of a client that wants to know everything: what a server says of itself and of one
// export, up to the transmission phase.
#ifndef SESSION_GREETING_H
#define SESSION_GREETING_H

#include "dialog.h"

#define FACTS_TEXT     512
#define FACTS_CONTEXTS 16

// Texts are escaped.
struct server_facts {
    enum upstream_style style;
    enum wire_format format;
    struct upstream_export export;
    char name[FACTS_TEXT], description[FACTS_TEXT]; // as the server calls it; "": it does not say
    bool has_description;
    bool lists_contexts;
    char contexts[FACTS_CONTEXTS][FACTS_TEXT];
    unsigned n_contexts;    // of these
    unsigned contexts_left; // that had no room
    bool has_allocation;    // base:allocation is agreed on,
    uint32_t allocation;    // as this id
    char tls_version[16];   // "": plaintext
    char tls_cipher[64], tls_peer[256];
};

struct greeting_handler {
    void (*done)(void *ctx, struct stream *s);   // transmission has begun; the facts are known
    void (*failed)(void *ctx, const char *what); // it is closed by now
};

struct greeting {
    struct dialog dialog;
    struct bytes name;
    uint32_t asked; // the option
    enum wire_format tried;
    struct server_facts facts;
    const struct greeting_handler *handler;
    void *ctx;
};

// `upstream` and the name must outlive it. Zeroed before.
bool greeting_begin(struct greeting *g, struct ring *ring, const struct upstream_settings *upstream,
                    struct bytes name, const struct greeting_handler *handler, void *ctx);
// No call comes after it.
void greeting_cancel(struct greeting *g);

#endif
