// SPDX-License-Identifier: BSD-3-Clause
// What the client is told in its handshake: the final replies to its options.
#include "negotiate.h"

#include <base/text.h>
#include <wire/names.h>

void
negotiation_send(struct session *s, const struct out *out)
{
    if (out->len)
        stream_send_copy(s->client, out->p, out->len);
}

void
answer_ack(struct session *s)
{
    uint8_t b[64];
    struct out out = out_of(b, sizeof b);
    s->negotiation->option_waits = false;
    client_hs_ack(&s->negotiation->hs, &out);
    negotiation_send(s, &out);
}

void
answer_error(struct session *s, uint32_t error, const char *text)
{
    uint8_t b[ANSWER_SIZE];
    struct out out = out_of(b, sizeof b);
    struct negotiation *n = s->negotiation;
    session_log(s, LOG_LEVEL_INFO, "%s refused: %s: %.400s", nbd_option_name(n->hs.option.id),
                nbd_reply_name(error), text);
    if (n->hs.option.id == NBD_OPT_EXPORT_NAME) {
        session_end(s, END_REFUSED_EXPORT);
        return;
    }
    n->option_waits = false;
    client_hs_error(&n->hs, &out, error, bytes_str(text));
    negotiation_send(s, &out);
}

// The client has asked for block sizes: a server that now requires just that is broken. The proxy
// asks where it repairs, and says so itself.
static bool
block_size_was_asked(const struct session *s)
{
    const struct negotiation *n = s->negotiation;
    return client_option_wants(&n->hs.option, NBD_INFO_BLOCK_SIZE) ||
           ((n->hs.option.id == NBD_OPT_GO || n->hs.option.id == NBD_OPT_INFO) &&
            n->route.policy->repair);
}

// Upstream's text, sanitised. Three errors are between upstream and us: TLS_REQD must not be said
// by a server whose client cannot have TLS (spec: "NOTLS mode"), formats are translated, and block
// sizes may have been asked for.
void
answer_refused(struct session *s, const struct upstream_answer *a)
{
    char text[2048];
    switch (a->reply) {
    case NBD_REP_ERR_EXT_HEADER_REQD:
        answer_error(s, NBD_REP_ERR_POLICY,
                     "the upstream requires extended headers, and will not agree on them");
        return;
    case NBD_REP_ERR_BLOCK_SIZE_REQD:
        if (!block_size_was_asked(s))
            break;
        session_log(s, LOG_LEVEL_WARN,
                    "upstream: ERR_BLOCK_SIZE_REQD, and it was asked for block sizes");
        answer_error(s, NBD_REP_ERR_POLICY,
                     "the upstream requires what it was asked for: NBD_INFO_BLOCK_SIZE");
        return;
    case NBD_REP_ERR_TLS_REQD:
        session_log(
            s, LOG_LEVEL_WARN,
            "upstream: requires TLS, and its uri does not begin with nbds:// (nbds+unix://)");
        answer_error(s, NBD_REP_ERR_POLICY, "the upstream requires TLS, and is not asked for it");
        return;
    }
    text_escape(text, sizeof text, a->text);
    answer_error(s, a->reply, text);
}
