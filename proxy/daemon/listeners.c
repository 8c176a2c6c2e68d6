// SPDX-License-Identifier: BSD-3-Clause
#include "listeners.h"

#include "memory.h"

#include <base/log.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

// Accepting -------------------------------------------------------------------------------

static void
accepted(struct acceptor *a, int fd)
{
    struct listener *one =
        ((struct listening *)((char *)a - offsetof(struct listening, acceptor)))->of;
    struct listeners *l = one->all;
    struct listener_counters *counters = one->settings->counters;
    struct client_counter *client;
    if (!admit(&l->admission, one->settings, fd, ring_now(l->ring), &client)) {
        close(fd);
        return;
    }
    if (workers_hand_over(l->workers, fd, l->settings, one->settings, client, ++l->last_id))
        atomic_fetch_add(&counters->accepted, 1);
    else
        atomic_fetch_add(&counters->refused, 1);
}

// One socket ------------------------------------------------------------------------------

// The configuration could not know what systemd passes under a name.
static void
check_allow(const struct listener_settings *l, int fd)
{
    struct sockaddr_storage at;
    socklen_t len = sizeof at;
    if (l->n_allow && getsockname(fd, (struct sockaddr *)&at, &len) == 0 && at.ss_family == AF_UNIX)
        log_warn("[listen %s]: allow refuses everybody at the Unix socket that systemd passed as "
                 "%s: its clients have no IP address; leave allow out, and say by SocketMode= who "
                 "may connect",
                 l->name, l->address.host);
}

static void
add_socket(struct listener *one, int fd)
{
    unsigned n = one->n_sockets++;
    one->sockets = need_array(one->sockets, n + 1, sizeof *one->sockets);
    one->sockets[n] = (struct listening){.acceptor = {.fd = fd, .accepted = accepted}, .of = one};
}

static bool
take_systemd(struct listener *one, char *err, size_t errlen)
{
    const char *name = one->settings->address.host;
    char names[200];
    unsigned at = 0;
    for (int fd; (fd = inherited_systemd(name, &at)) >= 0;) {
        add_socket(one, fd);
        check_allow(one->settings, fd);
    }
    one->elsewhere = one->kept = true;
    if (!one->n_sockets)
        snprintf(err, errlen,
                 "[listen %s]: no socket of the name %s was passed (passed: %s): a .socket unit "
                 "with FileDescriptorName=%s, or another address, would be right",
                 one->settings->name, name, inherited_names(names, sizeof names), name);
    return one->n_sockets;
}

static bool
take_or_open(struct listener *one, char *err, size_t errlen)
{
    const struct listener_settings *settings = one->settings;
    char cause[512];
    int fd = inherited_get(INHERITED_LISTEN, one->address);
    one->elsewhere = fd >= 0;
    if (fd < 0)
        fd = address_listen(&settings->address, settings->socket_mode, cause, sizeof cause);
    if (fd < 0) {
        snprintf(err, errlen, "[listen %s]: %s", settings->name, cause);
        return false;
    }
    add_socket(one, fd);
    if (settings->address.kind == ADDRESS_UNIX)
        socket_file_note(&one->file, settings->address.path);
    return true;
}

static struct listener *
open_one(struct listeners *l, const struct listener_settings *settings, char *err, size_t errlen)
{
    struct listener *one = need_zeroed(1, sizeof *one);
    one->all = l;
    one->settings = settings;
    address_text(&settings->address, one->address, sizeof one->address);
    if (settings->address.kind == ADDRESS_SYSTEMD ? take_systemd(one, err, errlen)
                                                  : take_or_open(one, err, errlen))
        return one;
    free(one);
    return NULL;
}

static void
accept_on(struct listener *one, bool on)
{
    if (one->accepting == on)
        return;
    for (unsigned i = 0; i < one->n_sockets; i++) {
        if (on)
            accept_start(one->all->ring, &one->sockets[i].acceptor);
        else
            accept_stop(&one->sockets[i].acceptor);
    }
    one->accepting = on;
}

