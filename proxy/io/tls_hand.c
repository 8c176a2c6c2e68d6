// SPDX-License-Identifier: BSD-3-Clause
// The handshake. It costs 0.4 ms (ECDSA P-256), 0.7 ms (RSA 2048) or 5 ms (RSA 4096) of this
// thread's time (bench-tls-hands), most of it for one signature, and anybody may ask for one. So a
// ring spends TLS_HANDSHAKES_A_TURN on all handshakes of a turn, and the step that exceeds it is
// the last: others wait for no more than that and one signature, however many peers come at once.
// Who comes over budget has his step in the next turn, first come, first served.
#include "tls_inside.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

// Tickets, KeyUpdates and attempts at renegotiation that nobody complains of; and one more for each
// so many bytes received.
#define CHATTER_FREE  32u
#define CHATTER_BYTES (1u << 20)

// OpenSSL tells of each message here.
void
tls_message(int write_p, int version, int type, const void *p, size_t n, SSL *ssl, void *arg)
{
    struct tls *t = tls_of(ssl);
    if (write_p || type != SSL3_RT_HANDSHAKE || !t || !t->up)
        return;
    t->chatter++;
    // RFC 8446, section 4.6.3: a header of four bytes, then 1 for "you, too".
    if (n == 5 && ((const uint8_t *)p)[0] == SSL3_MT_KEY_UPDATE && ((const uint8_t *)p)[4] == 1)
        t->must_rekey = true;
}

bool
tls_chatters(const struct tls *t)
{
    return t->chatter > CHATTER_FREE + t->user->bytes_received / CHATTER_BYTES;
}

static bool
over_budget(struct ring *r)
{
    if (r->shook != r->turn) {
        r->shook = r->turn;
        r->shaking = 0;
    }
    return r->shaking >= TLS_HANDSHAKES_A_TURN;
}

// Who is it? Tickets carry the certificate of their first handshake.
static bool
learn_peer(struct tls *t)
{
    char name[128] = "";
    X509 *x = SSL_get0_peer_certificate(t->ssl);
    t->facts.resumed = SSL_session_reused(t->ssl);
    // An external PSK is to TLS 1.3 a session that is resumed.
    t->facts.psk = t->psk && !x &&
                   (SSL_version(t->ssl) < TLS1_3_VERSION ? SSL_get_psk_identity(t->ssl) != NULL
                                                         : t->facts.resumed);
    if (t->facts.psk) {
        t->facts.resumed = t->facts.resumed && SSL_version(t->ssl) < TLS1_3_VERSION;
        tls_printable(t->psk->name, name, sizeof name);
    } else {
        tls_name(x, name, sizeof name);
    }
    t->peer = strdup(name);
    t->facts.peer = t->peer;
    return t->peer != NULL;
}

// OpenSSL demands no certificate where the cipher needs none (tls-ciphers can say so).
static bool
is_verified(const struct tls *t)
{
    if (t->context->user)
        return t->facts.psk;
    return !t->context->verify_peer || t->facts.psk ||
           (SSL_get0_peer_certificate(t->ssl) && SSL_get_verify_result(t->ssl) == X509_V_OK);
}

// A session of TLS 1.2 serves more than once, and is announced once.
static void
return_session(struct tls *t)
{
    if (!t->context->is_client || !t->facts.resumed || SSL_version(t->ssl) >= TLS1_3_VERSION)
        return;
    SSL_SESSION_free(atomic_exchange(&t->context->session, SSL_get1_session(t->ssl)));
}

static bool
established(struct tls *t)
{
    if (!learn_peer(t)) {
        tls_fail(t, -ENOMEM, "out of memory");
        return false;
    }
    if (!is_verified(t)) {
        tls_fail(t, -EPROTO, "the peer showed neither a certificate nor a PSK");
        return false;
    }
    return_session(t);
    t->facts.version = SSL_get_version(t->ssl);
    t->facts.cipher = SSL_get_cipher_name(t->ssl);
    t->facts.kernel_sends = tls_kernel_sends(t);
    t->up = true;
    stream_nudge(t->user);
    return true;
}

static bool
failed(struct tls *t, int rc, size_t before)
{
    char why[TLS_TEXT];
    switch (SSL_get_error(t->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
        if (tls_undecrypted(t) && tls_undecrypted(t) < before)
            stream_nudge(t->raw); // a record that is nothing to it
        else if (t->raw->at_eof)
            tls_fail(t, -ECONNRESET, "the peer closed the connection during the handshake: %s",
                     tls_guess(t, why, sizeof why));
        break;
    case SSL_ERROR_WANT_WRITE: t->wants_write = true; break;
    default:
        tls_explain(t, why, sizeof why);
        tls_fail(t, -EPROTO, "%s", why);
        break;
    }
    return false;
}

// What was sent in plaintext has to go first where the kernel is to take over.
static bool
begin(struct tls *t)
{
    if (t->context->kernel)
        send_start(t->raw);
    BIO *in = tls_bio(t), *out = tls_kernel_bio(t);
    t->kernel = out != NULL;
    if (!out && in && BIO_up_ref(in))
        out = in;
    SSL_set0_rbio(t->ssl, in); // theirs from now on
    SSL_set0_wbio(t->ssl, out);
    t->begun = in != NULL;
    if (!t->begun)
        tls_fail(t, -ENOMEM, "out of memory");
    return t->begun;
}

bool
tls_hand(struct tls *t)
{
    struct ring *r = t->raw->ring;
    if (!t->begun && !t->context->is_client && !tls_undecrypted(t) && !t->raw->at_eof)
        return false; // it is the peer who begins
    if (!t->begun && !begin(t))
        return false;
    if (over_budget(r)) {
        stream_nudge(t->raw);
        return false;
    }
    nstime start = ring_clock(r);
    size_t before = tls_undecrypted(t);
    ERR_clear_error();
    int rc = SSL_do_handshake(t->ssl);
    tls_out_end(t);
    stream_dirty(t->user);
    bool done = rc == 1 ? established(t) : failed(t, rc, before);
    r->shaking += ring_clock(r) - start;
    return done;
}

bool
tls_prepare(struct tls *t)
{
    struct tls_context *c = t->context;
    if (!c->is_client) {
        SSL_set_accept_state(t->ssl);
        return true;
    }
    SSL_set_connect_state(t->ssl);
    // Numbers are not sent (RFC 6066, section 3).
    if (c->hostname && !c->is_number && SSL_set_tlsext_host_name(t->ssl, c->hostname) != 1)
        return false;
    SSL_SESSION *session = atomic_exchange(&c->session, NULL);
    if (session && tls_still_valid(c, session))
        SSL_set_session(t->ssl, session);
    SSL_SESSION_free(session);
    return true;
}
