// SPDX-License-Identifier: BSD-3-Clause
// What went wrong, in words that tell an operator what to do about it.
#include "tls_inside.h"

#include <openssl/err.h>
#include <openssl/proverr.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

const char *
tls_why(char *buf, size_t cap)
{
    unsigned long e = ERR_peek_last_error();
    const char *reason = e ? ERR_reason_error_string(e) : NULL;
    snprintf(buf, cap, "%s", reason ? reason : "no reason known");
    ERR_clear_error();
    return buf;
}

// Reasons that deserve more than OpenSSL's own words.
static const struct {
    int reason;
    const char *words;
} reasons[] = {
    {SSL_R_UNSUPPORTED_PROTOCOL,
     "the peer speaks neither TLS 1.2 nor 1.3, or none that tls-ciphers has ciphers for"},
    {SSL_R_VERSION_TOO_LOW, "the peer speaks neither TLS 1.2 nor 1.3"},
    {SSL_R_WRONG_VERSION_NUMBER, "the peer's bytes are not TLS"},
    {SSL_R_HTTP_REQUEST, "the peer's bytes are HTTP, not TLS"},
    {SSL_R_HTTPS_PROXY_REQUEST, "the peer's bytes are HTTP, not TLS"},
    {SSL_R_PACKET_LENGTH_TOO_LONG, "the peer's bytes are not TLS"},
    {SSL_R_BAD_PACKET_LENGTH, "the peer's bytes are not TLS"},
    {SSL_R_NO_SHARED_CIPHER, "no cipher that both sides have: look at tls-ciphers and the system's "
                             "policy, at what kind of key the certificate has, and whether both "
                             "sides mean certificates or both PSK"},
    {SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM,
     "no kind of signature that both sides have: look at what kind of key the certificate has; and "
     "if we have only PSK, the peer tried without"},
    {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE,
     "the peer showed no certificate, and tls-verify-peer demands one"},
    {SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC,
     "a record from the peer does not decrypt: altered underway, or the wrong key"},
    {SSL_R_BINDER_DOES_NOT_VERIFY, "the peer's PSK is not the one of that user"},
    {SSL_R_DIGEST_CHECK_FAILED, "the peer's PSK is not the one of that user"},
    {SSL_R_RECORD_TOO_SMALL, "the peer sends empty records without end"},
    {SSL_R_UNEXPECTED_CCS_MESSAGE, "the peer changes ciphers without end"},
};

// Alerts that the peer sent (RFC 8446, section 6.2), and whose fault it probably is.
static const struct {
    int alert;
    const char *words;
} alerts[] = {
    {SSL_AD_UNKNOWN_CA, "it does not trust the CA of our certificate"},
    {SSL_AD_BAD_CERTIFICATE,
     "it refuses our certificate: perhaps we show none, or it is not for the "
     "name by which it knows us"},
    {SSL_AD_CERTIFICATE_EXPIRED, "our certificate has expired, or its clock is wrong"},
    {SSL_AD_CERTIFICATE_REVOKED, "our certificate has been revoked"},
    {SSL_AD_CERTIFICATE_UNKNOWN, "it refuses our certificate"},
    {SSL_AD_UNSUPPORTED_CERTIFICATE, "it can't use our kind of certificate"},
    {SSL_AD_CERTIFICATE_REQUIRED, "it demands a certificate of ours: client-cert.pem and "
                                  "client-key.pem in tls-certificates"},
    {SSL_AD_UNKNOWN_PSK_IDENTITY, "it does not know our PSK user"},
    {SSL_AD_DECRYPT_ERROR, "our PSK or our signature is wrong in its eyes"},
    {SSL_AD_ACCESS_DENIED, "our certificate is fine, but not allowed in"},
    {SSL_AD_HANDSHAKE_FAILURE,
     "it finds nothing that both sides have: ciphers, certificates or PSK"},
    {SSL_AD_INSUFFICIENT_SECURITY, "it wants stronger ciphers or keys"},
    {SSL_AD_PROTOCOL_VERSION, "it speaks neither TLS 1.2 nor 1.3"},
};

static const char *
words_of_reason(unsigned long e)
{
    int reason = ERR_GET_REASON(e);
    // What a record of TLS 1.2 that was altered is to the cipher.
    if (ERR_GET_LIB(e) == ERR_LIB_PROV && reason == PROV_R_CIPHER_OPERATION_FAILED) {
        e = ERR_PACK(ERR_LIB_SSL, 0, SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC);
        reason = SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC;
    }
    for (size_t i = 0; ERR_GET_LIB(e) == ERR_LIB_SSL && i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].reason == reason)
            return reasons[i].words;
    const char *words = e ? ERR_reason_error_string(e) : "no reason known";
    return words ? words : "unknown";
}

// OpenSSL 3.0 has no name for the youngest.
static const char *
name_of_alert(int alert)
{
    return alert == SSL_AD_CERTIFICATE_REQUIRED ? "certificate required"
                                                : SSL_alert_desc_string_long(alert);
}