static void
start_one(struct listener *one)
{
    const struct listener_settings *settings = one->settings;
    accept_on(one, true);
    log_info("listening on %s ([listen %s]%s%s)", one->address, settings->name,
             settings->upstream ? ", upstream " : "",
             settings->upstream ? settings->upstream->name : "");
}

static void
close_one(struct listener *one)
{
    accept_on(one, false);
    for (unsigned i = 0; i < one->n_sockets && !one->kept; i++) {
        // Until the kernel has let go of the poll the socket would go on listening: nobody shall
        // wait in its queue for an answer, nor the address be in use when a reload takes the
        // listener back.
        if (!one->elsewhere)
            shutdown(one->sockets[i].acceptor.fd, SHUT_RDWR);
        close(one->sockets[i].acceptor.fd);
    }
    free(one->sockets);
    one->sockets = NULL;
    one->n_sockets = 0;
    if (!one->elsewhere)
        socket_file_unlink(&one->file);
}

static void
give_mode(const struct listener *one, unsigned mode, struct faults *faults)
{
    if (*one->file.path && chmod(one->file.path, mode) < 0)
        alarm_at(faults, 0, "[listen %s]: cannot give %s the mode %04o: %s", one->settings->name,
                 one->file.path, mode, strerror(errno));
}

static void
free_one(struct listener *one)
{
    close_one(one);
    free(one);
}

// All of them -----------------------------------------------------------------------------

struct listeners *
listeners_open(struct ring *ring, const struct config *config, char *err, size_t errlen)
{
    struct settings *settings = config->settings;
    struct listeners *l = need_zeroed(1, sizeof *l);
    l->ring = ring;
    l->settings = settings_ref(settings);
    l->admission.counters = config->counters;
    l->admission.clients = clients_new();
    l->list = need_zeroed(settings->n_listeners, sizeof(struct listener *));
    for (unsigned i = 0; i < settings->n_listeners; i++) {
        l->list[i] = open_one(l, &settings->listeners[i], err, errlen);
        if (!l->list[i]) {
            listeners_free(l);
            return NULL;
        }
        l->n++;
    }
    return l;
}

void
listeners_limit(struct listeners *l, unsigned max_connections, unsigned max_per_client)
{
    l->admission.max_connections = max_connections;
    l->admission.max_per_client = max_per_client;
}

void
listeners_start(struct listeners *l, struct workers *workers)
{
    l->workers = workers;
    for (unsigned i = 0; i < l->n; i++)
        start_one(l->list[i]);
}

void
listeners_close(struct listeners *l)
{
    for (unsigned i = 0; i < l->n; i++)
        close_one(l->list[i]);
}

void
listeners_free(struct listeners *l)
{
    for (unsigned i = 0; i < l->n; i++)
        free_one(l->list[i]);
    settings_unref(l->settings);
    clients_free(l->admission.clients);
    free(l->list);
    free(l);
}

// Upgrade ---------------------------------------------------------------------------------

void
listeners_pause(struct listeners *l)
{
    for (unsigned i = 0; i < l->n; i++)
        accept_on(l->list[i], false);
}

void
listeners_resume(struct listeners *l)
{
    for (unsigned i = 0; i < l->n; i++)
        accept_on(l->list[i], true);
}

void
listeners_hand(const struct listeners *l, struct handed *to)
{
    for (unsigned i = 0; i < l->n; i++) {
        const struct listener *one = l->list[i];
        bool there = one->settings->address.kind != ADDRESS_UNIX || socket_file_there(&one->file);
        if (!one->kept && there)
            handed_add(to, INHERITED_LISTEN, one->address, one->sockets[0].acceptor.fd);
    }
    handed_add_systemd(to);
}

