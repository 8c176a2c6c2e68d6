// SPDX-License-Identifier: BSD-3-Clause
// The handshake with an upstream, in which the proxy is the client (spec: as client_handshake.h).
// The caller asks one option at a time; the machine checks everything that comes back. Bytes in;
// events and bytes out; no socket, no clock.
#ifndef WIRE_UPSTREAM_HANDSHAKE_H
#define WIRE_UPSTREAM_HANDSHAKE_H

#include <base/bytes.h>
#include <base/limits.h>
#include <wire/codec.h>
#include <wire/nbd.h>

// What a server's greeting makes of the handshake.
enum upstream_style {
    UPSTREAM_FIXED,    // fixed newstyle: anything may be asked
    UPSTREAM_NEWSTYLE, // not fixed: EXPORT_NAME is all that may be asked
    UPSTREAM_OLDSTYLE, // nothing may be asked: `export` is known, transmission has begun
};

// Memory the caller lends for the time of the handshake: a whole option reply.
#define UPSTREAM_HS_SCRATCH (16u << 10)
// What feeding it may make it say.
#define UPSTREAM_HS_OUT 32u

enum upstream_hs_event {
    UPSTREAM_HS_MORE,   // all input is consumed
    UPSTREAM_HS_READY,  // greeted, client flags (none for oldstyle) are in `out`; what may be asked
                        // depends on `style`
    UPSTREAM_HS_ITEM,   // one entry of an answer: `item`
    UPSTREAM_HS_ANSWER, // the final reply: `answer`; the next option may be asked
    UPSTREAM_HS_BREACH, // drop it; `breach` says why (a literal)
};

struct upstream_item {
    uint32_t reply;           // NBD_REP_SERVER, NBD_REP_INFO, NBD_REP_META_CONTEXT
    uint16_t info;            // INFO: its number; those of nbd.h come once at most
    uint32_t context;         // META_CONTEXT: its id
    struct bytes name;        // SERVER, META_CONTEXT
    struct bytes description; // SERVER; like that of INFO_DESCRIPTION it ends before a NUL
    struct bytes payload;     // INFO: what follows the number
};

// What the last INFO, GO or EXPORT_NAME, or an oldstyle greeting, said of the export.
struct upstream_export {
    bool known; // INFO_EXPORT came
    uint64_t size;
    uint16_t flags;
    bool has_block_size;
    uint32_t minimum, preferred, maximum;
};

struct upstream_answer {
    uint32_t reply;    // NBD_REP_ACK or NBD_REP_ERR_*, unknown ones (bit 31 set) as they came
    struct bytes text; // of an error; untrusted, cut at MAX_STRING
};

struct upstream_handshake {
    uint8_t *scratch;
    struct upstream_item item;
    struct upstream_answer answer;
    struct upstream_export export;
    const char *breach;
    enum upstream_style style;
    enum wire_format format; // the best that this upstream has said ACK to
    int state;
    uint16_t server_flags; // of the handshake; oldstyle: the half of its flags that means nothing
    bool no_zeroes;
    bool wants_tls, secure; // STARTTLS is to be asked; it has been acknowledged
    uint32_t asked;         // the option on the wire, or 0
    uint32_t infos_seen;    // bit i: information type i has come in this answer
    uint32_t items;
    uint64_t item_bytes;
    uint32_t need, have;
    uint32_t reply_type, reply_len;
};

// `tls`: until STARTTLS has been asked and acknowledged nothing else may be asked, and a server
// that is not fixed newstyle, and so has no STARTTLS, is a breach (spec: "TLS support": never fall
// back).
void upstream_hs_begin(struct upstream_handshake *hs, uint8_t *scratch, bool tls);

// Consumes input up to one event. `out` must have UPSTREAM_HS_OUT bytes free: an oldstyle server
// that says it has FLUSH is tried with one before it is ready, and what it says it has is dropped
// where it does not know the command. What `item` and `answer` point to is valid until the next
// call. An upstream that talks unasked is a breach. What follows the ACK of GO or EXPORT_NAME, or
// an oldstyle greeting, belongs to the transmission phase and is not consumed.
size_t upstream_hs_feed(struct upstream_handshake *hs, const uint8_t *in, size_t len,
                        struct out *out, enum upstream_hs_event *event);

// Questions; one at a time, of a server whose style allows them. What may not be asked writes
// nothing, changes nothing, and is never answered: EXPORT_NAME after extended headers, everything
// else of a server that is not fixed, anything of an oldstyle one or once transmission has begun.
// (GO that is unsupported after extended headers is a breach, so that nobody needs to fall back
// there.) `out` must have 16 bytes and the payload free.
//
// STARTTLS, first of all. Its ACK is consumed to the last byte: where any has been received behind
// it, close. Otherwise what comes next is TLS.
void upstream_hs_ask_tls(struct upstream_handshake *hs, struct out *out);
// Asks for FORMAT_STRUCTURED or FORMAT_EXTENDED; `format` follows the ACK.
void upstream_hs_ask_format(struct upstream_handshake *hs, struct out *out, enum wire_format f);
void upstream_hs_ask_list(struct upstream_handshake *hs, struct out *out);
// option: NBD_OPT_INFO or NBD_OPT_GO. infos: big-endian 16-bit numbers.
void upstream_hs_ask_info(struct upstream_handshake *hs, struct out *out, uint32_t option,
                          struct bytes name, struct bytes infos);
// option: NBD_OPT_LIST_META_CONTEXT or NBD_OPT_SET_META_CONTEXT. queries: {len32, bytes}*; `extra`,
// where it is not empty, is one query more.
void upstream_hs_ask_meta(struct upstream_handshake *hs, struct out *out, uint32_t option,
                          struct bytes name, uint32_t n_queries, struct bytes queries,
                          struct bytes extra);
// Answered by `export` and an ACK of the machine's own, or by the upstream closing.
void upstream_hs_ask_export_name(struct upstream_handshake *hs, struct out *out, struct bytes name);
// Not answered: send what there is of it, and close.
void upstream_hs_abort(struct upstream_handshake *hs, struct out *out);

#endif
