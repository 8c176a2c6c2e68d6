// SPDX-License-Identifier: BSD-3-Clause
// TLS (RFC 8446, RFC 5246): what a side of ours shows and what it demands of its peer (a context),
// and the moment from which on a stream is TLS.
//
// TLS 1.2 and 1.3 only; ciphers of the system's policy; no renegotiation, no compression, no early
// data. Files are those of nbdkit and qemu: ca-cert.pem, ca-crl.pem, server-cert.pem,
// server-key.pem, client-cert.pem, client-key.pem in a directory, and a file of `user:hexkey` lines
// as psktool writes them.
#ifndef IO_TLS_H
#define IO_TLS_H

#include <io/stream.h>
#include <time.h>

// All that files and configuration say. Never changes: a reload makes a new one, and streams keep
// theirs. Counted; may be shared by all threads.
struct tls_context;

#define TLS_TEXT 512 // enough for any line that this room says of TLS

// Of a side that accepts. Strings are copied.
struct tls_server {
    const char *certificates; // directory; NULL: none, so PSK only
    const char *psk_file;     // NULL: none
    const char *ciphers;      // OpenSSL's names joined by ':', TLS_... for 1.3; what is not named
                              // is not offered. NULL: system policy
    bool verify_peer;         // peers must show a certificate that ca-cert.pem has signed, and
                              // ca-crl.pem, if there, has not revoked. Or use a PSK, if they may
    const char *const *allow; // and one of whose names (CN, SAN) matches one of these, where '*'
    size_t allow_count;       // stands for any text; none: every name will do
};

// Of a side that connects: one for each upstream.
struct tls_client {
    const char *certificates; // directory with ca-cert.pem, and client-cert.pem and client-key.pem
                              // where the server asks; NULL: the system's trust store
    const char *hostname;     // that the certificate must be for, as SAN; a number stands for an
                              // address; NULL only without verify_peer, or with PSK
    const char *psk_file;     // with PSK no certificate will do
    const char *psk_user;
    const char *ciphers;
    bool verify_peer;
};

// NULL: a line in err says which file, line or name is wrong and what to do.
struct tls_context *tls_server_new(const struct tls_server *s, char *err, size_t errlen);
struct tls_context *tls_client_new(const struct tls_client *c, char *err, size_t errlen);
struct tls_context *tls_ref(struct tls_context *c);
void tls_unref(struct tls_context *c); // NULL is fine

// What is right today and may still be trouble.
struct tls_report {
    time_t not_after;       // when the first of our own files fails us: no CA is left in it, a CA's
                            // list is due, our certificate or one that it needs ends; 0: never
    char file[128];         // that one, without directory
    char warning[TLS_TEXT]; // why peers may refuse our certificate; "" if they should not
};
void tls_report(const struct tls_context *c, struct tls_report *out);

// From now on the stream speaks TLS, with the bytes that are queued already as its last in
// plaintext. The handshake goes on by itself; `ready` is called when it is done, `broken` when it
// fails, and the caller's timer is what limits it. What is sent meanwhile waits for its end;
// nothing is received before it. Then all is as before, but that the bytes of stream_bytes_...()
// and of deadlines are those inside TLS.
//
// false, and a line in err: bytes have been received that nobody took (plaintext behind STARTTLS:
// the only right thing is to close), or memory is short. The stream is then as it was.
bool stream_start_tls(struct stream *s, struct tls_context *c, char *err, size_t errlen);

// Known when the handshake is done.
struct tls_facts {
    const char *version; // "TLSv1.3"
    const char *cipher;  // "TLS_AES_256_GCM_SHA384"
    const char *peer; // first name in its certificate, or its PSK user, printable; "": none shown
    bool psk;
    bool resumed;
    bool kernel_sends; // kTLS
};
const struct tls_facts *stream_tls(const struct stream *s); // NULL: plain, or not yet

// Why TLS broke the stream, a line without an end; NULL: TLS did not.
const char *stream_tls_error(const struct stream *s);

// Many programs leave without an alert that says why: what it probably was, and what to do. Of a
// stream that is TLS, or was to be.
const char *stream_tls_guess(const struct stream *s, char *buf, size_t cap);

// The peer's end came without TLS's own farewell (close_notify): somebody between us may have cut
// it. With this stream_ended() is true, too.
bool stream_truncated(const struct stream *s);
// And it came inside a record, which so is lost: the end of a message that was on its way.
bool stream_ended_in_record(const struct stream *s);

// What a peer that asks nothing but handshakes can take from the others of its ring: see
// tls_hand.c.
#define TLS_HANDSHAKES_A_TURN (500 * NS_PER_US)

// Whether this kernel and this OpenSSL offer kTLS for sending; if not, a line why in `why`.
bool tls_kernel_offers(char *why, size_t whylen);

#endif
