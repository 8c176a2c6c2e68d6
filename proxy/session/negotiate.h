// SPDX-License-Identifier: BSD-3-Clause
// The handshake of one session. An option of the client waits here while upstream is asked what it
// takes to answer it: nothing is cached, nothing is asked that the client has not asked for (but
// for base:allocation, see docs/zeroing.md).
#ifndef SESSION_NEGOTIATE_H
#define SESSION_NEGOTIATE_H

#include "contexts.h"
#include "dialog.h"
#include "list.h"
#include <session/routes.h>
#include "scout.h"
#include "session.h"

#include <wire/client_handshake.h>

// The question that upstream is answering.
enum question {
    ASK_NOTHING,
    ASK_FORMAT,
    ASK_LIST,
    ASK_LIST_META,
    ASK_SET_META,
    ASK_SET_AGAIN,  // what the client has selected, of a new connection
    ASK_SET_HIDDEN, // base:allocation, of our own accord
    ASK_INFO,
    ASK_GO,
    ASK_EXPORT_NAME, // for want of GO
};

struct negotiation {
    struct client_handshake hs;
    uint8_t *scratch;
    struct dialog dialog;
    bool dialled;       // the dialog has been opened and not closed since
    bool greeted;       // and the upstream has been reached by it
    bool option_waits;  // `hs.option` is to be answered
    bool refusal_told;  // that the client is refused for want of TLS, or for want of doing without
    bool secured;       // TLS is up with the client, and the log says so
    struct route route; // where it goes; lies in the option and in the settings
    enum question question;

    // Of this connection to upstream.
    unsigned tried;   // bit f: it has been asked for format f
    bool insists;     // it wants extended headers, whatever the client speaks
    bool no_go;       // it does not know GO
    bool no_contexts; // nor SET_META_CONTEXT

    // It closes on these questions, which nobody but we have asked: not asked on the next one.
    struct shunned {
        const struct upstream_settings *upstream;
        unsigned formats; // as `tried`
        bool contexts;    // ASK_SET_HIDDEN
    } shunned;

    struct agreement contexts;
    bool contexts_listed; // LIST_META_CONTEXT has shown some
    bool wide_listed;     // and among them such as may need extended headers
    struct listing listing;

    // What INFO or GO says of the export, until it may be passed on.
    bool has_name, has_description;
    size_t name_len, description_len;
    uint8_t name[MAX_STRING], description[MAX_STRING];
    struct upstream_export export;
    struct scout *scout;
    struct timer lock_timer; // another process probes the export: asks again

    // This upstream could not be reached; it is not tried again for a second.
    const struct upstream_settings *failed;
    nstime failed_at;
    char failure[512];
};

// negotiate.c -----------------------------------------------------------------------------
// Opens the dialog with the upstream of `route`.
void negotiation_dial(struct session *s, nstime deadline);

// questions.c -----------------------------------------------------------------------------
extern const struct dialog_handler negotiation_dialog_handler;
// The dialog is open and the client's option waits: asks what is to be asked first.
void negotiation_ask(struct session *s);
// How the client's option is answered when there is no upstream to ask.
void negotiation_unreachable(struct session *s, const char *what);
// Closes the connection to upstream.
void negotiation_leave(struct session *s);

// option_replies.c ------------------------------------------------------------------------
// The bytes of one option reply of ours.
#define ANSWER_SIZE (64u + 3 * MAX_STRING)
void negotiation_send(struct session *s, const struct out *out);
void answer_ack(struct session *s);
// There is no error reply to EXPORT_NAME: that ends the session.
void answer_error(struct session *s, uint32_t error, const char *text);
// What upstream said, as far as its client may hear it.
void answer_refused(struct session *s, const struct upstream_answer *a);

// formats.c -------------------------------------------------------------------------------
// Asks upstream for a format that the client speaks and it does not yet; false: all has been asked.
bool formats_ask(struct session *s);
void formats_answered(struct session *s, const struct upstream_answer *a);
// Upstream has said ERR_EXT_HEADER_REQD: asks it for them, and the client's option begins anew.
// False: it has been asked before.
bool formats_required(struct session *s);

// infos.c ---------------------------------------------------------------------------------
void infos_ask(struct session *s); // INFO
void infos_go(struct session *s);  // GO, EXPORT_NAME
void infos_item(struct session *s, const struct upstream_item *item);
void infos_answered(struct session *s, const struct upstream_answer *a);
void infos_go_answered(struct session *s, const struct upstream_answer *a);

// secure.c ----------------------------------------------------------------------------------
// The client has said STARTTLS, which `ack` answers.
void negotiation_secure(struct session *s, const struct out *ack);
// The machine has answered an option: the operator wants to know of a client and a listener that
// cannot agree on TLS.
void negotiation_tell_refusal(struct session *s);
// TLS may be up by now.
void negotiation_look_secured(struct session *s);
// `side`: "client" or "upstream". Says nothing of a plain stream.
void negotiation_log_tls(struct session *s, const char *side, const struct stream *stream);

// settle.c --------------------------------------------------------------------------------
// `export` is known: answers the client, and begins transmission.
void settle_info(struct session *s);
void settle_go(struct session *s);
// Upstream broke before the client was answered.
void settle_cancel(struct session *s);

#endif
