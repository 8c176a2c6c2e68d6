// SPDX-License-Identifier: BSD-3-Clause
#include "inherited.h"

#include "memory.h"

#include <base/log.h>
#include <base/text.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

static const char *const prefixes[] = {
    [INHERITED_SYSTEMD] = "systemd.",
    [INHERITED_LISTEN] = "listen.",
    [INHERITED_CONTROL] = "control.",
    [INHERITED_METRICS] = "metrics.",
};
#define KINDS (sizeof prefixes / sizeof prefixes[0])

struct socket {
    int fd;     // -1: somebody has it
    int number; // as it was passed
    enum inherited_kind kind;
    char *name;
    bool used;
};

static struct {
    struct socket *list;
    unsigned n;
    int error; // errno of taking them; 0: none
    bool predecessor;
} pool;

// Names -----------------------------------------------------------------------------------

// $LISTEN_FDNAMES has colons between, and backslashes before what is special.
static char *
encode(enum inherited_kind kind, const char *name)
{
    char *text = need_zeroed(strlen(prefixes[kind]) + 3 * strlen(name) + 1, 1);
    char *p = stpcpy(text, prefixes[kind]);
    for (; *name; name++) {
        if (isalnum((unsigned char)*name) || strchr("-_./[]@", *name))
            *p++ = *name;
        else
            p += sprintf(p, "%%%02X", (unsigned char)*name);
    }
    return text;
}

static char *
decode(const char *text)
{
    char *name = need_copy(text), *to = name;
    unsigned byte;
    while (*text) {
        if (*text == '%' && sscanf(text + 1, "%2x", &byte) == 1) {
            *to++ = (char)byte;
            text += strlen(text) < 3 ? strlen(text) : 3;
        } else {
            *to++ = *text++;
        }
    }
    *to = '\0';
    return name;
}

static void
name_socket(struct socket *s, const char *given)
{
    for (size_t i = 0; pool.predecessor && i < KINDS; i++) {
        size_t len = strlen(prefixes[i]);
        if (strncmp(given, prefixes[i], len) != 0)
            continue;
        s->kind = (enum inherited_kind)i;
        s->name = decode(given + len);
        return;
    }
    s->kind = INHERITED_SYSTEMD;
    s->name = need_copy(given);
}

// Taking ----------------------------------------------------------------------------------

void
inherited_take(bool predecessor)
{
    char **names = NULL;
    int n = sd_listen_fds_with_names(true, &names);
    pool.predecessor = predecessor;
    pool.error = n < 0 ? -n : 0;
    pool.list = n > 0 ? need_zeroed((size_t)n, sizeof *pool.list) : NULL;
    for (int i = 0; i < n; i++) {
        struct socket *s = &pool.list[pool.n++];
        s->fd = s->number = SD_LISTEN_FDS_START + i;
        name_socket(s, names[i]);
        free(names[i]);
    }
    free(names);
}

static struct socket *
find(enum inherited_kind kind, const char *name, unsigned from)
{
    for (unsigned i = from; i < pool.n; i++) {
        struct socket *s = &pool.list[i];
        if (s->fd >= 0 && s->kind == kind && strcmp(s->name, name) == 0)
            return s;
    }
    return NULL;
}

int
inherited_get(enum inherited_kind kind, const char *name)
{
    struct socket *s = find(kind, name, 0);
    if (!s)
        return -1;
    int fd = s->fd;
    s->fd = -1;
    s->used = true;
    return fd;
}

int
inherited_systemd(const char *name, unsigned *at)
{
    struct socket *s = find(INHERITED_SYSTEMD, name, *at);
    if (!s)
        return -1;
    *at = (unsigned)(s - pool.list) + 1;
    s->used = true;
    return s->fd;
}

