// SPDX-License-Identifier: BSD-3-Clause
// What the tls_*.c files share.
#ifndef IO_TLS_INSIDE_H
#define IO_TLS_INSIDE_H

#include "stream_inside.h"

#include <io/tls.h>
#include <openssl/ssl.h>

// ---- users and their keys (tls_psk.c)

struct psk_user {
    char *name;
    uint8_t *key;
    size_t key_len;
    unsigned line;
};
struct psk_users {
    struct psk_user *v; // by name
    size_t count;
};
bool psk_load(struct psk_users *u, const char *file, char *err, size_t errlen);
const struct psk_user *psk_find(const struct psk_users *u, const char *name);
void psk_free(struct psk_users *u);
void psk_serve(struct tls_context *c);
void psk_use(struct tls_context *c);

// ---- contexts (tls_context.c)

#define TLS_DECOY 32
struct tls_context {
    _Atomic unsigned refs;
    SSL_CTX *ssl;
    bool is_client, verify_peer, has_certificate, kernel;
    char *directory, *psk_file; // NULL: none
    char *hostname;             // client's; NULL: none
    bool is_number;             // it is an address
    struct psk_users users;
    const struct psk_user *user; // client's own
    char **allow;
    size_t allow_count;
    uint8_t decoy[TLS_DECOY]; // key of users that there are not
    // Client's: to resume with the next time. One context is one upstream, one name, one set of
    // demands: a session can't be taken to where it does not belong.
    _Atomic(SSL_SESSION *) session;
    struct tls_report report;
};

bool tls_still_valid(const struct tls_context *c, const SSL_SESSION *session); // to be resumed
// Writes the line, empties OpenSSL's queue of errors, returns false.
bool tls_fault(char *err, size_t errlen, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

// ---- ciphers (tls_ciphers.c)

// `list` as in struct tls_server; NULL or "": the policy.
bool tls_set_ciphers(struct tls_context *c, const char *list, char *err, size_t errlen);
// A server with users: the ciphers that keys of theirs go with come first. Who offers such a one
// wants it. False: there are none.
bool tls_prefer_psk(struct tls_context *c);
// A client with a key: no certificate will do, so nothing else is offered. False: nothing is left.
bool tls_only_psk(struct tls_context *c);

// ---- files (tls_files.c)

// All return false with a line in err that names the file.
bool tls_load_pair(struct tls_context *c, const char *side, bool required, char *err,
                   size_t errlen);
bool tls_load_ca(struct tls_context *c, char *err, size_t errlen);
bool tls_load_crl(struct tls_context *c, char *err, size_t errlen); // if there

// ---- how long (tls_report.c)

bool tls_report_fill(struct tls_context *c, char *err, size_t errlen);
// Has a CA of ours ended since, or a list of the revoked come due?
bool tls_ended_since(const struct tls_context *c, time_t when);

// ---- names of peers (tls_names.c)

bool tls_glob(const char *pattern, const char *text);
bool tls_allowed(const struct tls_context *c, X509 *x);
// Its CN, or else its first SAN, printable; "" if it has none. Returns buf.
const char *tls_name(X509 *x, char *buf, size_t cap);
const char *tls_names(X509 *x, char *buf, size_t cap); // those a client would look for
const char *tls_printable(const char *text, char *buf, size_t cap);

// ---- words (tls_words.c)

struct tls;
// Why the last call of OpenSSL's failed; empties its queue of errors.
const char *tls_why(char *buf, size_t cap);
// The same for a handshake or a connection, in terms of an operator.
void tls_explain(struct tls *t, char *buf, size_t cap);
const char *tls_guess(const struct tls *t, char *buf, size_t cap);

// ---- streams

// TLS above a plain stream: the stream that its user knows has no socket any more; `raw`, a plain
// one that nobody else knows, carries the records.
struct tls {
    struct tls_context *context;
    SSL *ssl;
    struct stream *user;
    struct stream *raw;
    struct buf *out; // where records are laid, and how much of it is taken; while sending only
    size_t out_taken;
    bool up;   // handshake done
    bool more; // there may be more to decrypt without another receive
    bool truncated;
    bool farewell;        // our close_notify or alert is queued
    bool kernel;          // OpenSSL writes to the socket itself, so that the kernel may take over
    bool wants_write;     // and it was full
    bool waits;           // for room in it
    bool begun;           // OpenSSL has been told where its bytes come from and go to
    const uint8_t *stuck; // there was no room as long as unread bytes began here; NULL: there was
    bool must_rekey;      // the peer wants a new key of ours
    uint32_t chatter;     // handshake messages since the handshake
    uint64_t records;     // sent since the last change of keys
    const struct psk_user *psk; // that the peer named
    char psk_unknown[64];       // that it named and we don't know
    int refused;                // X509_V_ERR of the certificate that made us refuse, 0: none
    char refused_name[200];     // whose it was, or for whom
    char *error;
    char *peer;
    struct tls_facts facts;
};

BIO *tls_bio(struct tls *t);     // tls_bio.c
void tls_out_end(struct tls *t); // what was written goes to raw's queue
bool tls_hand(struct tls *t);    // tls_hand.c: a step of the handshake; true: done
bool tls_prepare(struct tls *t); // before the first
size_t tls_undecrypted(const struct tls *t);
void tls_message(int write_p, int version, int type, const void *p, size_t n, SSL *ssl, void *arg);
bool tls_chatters(const struct tls *t); // more than anybody needs
void tls_read(struct tls *t);           // tls_rx.c
void tls_receive(struct tls *t);        // at the end of a turn
void tls_send(struct tls *t);           // tls_tx.c
bool tls_bid_farewell(struct tls *t);   // false: there is still something to send before
void tls_fail(struct tls *t, int error, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static inline struct tls *
tls_of(const SSL *ssl)
{
    return SSL_get_app_data(ssl);
}

// ---- the kernel's TLS (tls_kernel.c)
BIO *tls_kernel_bio(struct tls *t); // NULL: it is not to be had here
bool tls_kernel_sends(struct tls *t);

#endif
