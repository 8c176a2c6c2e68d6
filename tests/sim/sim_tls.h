// SPDX-License-Identifier: BSD-3-Clause
// One end of a pretended TLS: no secrets, but everything that a user of TLS can get wrong. Both
// sides say hello, once or several times, and until they have nothing else may be said; what is
// said then goes in frames that look like nothing that NBD says, each numbered and summed, so that
// bytes slipped in, left out or sent in plaintext are noticed; an end may be said or just happen.
#ifndef SIM_TLS_H
#define SIM_TLS_H

#include "queue.h"

#include <base/bytes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_TLS_FRAME 16384u // plaintext of one, at most

// Who shows what; demanded of the peer: 0 for anybody.
enum sim_identity { SIM_NOBODY, SIM_PROXY, SIM_PEER, SIM_STRANGER };

// What a peer of the proxy may do wrong with STARTTLS and behind it.
enum tls_trouble {
    TLS_FINE,
    TLS_INJECTED,      // plaintext together with STARTTLS, or with its ACK
    TLS_PLAINTEXT,     // plaintext where TLS is due
    TLS_SILENT,        // it says one of its hellos never
    TLS_REFUSED,       // and an alert instead of it
    TLS_STRANGER,      // it shows that it is somebody else
    TLS_SUSPICIOUS,    // it won't have us, and says so when we think that all is well
    TLS_DECLINED,      // a server that answers with an error,
    TLS_UNANSWERED,    // not at all,
    TLS_ANSWERED_ELSE, // another option,
    TLS_ACK_WITH_DATA, // with data
    TLS_TROUBLES
};

struct sim_tls {
    bool connects; // and so speaks first
    enum sim_identity identity, demands;
    // Misbehaviour: an alert instead of this hello (from 1); silence instead of it. 0: neither.
    unsigned refuses_at, silent_at;

    bool up, failed, plaintext; // why it failed: what came was none of our frames
    bool farewell, ended;       // said; heard
    const char *why;            // it failed
    enum sim_identity peer;

    // Handshake: so many hellos of either side, and a last one of who connects.
    unsigned rounds, said, heard;
    bool last;
    uint64_t nonces[2]; // of who connects, of the other

    uint64_t said_frames, heard_frames;
    uint8_t frame[SIM_TLS_FRAME + 16]; // that is coming in
    size_t have;
    struct queue plain, wire; // opened, and not taken; sealed, and not sent
    uint64_t sealed;          // bytes of plaintext, ever
    size_t last_frame;        // of them in the last frame
};

// *t is all zero, but for its misbehaviour, and for plaintext in `wire` that is to go before it.
void sim_tls_begin(struct sim_tls *t, bool connects, enum sim_identity identity,
                   enum sim_identity demands);
void sim_tls_clear(struct sim_tls *t);
// Begins as a peer of the proxy, with its misbehaviour.
void sim_tls_begin_peer(struct sim_tls *t, bool connects, enum tls_trouble trouble);
// Bytes of the connection come in. What they hold is added to `plain`, what is to be said at once
// to `wire`.
void sim_tls_feed(struct sim_tls *t, const uint8_t *p, size_t n);
// Seals up to n bytes in one frame, of a length that chance decides; returns how many. It must be
// up.
size_t sim_tls_seal(struct sim_tls *t, const uint8_t *p, size_t n);
void sim_tls_farewell(struct sim_tls *t);

// How many bytes of plaintext have left, if frames are sealed only when the one before is gone.
static inline uint64_t
sim_tls_sent(const struct sim_tls *t)
{
    return t->sealed - (queue_left(&t->wire) ? t->last_frame : 0);
}

#endif
