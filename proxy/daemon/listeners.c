// SPDX-License-Identifier: BSD-3-Clause
#include "listeners.h"

#include "memory.h"

#include <base/log.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TELL_REFUSALS (10 * NS_PER_SEC)

static unsigned
connections(const struct listeners *l)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < l->n; i++)
        sum += atomic_load(&l->list[i].settings->counters->active);
    return sum;
}

// One warning now and then: who connects too often must not write our log.
static void
refuse(struct listeners *l, struct listener_counters *counters, int fd)
{
    nstime now = ring_now(l->ring);
    close(fd);
    atomic_fetch_add(&counters->refused, 1);
    l->refusals++;
    if (l->refusals_told && now - l->refusals_told < TELL_REFUSALS)
        return;
    log_warn("max-connections (%u) reached: refused %" PRIu64, l->max_connections, l->refusals);
    l->refusals_told = now;
    l->refusals = 0;
}

static void
accepted(struct acceptor *a, int fd)
{
    struct listener *one = (struct listener *)((char *)a - offsetof(struct listener, acceptor));
    struct listeners *l = one->all;
    struct listener_counters *counters = one->settings->counters;
    if (connections(l) >= l->max_connections) {
        refuse(l, counters, fd);
        return;
    }
    atomic_fetch_add(&counters->active, 1);
    if (workers_hand_over(l->workers, fd, l->settings, one->settings, ++l->last_id))
        atomic_fetch_add(&counters->accepted, 1);
    else
        atomic_fetch_add(&counters->refused, 1);
}

static bool
open_one(struct listeners *l, struct listener *one, char *err, size_t errlen)
{
    char cause[512];
    int fd =
        address_listen(&one->settings->address, one->settings->socket_mode, cause, sizeof cause);
    if (fd < 0) {
        snprintf(err, errlen, "[listen %s]: %s", one->settings->name, cause);
        return false;
    }
    one->all = l;
    one->acceptor = (struct acceptor){.fd = fd, .accepted = accepted};
    address_text(&one->settings->address, one->address, sizeof one->address);
    if (one->settings->address.kind == ADDRESS_UNIX)
        socket_file_note(&one->file, one->settings->address.path);
    return true;
}

struct listeners *
listeners_open(struct ring *ring, struct settings *settings, char *err, size_t errlen)
{
    struct listeners *l = need_zeroed(1, sizeof *l);
    l->ring = ring;
    l->settings = settings_ref(settings);
    l->list = need_zeroed(settings->n_listeners, sizeof *l->list);
    for (unsigned i = 0; i < settings->n_listeners; i++) {
        l->list[i].settings = &settings->listeners[i];
        if (!open_one(l, &l->list[i], err, errlen)) {
            listeners_close(l);
            listeners_free(l);
            return NULL;
        }
        l->n++;
    }
    return l;
}

void
listeners_start(struct listeners *l, struct workers *workers, unsigned max_connections)
{
    l->workers = workers;
    l->max_connections = max_connections;
    for (unsigned i = 0; i < l->n; i++) {
        accept_start(l->ring, &l->list[i].acceptor);
        const struct listener_settings *settings = l->list[i].settings;
        log_info("listening on %s ([listen %s]%s%s)", l->list[i].address, settings->name,
                 settings->upstream ? ", upstream " : "",
                 settings->upstream ? settings->upstream->name : "");
    }
}

void
listeners_close(struct listeners *l)
{
    for (unsigned i = 0; i < l->n; i++) {
        struct listener *one = &l->list[i];
        if (one->acceptor.fd < 0)
            continue;
        if (l->workers)
            accept_stop(&one->acceptor);
        close(one->acceptor.fd);
        one->acceptor.fd = -1;
        socket_file_unlink(&one->file);
    }
}

void
listeners_free(struct listeners *l)
{
    settings_unref(l->settings);
    free(l->list);
    free(l);
}
