// SPDX-License-Identifier: BSD-3-Clause
// Connections counted by client address, in bounded memory.
#include "clients.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct client_counter *
find(struct clients *c, const char *text)
{
    struct network n;
    char err[300];
    cr_assert(network_parse(text, &n, err, sizeof err), "%s", err);
    struct client_counter *counter = clients_find(c, &n.ip);
    cr_assert_not_null(counter);
    return counter;
}

static struct ip
numbered(unsigned i)
{
    struct ip ip = {.v6 = false};
    memcpy(ip.bytes, &i, 4);
    return ip;
}

Test(clients, one_counter_an_address)
{
    struct clients *c = clients_new();
    struct client_counter *one = find(c, "192.0.2.1");
    atomic_fetch_add(&one->active, 1);
    cr_expect_eq(find(c, "192.0.2.1"), one);
    cr_expect_neq(find(c, "192.0.2.2"), one);
    cr_expect_eq(find(c, "::ffff:192.0.2.1"), one);
    cr_expect_neq(find(c, "::192.0.2.1"), one);
    cr_expect_eq(clients_known(c), 3);
    clients_free(c);
}

Test(clients, a_64_of_version_6_is_one)
{
    struct clients *c = clients_new();
    struct client_counter *one = find(c, "2001:db8::1");
    cr_expect_eq(find(c, "2001:db8::ffff:ffff:ffff:ffff"), one);
    cr_expect_neq(find(c, "2001:db8:0:1::1"), one);
    clients_free(c);
}

// A million addresses that come and go are forgotten; those that are there never.
Test(clients, memory_is_bounded)
{
    struct clients *c = clients_new();
    struct client_counter *stay[1000];
    for (unsigned i = 0; i < 1000; i++) {
        struct ip ip = numbered(i);
        stay[i] = clients_find(c, &ip);
        atomic_fetch_add(&stay[i]->active, i + 1);
    }
    for (unsigned i = 1000; i < 1000000; i++) {
        struct ip ip = numbered(i);
        struct client_counter *one = clients_find(c, &ip);
        atomic_fetch_add(&one->active, 1);
        atomic_fetch_sub(&one->active, 1);
        cr_assert_leq(clients_known(c), 2 * 1000 + 1024 + 1);
    }
    for (unsigned i = 0; i < 1000; i++) {
        struct ip ip = numbered(i);
        cr_assert_eq(clients_find(c, &ip), stay[i]);
        cr_assert_eq(atomic_load(&stay[i]->active), i + 1);
    }
    clients_free(c);
}
