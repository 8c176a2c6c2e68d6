// SPDX-License-Identifier: BSD-3-Clause
#include <io/network.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAPPED_BITS 96u // of ::ffff:0:0/96, in front of a version 4 address

static bool
is_mapped(const struct ip *ip)
{
    static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};
    return ip->v6 && memcmp(ip->bytes, prefix, sizeof prefix) == 0;
}

static void
unmap(struct ip *ip)
{
    struct ip v4 = {.v6 = false};
    memcpy(v4.bytes, ip->bytes + 12, 4);
    *ip = v4;
}

bool
ip_of_sockaddr(const struct sockaddr *sa, struct ip *ip)
{
    *ip = (struct ip){.v6 = sa->sa_family == AF_INET6};
    if (sa->sa_family == AF_INET)
        memcpy(ip->bytes, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
    else if (sa->sa_family == AF_INET6)
        memcpy(ip->bytes, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, 16);
    else
        return false;
    if (is_mapped(ip))
        unmap(ip);
    return true;
}

// What of byte `i` is in the first `bits` bits.
static uint8_t
mask_of(unsigned i, unsigned bits)
{
    unsigned before = 8 * i;
    if (bits <= before)
        return 0;
    return bits - before >= 8 ? 0xff : (uint8_t)(0xff00u >> (bits - before));
}

struct network
network_of(const struct ip *ip, unsigned bits)
{
    struct network n = {.ip = *ip, .bits = bits};
    for (unsigned i = 0; i < sizeof n.ip.bytes; i++)
        n.ip.bytes[i] &= mask_of(i, bits);
    return n;
}

bool
network_same(const struct network *a, const struct network *b)
{
    return a->ip.v6 == b->ip.v6 && a->bits == b->bits &&
           memcmp(a->ip.bytes, b->ip.bytes, sizeof a->ip.bytes) == 0;
}

bool
network_has(const struct network *n, const struct ip *ip)
{
    struct network other = network_of(ip, n->bits);
    return network_same(n, &other);
}

const char *
network_text(const struct network *n, char *buf, size_t cap)
{
    char ip[INET6_ADDRSTRLEN];
    inet_ntop(n->ip.v6 ? AF_INET6 : AF_INET, n->ip.bytes, ip, sizeof ip);
    if (n->bits == ip_bits(&n->ip))
        snprintf(buf, cap, "%s", ip);
    else
        snprintf(buf, cap, "%s/%u", ip, n->bits);
    return buf;
}

// Reading ---------------------------------------------------------------------------------

static bool
parse_ip(const char *text, size_t len, struct ip *ip)
{
    char copy[INET6_ADDRSTRLEN];
    *ip = (struct ip){.v6 = memchr(text, ':', len) != NULL};
    if (len >= sizeof copy)
        return false;
    memcpy(copy, text, len);
    copy[len] = '\0';
    return inet_pton(ip->v6 ? AF_INET6 : AF_INET, copy, ip->bytes) == 1;
}

// A plain number without leading zeroes, at most `most`.
static bool
parse_bits(const char *text, unsigned most, unsigned *bits)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 3 || text[digits] || (*text == '0' && digits > 1))
        return false;
    *bits = (unsigned)strtoul(text, NULL, 10);
    return *bits <= most;
}

static bool
check_host_bits(const struct network *given, struct network *n, const char *text, char *err,
                size_t errlen)
{
    char net[IP_TEXT], one[IP_TEXT];
    struct network single = {.ip = given->ip, .bits = ip_bits(&given->ip)};
    *n = network_of(&given->ip, given->bits);
    if (network_same(given, n))
        return true;
    snprintf(err, errlen,
             "'%s' has bits set behind its first %u: %s is that network, and %s that one address",
             text, given->bits, network_text(n, net, sizeof net),
             network_text(&single, one, sizeof one));
    return false;
}

bool
network_parse(const char *text, struct network *n, char *err, size_t errlen)
{
    const char *slash = strchr(text, '/');
    size_t len = slash ? (size_t)(slash - text) : strlen(text);
    struct network given = {.bits = 0};
    if (!parse_ip(text, len, &given.ip)) {
        snprintf(err, errlen,
                 "'%.60s' is not a network: 10.0.0.0/8, 2001:db8::/32 or a single address, for "
                 "example",
                 text);
        return false;
    }
    given.bits = ip_bits(&given.ip);
    if (slash && !parse_bits(slash + 1, given.bits, &given.bits)) {
        snprintf(err, errlen, "'%.60s': behind the slash a number of bits from 0 to %u is right",
                 text, ip_bits(&given.ip));
        return false;
    }
    if (is_mapped(&given.ip) && given.bits >= MAPPED_BITS) {
        unmap(&given.ip);
        given.bits -= MAPPED_BITS;
    }
    return check_host_bits(&given, n, text, err, errlen);
}
