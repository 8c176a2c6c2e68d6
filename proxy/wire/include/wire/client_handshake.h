// SPDX-License-Identifier: BSD-3-Clause
// The handshake with a client, in which the proxy is the server (spec: "Handshake", "Fixed newstyle
// negotiation", "Option types"). Bytes in; events and bytes out; no socket, no clock.
//
// The machine answers by itself what needs no upstream: ABORT, STRUCTURED_REPLY and
// EXTENDED_HEADERS (ACK: replies are translated, whatever upstream speaks), all that is said before
// TLS where TLS is required (TLS_REQD), STARTTLS where there is none (POLICY), unknown and
// withdrawn options (UNSUP), malformed ones (INVALID), long ones (drained, TOO_BIG). Everything
// else is handed to the caller as CLIENT_HS_OPTION, who must answer it, at leisure, with exactly
// one final reply before feeding on.
#ifndef WIRE_CLIENT_HANDSHAKE_H
#define WIRE_CLIENT_HANDSHAKE_H

#include <base/bytes.h>
#include <base/limits.h>
#include <wire/codec.h>
#include <wire/nbd.h>

// Memory the caller lends for the time of the handshake: a whole option.
#define CLIENT_HS_SCRATCH MAX_OPTION_PARSED
// What a client may have us read for nothing, over its whole handshake: the longest option that is
// still answered, and as much again in lesser blunders.
#define CLIENT_HS_DRAINED (2ull * MAX_OPTION_DRAINED)

// spec: "TLS support": NOTLS, SELECTIVETLS, FORCEDTLS.
enum client_tls { CLIENT_TLS_OFF, CLIENT_TLS_ALLOW, CLIENT_TLS_REQUIRE };

enum client_hs_event {
    CLIENT_HS_MORE,     // all input is consumed
    CLIENT_HS_OPTION,   // `option` waits for its answer; it points into the scratch
    CLIENT_HS_ANSWERED, // the machine has answered `option.id` itself: send `out` and feed the
                        // rest. A SET_META_CONTEXT answered so voids what an earlier one has set
    CLIENT_HS_STARTTLS, // the ACK is in `out`. Where bytes have been received behind the option,
                        // close without sending it. Otherwise send it, and what comes next is TLS.
                        // The machine has forgotten all but the client's flags; forget, too, what
                        // was learnt and agreed
    CLIENT_HS_ABORT,    // the client said ABORT, the ACK is in `out`: send it and close
    CLIENT_HS_BREACH,   // close without another byte; `breach` says why (a literal)
};

// One of EXPORT_NAME, LIST, INFO, GO, LIST_META_CONTEXT and SET_META_CONTEXT.
struct client_option {
    uint32_t id;
    struct bytes name;    // not for LIST
    struct bytes infos;   // INFO, GO: big-endian 16-bit numbers; those of nbd.h, each once
    uint32_t n_queries;   // LIST_META, SET_META
    struct bytes queries; // {len32, bytes}*, checked: walk with client_option_query()
};

struct client_handshake {
    uint8_t *scratch;
    struct client_option option;
    const char *breach;
    int state;
    bool no_zeroes, fixed;
    enum client_tls tls;
    bool secure;             // STARTTLS has been acknowledged
    enum wire_format format; // what the client has been told ACK to
    bool done;               // GO or EXPORT_NAME has been answered well: transmission begins
    uint32_t options, options_allowed, listed;
    uint32_t need, have; // of the element in work
    uint32_t option_id, option_len;
    uint64_t drained;
    uint32_t reply; // of ours, to the option that is being drained
    const char *reply_text;
};

// Begins, and writes the 18 bytes of the greeting to `out`.
void client_hs_begin(struct client_handshake *hs, uint8_t *scratch, enum client_tls tls,
                     struct out *out);

// Consumes input up to one event. `out` must have CLIENT_HS_OUT bytes free. Returns what it
// consumed; after CLIENT_HS_OPTION the rest must not be fed before the answer, and what follows the
// option that ends the handshake belongs to the transmission phase: either way it consumes nothing.
#define CLIENT_HS_OUT 512
size_t client_hs_feed(struct client_handshake *hs, const uint8_t *in, size_t len, struct out *out,
                      enum client_hs_event *event);

// The next query of *rest, which is advanced; false at the end.
bool client_option_query(struct bytes *rest, struct bytes *query);
// True if the option asks for this information.
bool client_option_wants(const struct client_option *o, uint16_t info);

// Answers to the option that waits. `out` must have room: 20 bytes and the payload.
void client_hs_put_server(struct client_handshake *hs, struct out *out, struct bytes name,
                          struct bytes description);
void client_hs_put_info(struct client_handshake *hs, struct out *out, uint16_t info,
                        struct bytes payload); // payload without the number
void client_hs_put_export(struct client_handshake *hs, struct out *out, uint64_t size,
                          uint16_t flags); // INFO_EXPORT
void client_hs_put_context(struct client_handshake *hs, struct out *out, uint32_t id,
                           struct bytes name);
// Final ones. ACK of GO begins transmission. Text is cut at MAX_STRING.
void client_hs_ack(struct client_handshake *hs, struct out *out);
void client_hs_error(struct client_handshake *hs, struct out *out, uint32_t error,
                     struct bytes text);
// The answer to EXPORT_NAME; there is no error reply to it, the caller closes instead.
void client_hs_export_name(struct client_handshake *hs, struct out *out, uint64_t size,
                           uint16_t flags);

#endif
