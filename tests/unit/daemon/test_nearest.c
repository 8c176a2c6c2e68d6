// SPDX-License-Identifier: BSD-3-Clause
#include "config_keys.h"
#include "nearest.h"

#include <criterion/criterion.h>

static const char *
nearest_of(const char *wanted, const char *const *names)
{
    struct nearest n = nearest_to(wanted);
    for (; *names; names++)
        nearest_offer(&n, *names);
    return n.best;
}

Test(nearest, slips_of_the_pen)
{
    static const char *const names[] = {"upstream", "listen", "address", NULL};
    cr_expect_str_eq(nearest_of("upsteam", names), "upstream");
    cr_expect_str_eq(nearest_of("upstreamm", names), "upstream");
    cr_expect_str_eq(nearest_of("usptream", names), "upstream");
    cr_expect_str_eq(nearest_of("adress", names), "address");
    cr_expect_str_eq(nearest_of("Listen", names), "listen");
}

Test(nearest, the_nearer_one_wins)
{
    static const char *const names[] = {"probe-bytes", "probe-time", "probe", NULL};
    cr_expect_str_eq(nearest_of("probe-tine", names), "probe-time");
    cr_expect_str_eq(nearest_of("probes", names), "probe");
}

Test(nearest, strangers_are_near_to_none)
{
    static const char *const names[] = {"upstream", "listen", "a", NULL};
    cr_expect_null(nearest_of("certificate", names));
    cr_expect_null(nearest_of("", names));
    cr_expect_null(nearest_of("b", names));
    char longer[200];
    for (size_t i = 0; i < sizeof longer - 1; i++)
        longer[i] = 'a';
    longer[sizeof longer - 1] = '\0';
    cr_expect_null(nearest_of(longer, names));
}

Test(nearest, keys)
{
    cr_expect_str_eq(config_key_nearest(SECTION_PROXY, "log_level"), "log-level");
    cr_expect_str_eq(config_key_nearest(SECTION_EXPORT, "readonly"), "read-only");
    cr_expect_null(config_key_nearest(SECTION_PROXY, "uri"));
}