static const char *
words_of_alert(int alert)
{
    for (size_t i = 0; i < sizeof alerts / sizeof *alerts; i++)
        if (alerts[i].alert == alert)
            return alerts[i].words;
    return "the reason is in its own log";
}

static void
explain_certificate(struct tls *t, char *buf, size_t cap)
{
    struct tls_context *c = t->context;
    const char *name = t->refused_name;
    if (c->user) {
        snprintf(buf, cap, "the peer shows a certificate (%s) instead of using the PSK of user %s",
                 name, c->user->name);
        return;
    }
    switch (t->refused) {
    case X509_V_ERR_APPLICATION_VERIFICATION:
        snprintf(buf, cap,
                 "the peer's certificate (%s) is valid, but tls-allow has none of its names", name);
        return;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        snprintf(buf, cap,
                 "the peer's certificate is not for %s but for: %s; tls-hostname says what "
                 "to expect",
                 c->hostname, *name ? name : "no name at all (a CN alone does not count)");
        return;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        snprintf(buf, cap, "the peer's certificate (%s) was not signed by a CA in %s%s: %s", name,
                 c->directory ? c->directory : "the system's trust store",
                 c->directory ? "/ca-cert.pem" : "", X509_verify_cert_error_string(t->refused));
        return;
    case X509_V_ERR_UNABLE_TO_GET_CRL:
    case X509_V_ERR_CRL_HAS_EXPIRED:
    case X509_V_ERR_CRL_NOT_YET_VALID:
    case X509_V_ERR_CRL_SIGNATURE_FAILURE:
        snprintf(buf, cap, "the peer's certificate (%s) can't be checked against %s/ca-crl.pem: %s",
                 name, c->directory, X509_verify_cert_error_string(t->refused));
        return;
    case X509_V_ERR_CERT_HAS_EXPIRED:
        snprintf(buf, cap,
                 "the peer's certificate (%s), or one of those that signed it, has expired: it "
                 "must be renewed there, unless our clock is wrong",
                 name);
        return;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        snprintf(buf, cap,
                 "the peer's certificate (%s) is not yet valid: look at the clocks of both sides",
                 name);
        return;
    case X509_V_ERR_CERT_REVOKED:
        snprintf(buf, cap, "the peer's certificate (%s) is revoked by %s/ca-crl.pem", name,
                 c->directory);
        return;
    case X509_V_ERR_INVALID_PURPOSE:
        snprintf(buf, cap,
                 "the peer's certificate (%s) was not issued for %s: it needs the extended key "
                 "usage %s, or none at all",
                 name, c->is_client ? "servers" : "clients",
                 c->is_client ? "serverAuth" : "clientAuth");
        return;
    default:
        snprintf(buf, cap, "the peer's certificate (%s) is refused: %s", name,
                 X509_verify_cert_error_string(t->refused));
        return;
    }
}

static void
explain_psk(struct tls *t, const char *words, char *buf, size_t cap)
{
    if (t->psk_unknown[0])
        snprintf(buf, cap, "the peer named the PSK user %s, who is not in %s (%s)", t->psk_unknown,
                 t->context->psk_file, words);
    else
        snprintf(buf, cap, "%s; the PSK user is %s", words, t->psk->name);
}

void
tls_explain(struct tls *t, char *buf, size_t cap)
{
    unsigned long e = ERR_peek_error(); // the first is the cause, what follows its consequences
    int reason = ERR_GET_REASON(e);
    if (t->refused) {
        explain_certificate(t, buf, cap);
    } else if (ERR_GET_LIB(e) == ERR_LIB_SSL && reason > SSL_AD_REASON_OFFSET) {
        int alert = reason - SSL_AD_REASON_OFFSET;
        snprintf(buf, cap, "the peer ended it with the alert \"%s\": %s", name_of_alert(alert),
                 words_of_alert(alert));
    } else if (!t->up && (t->psk_unknown[0] || t->psk)) {
        explain_psk(t, words_of_reason(e), buf, cap);
    } else {
        snprintf(buf, cap, "%s", words_of_reason(e));
    }
    ERR_clear_error();
}

const char *
tls_guess(const struct tls *t, char *buf, size_t cap)
{
    const struct tls_context *c = t->context;
    if (c->user)
        snprintf(buf, cap, "perhaps it does not know the PSK user %s, or by another key",
                 c->user->name);
    else if (c->is_client)
        snprintf(buf, cap,
                 "perhaps it wants a certificate that it trusts: client-cert.pem and "
                 "client-key.pem in tls-certificates");
    else
        snprintf(buf, cap,
                 "perhaps it does not trust our certificate, or that is not for the name by which "
                 "it knows us");
    return buf;
}

const char *
stream_tls_guess(const struct stream *s, char *buf, size_t cap)
{
    return tls_guess(s->tls, buf, cap);
}
