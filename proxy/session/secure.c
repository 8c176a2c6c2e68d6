// SPDX-License-Identifier: BSD-3-Clause
// STARTTLS of the client (spec: "TLS support", NBD_OPT_STARTTLS): from here on its connection is
// TLS, and as if it had just begun.
#include "negotiate.h"

// Whatever was said in plaintext may have been somebody else's words: nothing that was learnt or
// agreed survives, but for what the client has used up of its limits.
static void
forget_all(struct session *s)
{
    struct negotiation *n = s->negotiation;
    contexts_forget(s);
    list_clear(&n->listing);
    negotiation_close(s);
    *n = (struct negotiation){.hs = n->hs, .scratch = n->scratch};
    s->target = s->listener->upstream;
}

static void
refuse(struct session *s, enum session_ending why, const char *text)
{
    session_log(s, LOG_LEVEL_INFO, "client: %s", text);
    session_end(s, why);
}

void
negotiation_secure(struct session *s, const struct out *ack)
{
    size_t early;
    stream_peek(s->client, &early);
    if (early) {
        refuse(
            s, END_CLIENT_BREACH,
            "plaintext behind STARTTLS: a broken client, or somebody between it and us who tries "
            "to slip commands in");
        return;
    }
    forget_all(s);
    negotiation_send(s, ack);
    char err[TLS_TEXT];
    if (!stream_start_tls(s->client, s->listener->tls_context, err, sizeof err))
        refuse(s, END_CLIENT_TLS, err);
}

void
negotiation_tell_refusal(struct session *s)
{
    struct negotiation *n = s->negotiation;
    bool needs = n->hs.reply == NBD_REP_ERR_TLS_REQD;
    bool wants = n->hs.option_id == NBD_OPT_STARTTLS && n->hs.reply == NBD_REP_ERR_POLICY;
    if (n->refusal_told || !(needs || wants))
        return;
    n->refusal_told = true;
    session_log(s, LOG_LEVEL_INFO,
                needs ? "client: refused, for it does without TLS, and listener %s requires it"
                      : "client: wants TLS, and listener %s has tls = off",
                s->listener->name);
}

void
negotiation_log_tls(struct session *s, const char *side, const struct stream *stream)
{
    const struct tls_facts *f = stream_tls(stream);
    if (f)
        session_log(s, LOG_LEVEL_DEBUG, "%s: TLS is up: %s, %s%s, %s%s%s", side, f->version,
                    f->cipher, f->resumed ? ", resumed" : "", *f->peer ? f->peer : "peer unnamed",
                    f->psk ? " (PSK)" : "", f->kernel_sends ? ", kTLS" : "");
}

void
negotiation_look_secured(struct session *s)
{
    struct negotiation *n = s->negotiation;
    if (n->secured || !stream_tls(s->client))
        return;
    n->secured = true;
    negotiation_log_tls(s, "client", s->client);
}
