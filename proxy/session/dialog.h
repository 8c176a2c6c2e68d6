// SPDX-License-Identifier: BSD-3-Clause
// An upstream connection in its handshake: dialled, greeted, made TLS where that is wanted, asked
// one question at a time.
#ifndef SESSION_DIALOG_H
#define SESSION_DIALOG_H

#include <io/dial.h>
#include <io/ring.h>
#include <io/stream.h>
#include <session/settings.h>
#include <wire/upstream_handshake.h>

// How a dialog came to its end.
enum dialog_end {
    DIALOG_UNREACHED, // no connection
    DIALOG_CLOSED,    // by upstream
    DIALOG_INSECURE,  // TLS failed
    DIALOG_SILENT,    // closed by upstream after TLS and before its first word: it may not trust us
    DIALOG_LATE,
    DIALOG_BREACH, // upstream's words were nonsense
};

// All are called from dialog_pump(), from the ring or from a timer; the handler may close the
// dialog.
// As much of `what` as a client may hear: not our files, users and peers.
static inline const char *
dialog_public(const char *what, enum dialog_end how)
{
    bool tls = how == DIALOG_INSECURE || how == DIALOG_SILENT;
    return tls ? "TLS failed; the proxy's log says why" : what;
}

struct dialog_handler {
    void (*ready)(
        void *ctx); // greeted, TLS is up where wanted; what may be asked depends on hs.style
    void (*item)(void *ctx, const struct upstream_item *item);  // a part of the answer
    void (*answer)(void *ctx, const struct upstream_answer *a); // its end
    // It is closed by now. `what` is one line.
    void (*failed)(void *ctx, const char *what, enum dialog_end how);
    void (*news)(void *ctx); // there is something to pump
};

struct dialog {
    struct ring *ring;
    const struct upstream_settings *upstream;
    nstime keepalive;
    const struct dialog_handler *handler;
    void *ctx;
    struct dial *dial;
    struct stream *stream;
    struct upstream_handshake hs;
    struct timer timer;
    nstime deadline;
    bool open;     // ready has been called, and it has not been closed
    bool asking;   // a question waits for its answer
    bool opens;    // it asks for transmission to begin
    bool begun;    // transmission has begun
    bool silent;   // TLS is up, and upstream has not said a word since
    bool securing; // STARTTLS has been asked, and TLS is not up yet
    uint8_t scratch[UPSTREAM_HS_SCRATCH];
};

// Dials. `ready` and the answers to all questions must have come by the deadline (ring time); while
// nothing is asked, none holds. False: out of memory.
bool dialog_open(struct dialog *d, struct ring *ring, const struct upstream_settings *upstream,
                 nstime keepalive, nstime deadline, const struct dialog_handler *handler,
                 void *ctx);
// Of the questions from now on.
void dialog_set_deadline(struct dialog *d, nstime deadline);
// Closes what there is; says ABORT or DISC where that is polite. No call comes after it.
void dialog_close(struct dialog *d);
// The connection, for transmission; the dialog is closed otherwise.
struct stream *dialog_release(struct dialog *d);
// Looks at what has come. Stops when the dialog is closed.
void dialog_pump(struct dialog *d);

// The questions of wire/upstream_handshake.h; only what hs.style allows.
void dialog_ask_format(struct dialog *d, enum wire_format f);
void dialog_ask_list(struct dialog *d);
void dialog_ask_info(struct dialog *d, uint32_t option, struct bytes name, struct bytes infos);
void dialog_ask_meta(struct dialog *d, uint32_t option, struct bytes name, uint32_t n_queries,
                     struct bytes queries, struct bytes extra);
void dialog_ask_export_name(struct dialog *d, struct bytes name);

#endif
