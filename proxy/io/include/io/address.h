// SPDX-License-Identifier: BSD-3-Clause
// Addresses: of listeners as interface.md writes them, of upstreams as NBD URIs (NBD's doc/uri.md).
#ifndef IO_ADDRESS_H
#define IO_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum address_kind { ADDRESS_TCP, ADDRESS_UNIX, ADDRESS_SYSTEMD };

#define ADDRESS_TEXT 300 // the longest form of one, for people: "[v6]:port", "unix:/path"

struct address {
    enum address_kind kind;
    char host[256]; // TCP: name or number, without brackets. SYSTEMD: the name
    char port[8];   // TCP: decimal
    char path[108]; // UNIX
};

// "host:port", "[v6]:port", "unix:/path", "systemd:NAME". On failure false, and what is wrong and
// what would be right in err.
bool address_parse(const char *text, struct address *a, char *err, size_t errlen);
// For people and logs; returns buf.
const char *address_text(const struct address *a, char *buf, size_t cap);

// An NBD URI, taken apart. Strings are percent-decoded.
struct nbd_uri {
    bool tls;
    struct address address; // TCP (port 10809 unless given) or UNIX
    uint8_t export[4096];
    size_t export_len;
    char user[256];              // "" = none
    char tls_certificates[1024]; // parameters; "" = not given
    char tls_psk_file[1024];
    char tls_hostname[256];
    int tls_verify_peer; // -1 = not given
};
bool nbd_uri_parse(const char *text, struct nbd_uri *u, char *err, size_t errlen);

// The peer of a connected socket, for people: "127.0.0.1:40000", "[::1]:40000",
// "unix:pid 123 uid 0".
const char *address_of_peer(int fd, char *buf, size_t cap);

// A listening socket, non-blocking, close-on-exec, backlog as large as the system allows; -1 and
// one line in err. TCP: SO_REUSEADDR; the first address the name resolves to. UNIX: a stale socket
// file is replaced, a live one refused (somebody answers); the file gets `mode`. errno is the
// system's, where it was the system that refused.
int address_listen(const struct address *a, unsigned mode, char *err, size_t errlen);

#endif
