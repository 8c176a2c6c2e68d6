// SPDX-License-Identifier: BSD-3-Clause
// The handshake of one session. An option of the client waits here while upstream is asked what it
// takes to answer it: nothing is cached, nothing is asked that the client has not asked for (but
// for base:allocation, see docs/zeroing.md).
#ifndef SESSION_NEGOTIATE_H
#define SESSION_NEGOTIATE_H

#include "dialog.h"
#include "scout.h"
#include "session.h"

#include <wire/client_handshake.h>

// The question that upstream is answering.
enum question {
    ASK_NOTHING,
    ASK_STRUCTURED,
    ASK_LIST,
    ASK_LIST_META,
    ASK_SET_META,
    ASK_SET_HIDDEN, // base:allocation, of our own accord
    ASK_INFO,
    ASK_GO,
    ASK_EXPORT_NAME, // for want of GO
};

struct negotiation {
    struct client_handshake hs;
    uint8_t *scratch;
    struct dialog dialog;
    bool dialled;      // the dialog has been opened and not failed
    bool option_waits; // `hs.option` is to be answered
    enum question question;
    bool structured; // agreed with upstream on this connection
    bool asked_structured;
    bool no_go; // upstream does not know GO

    // What SET_META_CONTEXT last agreed with upstream, for which export (as upstream calls it).
    bool contexts_set;
    bool contexts_of_client; // some of them the client has asked for
    size_t contexts_name_len;
    uint8_t contexts_name[MAX_STRING];

    // What INFO or GO says of the export, until it may be passed on.
    bool has_name, has_description;
    size_t name_len, description_len;
    uint8_t name[MAX_STRING], description[MAX_STRING];
    struct upstream_export export;
    struct scout *scout;
    struct timer lock_timer; // another process probes the export: asks again

    nstime failed_at; // upstream could not be reached; not tried again for a second
    char failure[512];
};

// Have contexts been agreed on for this export (as upstream calls it)?
bool negotiation_contexts_for(const struct negotiation *n, struct bytes name);

// questions.c -----------------------------------------------------------------------------
extern const struct dialog_handler negotiation_dialog_handler;
// The dialog is open and the client's option waits: asks what is to be asked first.
void negotiation_ask(struct session *s);
// How the client's option is answered when there is no upstream to ask.
void negotiation_unreachable(struct session *s);
// What SET_META_CONTEXT has agreed on is void.
void negotiation_forget_contexts(struct session *s);
void negotiation_send(struct session *s, const struct out *out);

// settle.c --------------------------------------------------------------------------------
// Upstream has said ACK to INFO, GO or EXPORT_NAME: answers the client, and begins transmission.
void settle_info(struct session *s);
void settle_go(struct session *s);
// Upstream broke before the client was answered.
void settle_cancel(struct session *s);

// The bytes of one option reply of ours, and their way to the client.
#define ANSWER_SIZE (64u + 3 * MAX_STRING)

#endif
