// SPDX-License-Identifier: BSD-3-Clause
// IP addresses and networks as numbers: which of them contains whom. Pure.
#ifndef IO_NETWORK_H
#define IO_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define IP_TEXT 48 // of an address, or of a network

struct ip {
    uint8_t bytes[16]; // of version 4 the first four
    bool v6;
};

struct network {
    struct ip ip; // nothing is set beyond `bits`
    unsigned bits;
};

// False: that is no IP address. A version 4 address in version 6 clothes (::ffff:a.b.c.d), as a
// socket for both gets it, is one of version 4.
bool ip_of_sockaddr(const struct sockaddr *sa, struct ip *ip);

// "10.0.0.0/8", "2001:db8::/32", or a single address. False: one line in err says what is wrong and
// what would be right.
bool network_parse(const char *text, struct network *n, char *err, size_t errlen);

// Whether the address is in the network. Versions are different worlds: ::/0 has no 10.0.0.1.
bool network_has(const struct network *n, const struct ip *ip);

// The network of so many bits that the address is in.
struct network network_of(const struct ip *ip, unsigned bits);

bool network_same(const struct network *a, const struct network *b);

// As people write it, a single address without its bits; returns buf.
const char *network_text(const struct network *n, char *buf, size_t cap);

static inline unsigned
ip_bits(const struct ip *ip)
{
    return ip->v6 ? 128 : 32;
}

#endif
