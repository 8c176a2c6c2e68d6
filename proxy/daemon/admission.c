// SPDX-License-Identifier: BSD-3-Clause
#include "admission.h"

#include <base/log.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/socket.h>

#define TELL_REFUSALS (10 * NS_PER_SEC)

struct peer {
    struct ip ip;
    bool has_ip; // no: of a Unix socket, or it has gone already
};

static struct peer
peer_of(int fd)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    struct peer p = {.has_ip = false};
    if (getpeername(fd, (struct sockaddr *)&ss, &len) == 0)
        p.has_ip = ip_of_sockaddr((const struct sockaddr *)&ss, &p.ip);
    return p;
}

// Whom we cannot name is nobody who is allowed by name.
static bool
is_allowed(const struct listener_settings *l, const struct peer *p)
{
    for (unsigned i = 0; i < l->n_allow; i++)
        if (p->has_ip && network_has(&l->allow[i], &p->ip))
            return true;
    return l->n_allow == 0;
}

static void
tell(const struct admission *a, const struct listener_settings *l, const struct peer *p,
     enum refusal why, uint64_t n)
{
    char text[IP_TEXT] = "somebody without an address";
    struct network client =
        why == REFUSED_ALLOW ? network_of(&p->ip, ip_bits(&p->ip)) : client_of(&p->ip);
    if (p->has_ip)
        network_text(&client, text, sizeof text);
    switch (why) {
    case REFUSED_ALLOW:
        log_warn("[listen %s]: %s is not in allow: refused %" PRIu64, l->name, text, n);
        break;
    case REFUSED_PER_CLIENT:
        log_warn("[listen %s]: max-connections-per-client (%u) reached by %s: refused %" PRIu64,
                 l->name, a->max_per_client, text, n);
        break;
    case REFUSED_MAX_CONNECTIONS:
        log_warn("max-connections (%u) reached: refused %" PRIu64, a->max_connections, n);
        break;
    case REFUSED_MEMORY: log_error("out of memory for a connection: refused %" PRIu64, n); break;
    case REFUSALS: break;
    }
}

// One warning now and then: who connects too often must not write our log.
static bool
refuse(struct admission *a, const struct listener_settings *l, const struct peer *p,
       enum refusal why, nstime now)
{
    atomic_fetch_add(&l->counters->refused, 1);
    atomic_fetch_add(&l->counters->refused_for[why], 1);
    a->refusals[why].untold++;
    if (a->refusals[why].told && now - a->refusals[why].told < TELL_REFUSALS)
        return false;
    tell(a, l, p, why, a->refusals[why].untold);
    a->refusals[why].told = now;
    a->refusals[why].untold = 0;
    return false;
}

bool
admit(struct admission *a, const struct listener_settings *l, int fd, nstime now,
      struct client_counter **client)
{
    struct peer p = peer_of(fd);
    *client = NULL;
    if (!is_allowed(l, &p))
        return refuse(a, l, &p, REFUSED_ALLOW, now);
    if (counters_active(a->counters) >= a->max_connections)
        return refuse(a, l, &p, REFUSED_MAX_CONNECTIONS, now);
    if (p.has_ip) {
        *client = clients_find(a->clients, &p.ip);
        if (!*client)
            return refuse(a, l, &p, REFUSED_MEMORY, now);
        if (a->max_per_client && atomic_load(&(*client)->active) >= a->max_per_client)
            return refuse(a, l, &p, REFUSED_PER_CLIENT, now);
        atomic_fetch_add(&(*client)->active, 1);
    }
    atomic_fetch_add(&l->counters->active, 1);
    return true;
}
