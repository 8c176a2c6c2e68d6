// SPDX-License-Identifier: BSD-3-Clause
// LIST_META_CONTEXT and SET_META_CONTEXT. Where upstream has no metadata contexts, the client is
// offered base:allocation all the same, and every byte is data: that is never wrong (spec:
// "base: metadata namespace").
#ifndef SESSION_CONTEXTS_H
#define SESSION_CONTEXTS_H

#include <base/limits.h>
#include <session/settings.h>
#include <wire/upstream_handshake.h>

struct session;

// What SET_META_CONTEXT has last agreed on, for one export. It outlives the connection to upstream:
// ids hold for one connection only, so the next is asked for the same and must give the same ids.
struct agreement {
    const struct upstream_settings *upstream; // NULL: there is none
    size_t name_len;
    uint8_t name[MAX_STRING]; // as upstream calls it
    bool current;             // the connection at hand knows of it
    bool by_us;               // upstream has no contexts
    bool too_many;
    bool too_wide;      // some may have 64 bits of status, for which the client has no room
    uint32_t n_queries; // the client's own, owned
    struct bytes queries;
    struct bytes told;  // what the client has been told: {id32, len32, name}*, owned
    struct bytes heard; // the same from upstream, not yet told
};

// The client's options. What they agree on before is void.
void contexts_list(struct session *s);
void contexts_set(struct session *s);
void contexts_forget(struct session *s);
// GO waits: is what there is to agree on for this export agreed on? False: it is being asked, or
// the client has been answered.
bool contexts_ready(struct session *s);

// From upstream.
void contexts_listed(struct session *s, const struct upstream_item *item);
void contexts_list_answered(struct session *s, const struct upstream_answer *a);
void contexts_item(struct session *s, const struct upstream_item *item);
void contexts_set_answered(struct session *s, const struct upstream_answer *a);
void contexts_hidden_answered(struct session *s, const struct upstream_answer *a);
// The connection is gone.
void contexts_disconnected(struct session *s);

// Transmission begins: what the session remembers of it.
void contexts_settle(struct session *s);
// Frees what there is.
void contexts_clear(struct agreement *a);

#endif
