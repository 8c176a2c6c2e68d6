// SPDX-License-Identifier: BSD-3-Clause
// What the configuration says, as sessions need it. The daemon fills it from the file and never
// changes it afterwards: a reload makes a new one, and a session keeps the one it began with.
#ifndef SESSION_SETTINGS_H
#define SESSION_SETTINGS_H

#include <base/bytes.h>
#include <base/range.h>
#include <base/time.h>
#include <io/address.h>
#include <io/network.h>
#include <io/tls.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <wire/client_handshake.h>
#include <zero/rules.h>

// The keys that [upstream] gives and [export] may override.
struct policy {
    bool read_only;
    bool repair; // block-size = repair: unaligned requests are served by read-modify-write
    struct zero_rules zero;
};

// Counted by sessions as they dial. Owned by the daemon, outlives every settings.
struct upstream_counters {
    atomic_ullong reached; // greeted us, over TLS where that was asked for
    atomic_ullong failed;  // could not be reached, or did not
    atomic_uint health;    // how the last try went: session/health.h
};

// A range that may be overwritten at any time, for measuring.
struct scratch_settings {
    bool given;
    bool elsewhere; // in `holder`, an export that is there for this: what is found goes for ours
    struct range range;
    struct bytes holder; // owned; as upstream calls it
};

struct upstream_settings {
    struct upstream_counters *counters;
    unsigned reading; // of the configuration: each has a number, the next a higher one
    char *name;
    struct nbd_uri uri;
    struct tls_context *tls; // a reference; NULL: plaintext
    nstime connect_timeout;
    struct policy policy;
    struct scratch_settings scratch; // not elsewhere: in the export of the URI
};

// An [export] section, as one upstream's listeners see it: what is different for one export, named
// as clients ask for it.
struct export_settings {
    struct bytes name;          // owned
    struct bytes upstream_name; // owned; what upstream calls it
    struct bytes description;   // owned; .p NULL: as upstream says
    const struct upstream_settings *upstream;
    const struct listener_settings **listeners; // those that show it, at least one
    unsigned n_listeners;
    struct policy policy;
    struct scratch_settings scratch; // upstream's, where that is elsewhere and none is given
};

// Why a connection was refused right after it was accepted.
enum refusal {
    REFUSED_ALLOW, // not in the listener's networks
    REFUSED_MAX_CONNECTIONS,
    REFUSED_PER_CLIENT,
    REFUSED_MEMORY,
    REFUSALS,
};

// Counted by the daemon as it accepts; a session that ends takes itself out of `active`. Owned by
// the daemon, outlives every settings.
struct listener_counters {
    atomic_ullong accepted, refused; // refused: for all reasons together
    atomic_ullong refused_for[REFUSALS];
    atomic_uint active;
};

// Connections of one client address, over all listeners. Owned by the daemon.
struct client_counter {
    atomic_uint active;
};

struct listener_settings {
    struct listener_counters *counters;
    char *name;
    struct address address;
    unsigned socket_mode;
    struct network *allow; // owned; whose clients may come
    unsigned n_allow;      // 0: everybody's
    enum client_tls tls;
    struct tls_context *tls_context;          // a reference; NULL where tls is off
    const struct upstream_settings *upstream; // NULL: only [export] sections are served
};

struct limits {
    nstime handshake_timeout;
    nstime io_timeout; // 0 = none
    nstime keepalive;  // 0 = none
    unsigned max_in_flight;
    uint64_t max_in_flight_bytes;
};

struct settings {
    atomic_uint refs;
    void (*destroy)(struct settings *s); // called when the last reference goes, on any thread
    struct limits limits;
    char *state_dir; // "" = none
    struct listener_settings *listeners;
    unsigned n_listeners;
    struct upstream_settings *upstreams;
    unsigned n_upstreams;
    struct export_settings *exports;
    unsigned n_exports;
};

static inline bool
export_is_for(const struct export_settings *e, const struct listener_settings *l)
{
    for (unsigned i = 0; i < e->n_listeners; i++)
        if (e->listeners[i] == l)
            return true;
    return false;
}

// A connection has ended. `client` is NULL where it was not counted by address.
static inline void
connection_left(const struct listener_settings *l, struct client_counter *client)
{
    if (client)
        atomic_fetch_sub(&client->active, 1);
    atomic_fetch_sub(&l->counters->active, 1);
}

static inline struct settings *
settings_ref(struct settings *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

static inline void
settings_unref(struct settings *s)
{
    if (atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) == 1)
        s->destroy(s);
}

#endif
