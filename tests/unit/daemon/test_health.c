// SPDX-License-Identifier: BSD-3-Clause
// Is an upstream down? What sessions say of it that began before a reload, and after it.
#include "counters.h"
#include "rig.h"

#include <criterion/criterion.h>
#include <session/health.h>

static struct upstream_counters counters;
static const struct upstream_settings old = {.counters = &counters, .reading = 1},
                                      next = {.counters = &counters, .reading = 2};

Test(health, the_last_try_counts)
{
    cr_expect_not(upstream_is_down(&counters));
    upstream_note(&old, UPSTREAM_UNREACHED);
    cr_expect(upstream_is_down(&counters));
    upstream_note(&old, UPSTREAM_FINE);
    cr_expect_not(upstream_is_down(&counters));
    upstream_note(&old, UPSTREAM_INSECURE);
    cr_expect(upstream_is_down(&counters));
}

// A server that is not there is not there for better certificates, either.
Test(health, a_reload_forgets_what_it_may_have_repaired)
{
    upstream_note(&old, UPSTREAM_UNREACHED);
    upstream_begins(&next, false);
    cr_expect(upstream_is_down(&counters));
    counters = (struct upstream_counters){0};
    upstream_note(&old, UPSTREAM_UNREACHED);
    upstream_begins(&next, true);
    cr_expect_not(upstream_is_down(&counters), "it is elsewhere");
    counters = (struct upstream_counters){0};
    upstream_note(&old, UPSTREAM_INSECURE);
    upstream_begins(&next, false);
    cr_expect_not(upstream_is_down(&counters), "keys and files have been read anew");
}

Test(health, sessions_from_before_a_reload_have_no_say)
{
    upstream_begins(&next, false);
    upstream_note(&old, UPSTREAM_INSECURE);
    cr_expect_not(upstream_is_down(&counters));
    upstream_note(&next, UPSTREAM_UNREACHED);
    upstream_note(&old, UPSTREAM_FINE);
    cr_expect(upstream_is_down(&counters));
}

Test(health, a_session_that_is_faster_than_its_reload_is_heard)
{
    upstream_note(&old, UPSTREAM_FINE);
    upstream_note(&next, UPSTREAM_INSECURE);
    upstream_begins(&next, false);
    cr_expect(upstream_is_down(&counters));
}

Test(health, each_reading_has_a_higher_number)
{
    struct faults f = {0};
    struct config *a = config_of(GOOD, &f);
    struct config_document doc = {0};
    config_document_parse(&doc, GOOD, sizeof GOOD - 1, &f);
    struct config *b = config_of_document(&doc, a, &f);
    cr_assert(a && b && f.errors == 0);
    cr_expect_eq(a->settings->upstreams[0].counters, b->settings->upstreams[0].counters);
    cr_expect_lt(a->settings->upstreams[0].reading, b->settings->upstreams[0].reading);
    config_free(a);
    config_free(b);
    config_document_clear(&doc);
}
