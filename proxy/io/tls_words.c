// SPDX-License-Identifier: BSD-3-Clause
// What went wrong, in words that tell an operator what to do about it.
#include "tls_inside.h"

#include <openssl/err.h>
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
    const char *words = e ? ERR_reason_error_string(e) : "no reason known";
    if (t->refused) {
        explain_certificate(t, buf, cap);
    } else if (ERR_GET_LIB(e) == ERR_LIB_SSL && reason > SSL_AD_REASON_OFFSET) {
        int alert = reason - SSL_AD_REASON_OFFSET;
        snprintf(buf, cap, "the peer ended it with the alert \"%s\": %s",
                 SSL_alert_desc_string_long(alert), words_of_alert(alert));
    } else {
        for (size_t i = 0; ERR_GET_LIB(e) == ERR_LIB_SSL && i < sizeof reasons / sizeof *reasons;
             i++)
            if (reasons[i].reason == reason)
                words = reasons[i].words;
        if (!t->up && (t->psk_unknown[0] || t->psk))
            explain_psk(t, words ? words : "unknown", buf, cap);
        else
            snprintf(buf, cap, "%s", words ? words : "unknown");
    }
    ERR_clear_error();
}
