// SPDX-License-Identifier: BSD-3-Clause
// Addresses as people write them.
#include <io/address.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool
copy(char *to, size_t cap, const char *p, size_t n)
{
    if (n >= cap)
        return false;
    memcpy(to, p, n);
    to[n] = '\0';
    return true;
}

static bool
parse_port(const char *text, char *port, size_t cap)
{
    size_t n = strspn(text, "0123456789");
    if (n == 0 || n > 5 || text[n])
        return false;
    unsigned long v = strtoul(text, NULL, 10);
    if (v == 0 || v > 65535)
        return false;
    snprintf(port, cap, "%lu", v);
    return true;
}

static bool
parse_tcp(const char *text, struct address *a, char *err, size_t errlen)
{
    const char *host = text, *end, *colon;
    if (*text == '[') {
        host = text + 1;
        end = strchr(host, ']');
        colon = end ? end + 1 : NULL;
    } else {
        end = colon = strrchr(text, ':');
        if (colon && memchr(text, ':', (size_t)(colon - text))) {
            snprintf(err, errlen, "'%s': an IPv6 address is written [v6]:port", text);
            return false;
        }
    }
    if (!colon || *colon != ':' || end == host) {
        snprintf(err, errlen,
                 "'%s' is not an address: host:port, [v6]:port, unix:/path or systemd:NAME", text);
        return false;
    }
    if (!copy(a->host, sizeof a->host, host, (size_t)(end - host))) {
        snprintf(err, errlen, "the host of '%.40s...' is longer than %zu characters", text,
                 sizeof a->host - 1);
        return false;
    }
    if (!parse_port(colon + 1, a->port, sizeof a->port)) {
        snprintf(err, errlen, "'%s' has no valid port: a number from 1 to 65535 after the colon",
                 text);
        return false;
    }
    a->kind = ADDRESS_TCP;
    return true;
}

bool
address_parse(const char *text, struct address *a, char *err, size_t errlen)
{
    memset(a, 0, sizeof *a);
    if (strncmp(text, "unix:", 5) == 0) {
        a->kind = ADDRESS_UNIX;
        if (text[5] != '/') {
            snprintf(err, errlen, "'%s': a Unix socket is written unix:/path, from the root", text);
            return false;
        }
        if (!copy(a->path, sizeof a->path, text + 5, strlen(text + 5))) {
            snprintf(err, errlen, "the path of '%.40s...' is longer than %zu characters", text,
                     sizeof a->path - 1);
            return false;
        }
        return true;
    }
    if (strncmp(text, "systemd:", 8) == 0) {
        a->kind = ADDRESS_SYSTEMD;
        if (!text[8] || strchr(text + 8, ':') ||
            !copy(a->host, sizeof a->host, text + 8, strlen(text + 8))) {
            snprintf(err, errlen,
                     "'%.40s': systemd: is followed by a socket's FileDescriptorName, 1 to "
                     "%zu characters and no colon",
                     text, sizeof a->host - 1);
            return false;
        }
        return true;
    }
    return parse_tcp(text, a, err, errlen);
}

const char *
address_text(const struct address *a, char *buf, size_t cap)
{
    switch (a->kind) {
    case ADDRESS_UNIX: snprintf(buf, cap, "unix:%s", a->path); break;
    case ADDRESS_SYSTEMD: snprintf(buf, cap, "systemd:%s", a->host); break;
    case ADDRESS_TCP:
        snprintf(buf, cap, strchr(a->host, ':') ? "[%s]:%s" : "%s:%s", a->host, a->port);
        break;
    }
    return buf;
}