const char *
inherited_names(char *text, size_t cap)
{
    size_t len = 0;
    snprintf(text, cap, "none");
    for (unsigned i = 0; i < pool.n && len < cap; i++) {
        char shown[128];
        if (pool.list[i].kind != INHERITED_SYSTEMD)
            continue;
        text_escape(shown, sizeof shown, bytes_str(pool.list[i].name));
        len += (size_t)snprintf(text + len, cap - len, "%s%s", len ? ", " : "", shown);
    }
    return text;
}

// Judging ---------------------------------------------------------------------------------

static const char *
wrong_kind(int fd)
{
    int type = 0, listening = 0;
    socklen_t len = sizeof type;
    struct stat st;
    if (fstat(fd, &st) < 0)
        return "is not open: LISTEN_FDS counts more than there are";
    if (!S_ISSOCK(st.st_mode))
        return "is not a socket: only ListenStream= is of use here";
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_STREAM)
        return "is not a stream socket: ListenStream= would be right";
    len = sizeof listening;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) < 0 || !listening)
        return "is not listening: Accept=no would be right in its .socket unit";
    return NULL;
}

static void
describe(const struct socket *s, const char *what, char *err, size_t errlen)
{
    char shown[128];
    text_escape(shown, sizeof shown, bytes_str(s->name));
    snprintf(err, errlen, "inherited descriptor %d (FileDescriptorName=%s) %s", s->number, shown,
             what);
}

bool
inherited_good(char *err, size_t errlen)
{
    if (pool.error)
        snprintf(err, errlen, "cannot take the sockets that LISTEN_FDS and LISTEN_FDNAMES name: %s",
                 strerror(pool.error));
    for (unsigned i = 0; i < pool.n; i++) {
        struct socket *s = &pool.list[i];
        const char *wrong = wrong_kind(s->fd);
        if (wrong) {
            describe(s, wrong, err, errlen);
            return false;
        }
        (void)fcntl(s->fd, F_SETFL, O_NONBLOCK | fcntl(s->fd, F_GETFL));
    }
    return !pool.error;
}

bool
inherited_all_used(char *err, size_t errlen)
{
    for (unsigned i = 0; !pool.predecessor && i < pool.n; i++) {
        if (pool.list[i].used)
            continue;
        char what[400], name[128];
        text_escape(name, sizeof name, bytes_str(pool.list[i].name));
        snprintf(what, sizeof what,
                 "is used by no [listen] section: address = systemd:%s in one, or no such socket "
                 "unit, would be right",
                 name);
        describe(&pool.list[i], what, err, errlen);
        return false;
    }
    return true;
}

static const char *
path_of(const struct socket *s)
{
    if (s->kind == INHERITED_CONTROL)
        return s->name;
    return strncmp(s->name, "unix:", 5) == 0 ? s->name + 5 : NULL;
}

void
inherited_drop(bool remove)
{
    for (unsigned i = 0; i < pool.n; i++) {
        struct socket *s = &pool.list[i];
        if (s->fd < 0 || s->kind == INHERITED_SYSTEMD)
            continue;
        if (remove && path_of(s))
            (void)unlink(path_of(s));
        if (remove)
            log_info("no longer listening on %s", s->name);
        close(s->fd);
        s->fd = -1;
    }
}

// Handing on ------------------------------------------------------------------------------

void
handed_add(struct handed *h, enum inherited_kind kind, const char *name, int fd)
{
    h->fds = need_array(h->fds, h->n + 1, sizeof *h->fds);
    h->names = need_array(h->names, h->n + 1, sizeof *h->names);
    h->fds[h->n] = fd;
    h->names[h->n++] = encode(kind, name);
}

void
handed_add_systemd(struct handed *h)
{
    for (unsigned i = 0; i < pool.n; i++)
        if (pool.list[i].kind == INHERITED_SYSTEMD)
            handed_add(h, INHERITED_SYSTEMD, pool.list[i].name, pool.list[i].fd);
}

void
handed_clear(struct handed *h)
{
    for (unsigned i = 0; i < h->n; i++)
        free(h->names[i]);
    free(h->names);
    free(h->fds);
    *h = (struct handed){0};
}
