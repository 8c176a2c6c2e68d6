// SPDX-License-Identifier: BSD-3-Clause
// An upstream connection in its handshake: dialled, greeted, asked one question at a time.
#ifndef SESSION_DIALOG_H
#define SESSION_DIALOG_H

#include <io/dial.h>
#include <io/ring.h>
#include <io/stream.h>
#include <session/settings.h>
#include <wire/upstream_handshake.h>

// All are called from dialog_pump(), from the ring or from a timer; the handler may close the
// dialog.
struct dialog_handler {
    void (*ready)(void *ctx);                                   // a question may be asked
    void (*item)(void *ctx, const struct upstream_item *item);  // a part of the answer
    void (*answer)(void *ctx, const struct upstream_answer *a); // its end
    // It is closed by now: nothing was reached, it broke, lied or was late. `what` is one line.
    void (*failed)(void *ctx, const char *what, bool breach);
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
    bool open;   // ready has been called, and it has not been closed
    bool asking; // a question waits for its answer
    uint8_t scratch[UPSTREAM_HS_SCRATCH];
};

// Dials. connect-timeout counts from here to `ready`, and anew for each question. False: out of
// memory.
bool dialog_open(struct dialog *d, struct ring *ring, const struct upstream_settings *upstream,
                 nstime keepalive, const struct dialog_handler *handler, void *ctx);
// Closes what there is; says ABORT where that is polite. No call comes after it.
void dialog_close(struct dialog *d);
// The connection, for transmission; the dialog is closed otherwise.
struct stream *dialog_release(struct dialog *d);
// Looks at what has come. Stops when the dialog is closed.
void dialog_pump(struct dialog *d);

// The questions of wire/upstream_handshake.h.
void dialog_ask_structured(struct dialog *d);
void dialog_ask_list(struct dialog *d);
void dialog_ask_info(struct dialog *d, uint32_t option, struct bytes name, struct bytes infos);
void dialog_ask_meta(struct dialog *d, uint32_t option, struct bytes name, uint32_t n_queries,
                     struct bytes queries, struct bytes extra);
void dialog_ask_export_name(struct dialog *d, struct bytes name);

#endif
