// SPDX-License-Identifier: BSD-3-Clause
// Which format upstream speaks. Clients are told ACK to any, without upstream, since replies are
// translated; before upstream is asked anything else, it is brought as near as it will go to what
// its client speaks, so that as little as possible has to be.
#include "negotiate.h"

#include <wire/names.h>

static bool
has_tried(const struct negotiation *n, enum wire_format f)
{
    return n->tried & 1u << f;
}

bool
formats_ask(struct session *s)
{
    struct negotiation *n = s->negotiation;
    if (n->dialog.hs.style != UPSTREAM_FIXED)
        return false;
    enum wire_format f = n->insists ? FORMAT_EXTENDED : n->hs.format;
    for (; f > n->dialog.hs.format; f--) {
        if (has_tried(n, f))
            continue;
        n->tried |= 1u << f;
        n->question = ASK_FORMAT;
        dialog_ask_format(&n->dialog, f);
        return true;
    }
    return false;
}

// Any error means no, as qemu and libnbd take it.
void
formats_answered(struct session *s, const struct upstream_answer *a)
{
    struct negotiation *n = s->negotiation;
    n->insists |= a->reply == NBD_REP_ERR_EXT_HEADER_REQD;
    if (a->reply == NBD_REP_ACK)
        contexts_disconnected(s); // those of another format: whether they hold nobody says
    session_log(s, LOG_LEVEL_DEBUG, "upstream: %s replies%s", wire_format_name(n->dialog.hs.format),
                a->reply == NBD_REP_ACK ? "" : ", and no others");
    negotiation_ask(s);
}

bool
formats_required(struct session *s)
{
    struct negotiation *n = s->negotiation;
    if (has_tried(n, FORMAT_EXTENDED))
        return false;
    n->insists = true;
    negotiation_ask(s);
    return true;
}
