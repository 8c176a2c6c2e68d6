// SPDX-License-Identifier: BSD-3-Clause
// allow of a [listen] section.
#include "rig.h"

#include <criterion/criterion.h>
#include <string.h>

#define LISTEN(address, allow)                                                                     \
    "[upstream storage]\nuri = nbd://127.0.0.1:10810\n[listen main]\naddress = " address           \
    "\nupstream = storage\nallow = " allow "\n"
#define LINE 6

static void
expect_allow(const char *text, const char *const *networks)
{
    struct faults f = {0};
    struct config *c = config_of(text, &f);
    cr_assert_not_null(c, "%s", f.n ? f.list[0].text : "");
    const struct listener_settings *l = &c->settings->listeners[0];
    unsigned n = 0;
    for (; networks[n]; n++) {
        char shown[IP_TEXT];
        cr_assert_lt(n, l->n_allow);
        cr_expect_str_eq(network_text(&l->allow[n], shown, sizeof shown), networks[n]);
    }
    cr_expect_eq(l->n_allow, n);
    cr_expect_eq(f.n, 0);
    config_free(c);
    faults_clear(&f);
}

Test(config_allow, networks)
{
    expect_allow(LISTEN("[::]:1", "10.0.0.0/8 192.0.2.7,2001:db8::/32,  ::1/128"),
                 (const char *const[]){"10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "::1", NULL});
    expect_allow(LISTEN("[::]:1", "::ffff:10.0.0.0/104"),
                 (const char *const[]){"10.0.0.0/8", NULL});
    expect_allow(LISTEN("[::]:1", ""), (const char *const[]){NULL});
    expect_allow(LISTEN("unix:/x", ""), (const char *const[]){NULL});
}

Test(config_allow, faults)
{
    expect_only_fault(LISTEN("[::]:1", "10.0.0.0/8 10.1.2.3/24"), LINE,
                      "10.1.2.0/24 is that network, and 10.1.2.3 that one address");
    expect_only_fault(LISTEN("[::]:1", "localhost"), LINE, "is not a network");
    expect_only_fault(LISTEN("[::]:1", "10.0.0.0/33"), LINE, "from 0 to 32");
    expect_only_fault(LISTEN("[::]:1", ", ,"), LINE, "names no network");
    expect_only_fault(LISTEN("unix:/x", "10.0.0.0/8"), LINE, "socket-mode says who may connect");
    struct faults f = {0};
    cr_expect_null(config_of(LISTEN("[::]:1", "x y z"), &f));
    cr_expect_eq(f.errors, 3, "each is told");
    faults_clear(&f);
}

Test(config_allow, what_is_there_already)
{
    struct faults f = {0};
    struct config *c =
        config_of(LISTEN("[::]:1", "10.0.0.0/8 10.1.0.0/16 ::/0 ::1 10.0.0.0/8"), &f);
    cr_assert_not_null(c);
    cr_expect(has_warning(&f, LINE, "10.1.0.0/16 is in 10.0.0.0/8 already"));
    cr_expect(has_warning(&f, LINE, "::1 is in ::/0 already"));
    cr_expect(has_warning(&f, LINE, "10.0.0.0/8 is in 10.0.0.0/8 already"));
    cr_expect_eq(f.n, 3);
    config_free(c);
    faults_clear(&f);
}
