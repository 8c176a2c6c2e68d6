// SPDX-License-Identifier: BSD-3-Clause
// Networks and who is in them. tests/peers/test_allow.py has the same questions answered by Python.
#include <io/network.h>

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct ip
ip_of(const char *text)
{
    struct network n;
    char err[300];
    cr_assert(network_parse(text, &n, err, sizeof err), "%s", err);
    cr_assert_eq(n.bits, ip_bits(&n.ip));
    return n.ip;
}

static void
expect_in(const char *network, const char *ip, bool in)
{
    struct network n;
    struct ip address = ip_of(ip);
    char err[300];
    cr_assert(network_parse(network, &n, err, sizeof err), "%s", err);
    cr_expect_eq(network_has(&n, &address), in, "%s in %s", ip, network);
}

static void
expect_bad(const char *text, const char *part)
{
    struct network n;
    char err[300] = "";
    cr_expect_not(network_parse(text, &n, err, sizeof err), "%s", text);
    cr_expect(strstr(err, part), "%s: %s", text, err);
}

Test(network, has)
{
    expect_in("10.0.0.0/8", "10.255.255.255", true);
    expect_in("10.0.0.0/8", "11.0.0.0", false);
    expect_in("10.0.0.0/8", "9.255.255.255", false);
    expect_in("192.0.2.128/25", "192.0.2.127", false);
    expect_in("192.0.2.128/25", "192.0.2.128", true);
    expect_in("192.0.2.7", "192.0.2.7", true);
    expect_in("192.0.2.7", "192.0.2.6", false);
    expect_in("192.0.2.7/32", "192.0.2.7", true);
    expect_in("192.0.2.6/31", "192.0.2.7", true);
    expect_in("0.0.0.0/0", "255.255.255.255", true);
    expect_in("2001:db8::/33", "2001:db8:7fff:ffff::1", true);
    expect_in("2001:db8::/33", "2001:db8:8000::", false);
    expect_in("::1", "::1", true);
    expect_in("::1", "::2", false);
    expect_in("::/0", "ffff::", true);
}

Test(network, versions_are_different_worlds)
{
    expect_in("::/0", "10.0.0.1", false);
    expect_in("0.0.0.0/0", "::1", false);
    expect_in("::/96", "10.0.0.1", false);
    expect_in("a00:1::/32", "10.0.0.1", false);
}

Test(network, version_4_in_version_6_clothes)
{
    expect_in("10.0.0.0/8", "::ffff:10.1.2.3", true);
    expect_in("::ffff:10.0.0.0/104", "10.1.2.3", true);
    expect_in("::ffff:a00:0/104", "11.1.2.3", false);
    expect_in("::/0", "::ffff:10.1.2.3", false);
}

Test(network, of_sockets)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    struct sockaddr other = {.sa_family = AF_UNIX};
    struct ip ip, expected = ip_of("192.0.2.1");
    inet_pton(AF_INET, "192.0.2.1", &v4.sin_addr);
    cr_assert(ip_of_sockaddr((struct sockaddr *)&v4, &ip));
    cr_expect_arr_eq(&ip, &expected, sizeof ip);
    inet_pton(AF_INET6, "::ffff:192.0.2.1", &v6.sin6_addr);
    cr_assert(ip_of_sockaddr((struct sockaddr *)&v6, &ip));
    cr_expect_arr_eq(&ip, &expected, sizeof ip);
    inet_pton(AF_INET6, "2001:db8::1", &v6.sin6_addr);
    expected = ip_of("2001:db8::1");
    cr_assert(ip_of_sockaddr((struct sockaddr *)&v6, &ip));
    cr_expect_arr_eq(&ip, &expected, sizeof ip);
    cr_expect_not(ip_of_sockaddr(&other, &ip));
}

Test(network, what_is_none)
{
    static const char *const texts[] = {
        "",
        "x",
        "10",
        "10.0.0",
        "10.0.0.0.0",
        "256.0.0.1",
        "010.0.0.1",
        "localhost",
        "/8",
        ":",
        ":::",
        "1::2::3",
        "fe80::1%lo",
        "[::1]",
        "::1.2.3",
        "10.0.0.1 ",
        "1:2:3:4:5:6:7:8:9",
        "0x0a.0.0.1",
        "12345678901234567890123456789012345678901234567890123456789012345",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        expect_bad(texts[i], "is not a network: 10.0.0.0/8");
}

Test(network, bits_that_are_none)
{
    static const char *const texts[] = {
        "10.0.0.0/33", "10.0.0.0/",    "10.0.0.0/-1",        "10.0.0.0/+8",        "10.0.0.0/08",
        "10.0.0.0/8 ", "10.0.0.0/8/8", "10.0.0.0/255.0.0.0", "10.0.0.0/4294967304"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        expect_bad(texts[i], "from 0 to 32 is right");
    expect_bad("::/129", "from 0 to 128 is right");
}

Test(network, bits_behind_the_mask)
{
    expect_bad("10.1.2.3/8", "10.0.0.0/8 is that network, and 10.1.2.3 that one address");
    expect_bad("192.0.2.1/31", "192.0.2.0/31 is that network");
    expect_bad("10.0.0.1/0", "0.0.0.0/0 is that network");
    expect_bad("2001:db8::1/32", "2001:db8::/32 is that network, and 2001:db8::1 that one");
    expect_bad("::ffff:10.1.0.0/104", "10.0.0.0/8 is that network");
}

// For random networks of every length: who is in it is exactly who differs in no bit before the
// mask, and what is written is read again.
Test(network, every_length_and_bit)
{
    srand(7);
    for (int round = 0; round < 64; round++) {
        struct ip ip = {.v6 = round % 2};
        for (unsigned i = 0; i < ip_bits(&ip) / 8; i++)
            ip.bytes[i] = (uint8_t)(rand() >> 7);
        for (unsigned bits = 0; bits <= ip_bits(&ip); bits++) {
            struct network n = network_of(&ip, bits), again;
            char text[IP_TEXT], err[300];
            cr_assert(network_has(&n, &ip));
            for (unsigned bit = 0; bit < ip_bits(&ip); bit++) {
                struct ip other = ip;
                other.bytes[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
                cr_assert_eq(network_has(&n, &other), bit >= bits, "%u of %u", bit, bits);
            }
            network_text(&n, text, sizeof text);
            cr_assert(network_parse(text, &again, err, sizeof err), "%s: %s", text, err);
            cr_assert(network_same(&n, &again), "%s", text);
        }
    }
}