void
listeners_own(struct listeners *l, bool own, struct faults *faults)
{
    for (unsigned i = 0; i < l->n; i++) {
        struct listener *one = l->list[i];
        if (one->kept)
            continue;
        if (own && one->elsewhere)
            give_mode(one, one->settings->socket_mode, faults);
        one->elsewhere = !own;
    }
}

// Reload ----------------------------------------------------------------------------------

// The socket that listens there already. One whose file somebody has removed is as good as none.
static struct listener *
find_socket(const struct listeners *l, const struct address *a)
{
    char text[ADDRESS_TEXT];
    address_text(a, text, sizeof text);
    for (unsigned i = 0; i < l->n; i++)
        if (strcmp(l->list[i]->address, text) == 0 &&
            (a->kind != ADDRESS_UNIX || socket_file_there(&l->list[i]->file)))
            return l->list[i];
    return NULL;
}

static bool
is_among(struct listener *const *list, unsigned n, const struct listener *one)
{
    for (unsigned i = 0; i < n; i++)
        if (list[i] == one)
            return true;
    return false;
}

// Two addresses may differ and yet be one to the kernel: 0.0.0.0 and any other.
static void
add_hint(const struct listeners *l, const struct address *a, char *err, size_t errlen)
{
    size_t len = strlen(err);
    for (unsigned i = 0; i < l->n; i++) {
        const struct listener_settings *one = l->list[i]->settings;
        if (a->kind != ADDRESS_TCP || one->address.kind != ADDRESS_TCP ||
            strcmp(one->address.port, a->port) != 0)
            continue;
        snprintf(err + len, errlen - len,
                 " ([listen %s] has this port now: take it away by one reload, and give it to "
                 "another by the next)",
                 one->name);
        return;
    }
}

// Nothing but opening: until all are there, what listens now goes on as it is.
static struct listener **
gather(struct listeners *l, const struct settings *next, const struct listener_settings **failed,
       char *err, size_t errlen)
{
    struct listener **list = need_zeroed(next->n_listeners, sizeof(struct listener *));
    for (unsigned i = 0; i < next->n_listeners; i++) {
        list[i] = find_socket(l, &next->listeners[i].address);
        if (!list[i])
            list[i] = open_one(l, &next->listeners[i], err, errlen);
        if (list[i])
            continue;
        const char *hint = privileges_hint(errno);
        size_t len = strlen(err);
        *failed = &next->listeners[i];
        snprintf(err + len, errlen - len, "%s", hint);
        add_hint(l, &next->listeners[i].address, err, errlen);
        while (i-- > 0)
            if (!is_among(l->list, l->n, list[i]))
                free_one(list[i]);
        free(list);
        return NULL;
    }
    return list;
}

bool
listeners_change(struct listeners *l, const struct config *config, struct faults *faults,
                 const struct listener_settings **failed, char *err, size_t errlen)
{
    struct settings *next = config->settings;
    unsigned n = next->n_listeners;
    struct listener **list = gather(l, next, failed, err, errlen);
    if (!list)
        return false;
    for (unsigned i = 0; i < l->n; i++) {
        if (is_among(list, n, l->list[i]))
            continue;
        log_info("no longer listening on %s", l->list[i]->address);
        free_one(l->list[i]);
    }
    for (unsigned i = 0; i < n; i++) {
        if (list[i]->settings->socket_mode != next->listeners[i].socket_mode)
            give_mode(list[i], next->listeners[i].socket_mode, faults);
        bool was_open = !list[i]->settings->n_allow;
        list[i]->settings = &next->listeners[i];
        for (unsigned j = 0; list[i]->kept && was_open && j < list[i]->n_sockets; j++)
            check_allow(list[i]->settings, list[i]->sockets[j].acceptor.fd);
        if (!list[i]->accepting)
            start_one(list[i]);
    }
    settings_unref(l->settings);
    l->settings = settings_ref(next);
    free(l->list);
    l->list = list;
    l->n = n;
    return true;
}
