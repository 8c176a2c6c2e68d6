// SPDX-License-Identifier: BSD-3-Clause
// Listening sockets, and who is at the other end of a connected one.
#include <io/address.h>

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG INT_MAX // the kernel lowers it to net.core.somaxconn

static int
fail(int fd, const struct address *a, const char *what, const char *why, char *err, size_t errlen)
{
    char text[ADDRESS_TEXT];
    int error = errno;
    snprintf(err, errlen, "cannot %s %s: %s", what, address_text(a, text, sizeof text), why);
    if (fd >= 0)
        close(fd);
    errno = error;
    return -1;
}

static int
listen_tcp(const struct address *a, char *err, size_t errlen)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *ai;
    int rc = getaddrinfo(a->host, a->port, &hints, &ai);
    if (rc)
        return fail(-1, a, "listen on", rc == EAI_SYSTEM ? strerror(errno) : gai_strerror(rc), err,
                    errlen);
    int one = 1;
    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
              bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0;
    int error = errno;
    freeaddrinfo(ai);
    errno = error;
    const char *why =
        error == EACCES ? "Permission denied: ports below 1024 are root's" : strerror(error);
    return ok ? fd : fail(fd, a, "listen on", why, err, errlen);
}

// Whether nobody answers at a Unix socket that exists. Only a refusal says so: a full backlog does
// not, nor a socket of another type, nor one that we may not connect to.
static bool
is_dead(const struct sockaddr_un *sun)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool dead = connect(fd, (const struct sockaddr *)sun, sizeof *sun) < 0 && errno == ECONNREFUSED;
    close(fd);
    return dead;
}

// Why the path cannot be had; NULL: what is there is a stale socket.
static const char *
occupied(const struct sockaddr_un *sun)
{
    struct stat st;
    if (lstat(sun->sun_path, &st) < 0)
        return strerror(errno);
    if (!S_ISSOCK(st.st_mode))
        return "what is there is not a socket: remove it, or name another path";
    if (!is_dead(sun))
        return "in use: another process answers there";
    return NULL;
}

static int
listen_unix(const struct address *a, unsigned mode, char *err, size_t errlen)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    memcpy(sun.sun_path, a->path, sizeof sun.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fail(fd, a, "listen on", strerror(errno), err, errlen);
    // The file is made with the socket's mode less the umask: never open wider than asked, not even
    // for a moment.
    (void)fchmod(fd, mode);
    int rc = bind(fd, (struct sockaddr *)&sun, sizeof sun);
    if (rc < 0 && errno == EADDRINUSE) {
        const char *why = occupied(&sun);
        if (why)
            return fail(fd, a, "listen on", why, err, errlen);
        (void)unlink(sun.sun_path);
        rc = bind(fd, (struct sockaddr *)&sun, sizeof sun);
    }
    if (rc < 0)
        return fail(fd, a, "listen on", strerror(errno), err, errlen);
    if (chmod(sun.sun_path, mode) < 0 || listen(fd, BACKLOG) < 0)
        return fail(fd, a, "listen on", strerror(errno), err, errlen);
    return fd;
}

int
address_listen(const struct address *a, unsigned mode, char *err, size_t errlen)
{
    switch (a->kind) {
    case ADDRESS_TCP: return listen_tcp(a, err, errlen);
    case ADDRESS_UNIX: return listen_unix(a, mode, err, errlen);
    case ADDRESS_SYSTEMD: break;
    }
    return fail(-1, a, "listen on", "that socket is handed over by systemd", err, errlen);
}

static const char *
text_of_unix_peer(int fd, char *buf, size_t cap)
{
    struct ucred who;
    socklen_t len = sizeof who;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0)
        snprintf(buf, cap, "unix:unknown");
    else
        snprintf(buf, cap, "unix:pid %ld uid %ld", (long)who.pid, (long)who.uid);
    return buf;
}

const char *
address_of_peer(int fd, char *buf, size_t cap)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    char host[NI_MAXHOST], port[NI_MAXSERV];
    if (getpeername(fd, (struct sockaddr *)&ss, &len) < 0) {
        snprintf(buf, cap, "unknown");
        return buf;
    }
    if (ss.ss_family == AF_UNIX)
        return text_of_unix_peer(fd, buf, cap);
    if (getnameinfo((struct sockaddr *)&ss, len, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV))
        snprintf(buf, cap, "unknown");
    else
        snprintf(buf, cap, ss.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
    return buf;
}
