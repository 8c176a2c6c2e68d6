// SPDX-License-Identifier: BSD-3-Clause
#include "clients.h"

#include "memory.h"

#include <base/hash.h>
#include <stdlib.h>
#include <sys/random.h>

#define CHAINS  4096u // connections that there may be by default, by about two
#define AT_ONCE 1024u // of those that have gone, before they are swept

struct client {
    struct client_counter counter;
    struct network network;
    struct client *next;
};

struct clients {
    struct client *chains[CHAINS];
    uint64_t seed; // who chooses his address shall not choose his chain
    unsigned n;
    unsigned sweep_at;
};

struct clients *
clients_new(void)
{
    struct clients *c = need_zeroed(1, sizeof *c);
    c->sweep_at = AT_ONCE;
    if (getrandom(&c->seed, sizeof c->seed, GRND_NONBLOCK) != sizeof c->seed)
        c->seed = (uintptr_t)c;
    return c;
}

void
clients_free(struct clients *c)
{
    if (!c)
        return;
    for (unsigned i = 0; i < CHAINS; i++) {
        for (struct client *one = c->chains[i], *next; one; one = next) {
            next = one->next;
            free(one);
        }
    }
    free(c);
}

struct network
client_of(const struct ip *ip)
{
    return network_of(ip, ip->v6 ? CLIENT_BITS_V6 : 32);
}

// Nobody but this thread counts up from nought, so who is there stays there.
static void
sweep_chain(struct clients *c, struct client **place)
{
    while (*place) {
        struct client *one = *place;
        if (atomic_load(&one->counter.active)) {
            place = &one->next;
            continue;
        }
        *place = one->next;
        c->n--;
        free(one);
    }
}

static void
sweep(struct clients *c)
{
    for (unsigned i = 0; i < CHAINS; i++)
        sweep_chain(c, &c->chains[i]);
    c->sweep_at = 2 * c->n + AT_ONCE;
}

struct client_counter *
clients_find(struct clients *c, const struct ip *ip)
{
    struct network network = client_of(ip);
    struct bytes b = {network.ip.bytes, sizeof network.ip.bytes};
    uint64_t h = hash_bytes(HASH_BEGIN ^ c->seed, b);
    struct client **chain = &c->chains[(h ^ h >> 32) % CHAINS];
    for (struct client *one = *chain; one; one = one->next)
        if (network_same(&one->network, &network))
            return &one->counter;
    if (c->n >= c->sweep_at)
        sweep(c);
    struct client *one = calloc(1, sizeof *one);
    if (!one)
        return NULL;
    one->network = network;
    one->next = *chain;
    *chain = one;
    c->n++;
    return &one->counter;
}

unsigned
clients_known(const struct clients *c)
{
    return c->n;
}
