// SPDX-License-Identifier: BSD-3-Clause
// Which export a name is, listener by listener.
#include <session/routes.h>

#include <criterion/criterion.h>
#include <string.h>

#define EXPORTS 8

// Upstreams a and b, a listener for each, and one for sections only.
static char name_a[] = "a", name_b[] = "b";
static struct upstream_settings a = {.name = name_a}, b = {.name = name_b};
static struct listener_settings on_a = {.upstream = &a}, on_b = {.upstream = &b}, on_none;
static struct export_settings exports[EXPORTS];
static const struct listener_settings *shown_by[EXPORTS][3];
static struct settings all = {.exports = exports};

static const struct export_settings *
section(const char *name, const struct upstream_settings *u, const char *upstream_name,
        const struct listener_settings *first, const struct listener_settings *second)
{
    struct export_settings *e = &exports[all.n_exports];
    const struct listener_settings **listeners = shown_by[all.n_exports++];
    listeners[0] = first;
    listeners[1] = second;
    *e = (struct export_settings){.name = bytes_str(name),
                                  .upstream_name = bytes_str(upstream_name),
                                  .upstream = u,
                                  .listeners = listeners,
                                  .n_listeners = second ? 2 : 1};
    return e;
}

static void
uri_export(struct upstream_settings *u, const char *name)
{
    u->uri.export_len = strlen(name);
    memcpy(u->uri.export, name, u->uri.export_len);
}

static void
expect_hidden(const struct listener_settings *l, const char *name)
{
    struct route r;
    cr_expect(!route_find(&all, l, bytes_str(name), &r), "\"%s\" is served", name);
}

static void
expect_route(const struct listener_settings *l, const char *name, const struct upstream_settings *u,
             const char *there, const struct export_settings *e)
{
    struct route r;
    cr_assert(route_find(&all, l, bytes_str(name), &r), "\"%s\" is not served", name);
    cr_expect_eq(r.upstream, u, "\"%s\" is at %s", name, r.upstream->name);
    cr_expect(bytes_equal(r.name, bytes_str(there)), "\"%s\" is \"%.*s\" there", name,
              (int)r.name.len, (const char *)r.name.p);
    cr_expect_eq(r.section, e, "\"%s\": another section", name);
    cr_expect_eq(r.policy, e ? &e->policy : &u->policy, "\"%s\": another policy", name);
}

Test(routes, names_pass_through)
{
    expect_route(&on_a, "x", &a, "x", NULL);
    expect_route(&on_b, "x", &b, "x", NULL);
    expect_route(&on_a, "", &a, "", NULL);
    expect_hidden(&on_none, "x");
    expect_hidden(&on_none, "");
}

Test(routes, the_export_of_the_uri_replaces_an_empty_name)
{
    uri_export(&a, "disk");
    expect_route(&on_a, "", &a, "disk", NULL);
    expect_route(&on_a, "disk", &a, "disk", NULL);
    expect_route(&on_a, "x", &a, "x", NULL);
    cr_expect(bytes_equal(route_upstream_name(&a, bytes_str("y")), bytes_str("y")));
}

Test(routes, a_section_overrides)
{
    const struct export_settings *e = section("x", &a, "x", &on_a, NULL);
    expect_route(&on_a, "x", &a, "x", e);
    expect_route(&on_b, "x", &b, "x", NULL);
    expect_route(&on_a, "y", &a, "y", NULL);
    expect_route(&on_a, "X", &a, "X", NULL);
    expect_route(&on_a, "x/", &a, "x/", NULL);
}

Test(routes, a_section_redirects)
{
    const struct export_settings *e = section("x", &b, "x", &on_a, &on_none);
    expect_route(&on_a, "x", &b, "x", e);
    expect_route(&on_none, "x", &b, "x", e);
    expect_route(&on_b, "y", &b, "y", NULL);
    expect_hidden(&on_none, "y");
    // Upstream a's own "x" cannot be reached by that name; b's is kept for others.
    expect_hidden(&on_b, "x");
}

Test(routes, a_rename_hides_the_old_name)
{
    const struct export_settings *e = section("new", &a, "old", &on_a, NULL);
    expect_route(&on_a, "new", &a, "old", e);
    expect_hidden(&on_a, "old");
    expect_route(&on_b, "old", &b, "old", NULL);
}

Test(routes, an_old_name_with_a_section_of_its_own_stays)
{
    const struct export_settings *e = section("new", &a, "old", &on_a, NULL);
    const struct export_settings *own = section("old", &a, "old", &on_a, NULL);
    expect_route(&on_a, "new", &a, "old", e);
    expect_route(&on_a, "old", &a, "old", own);
}

Test(routes, names_may_change_places)
{
    const struct export_settings *one = section("one", &a, "two", &on_a, NULL);
    const struct export_settings *two = section("two", &a, "one", &on_a, NULL);
    expect_route(&on_a, "one", &a, "two", one);
    expect_route(&on_a, "two", &a, "one", two);
}

Test(routes, a_rename_from_another_upstream_hides_nothing_here)
{
    const struct export_settings *e = section("new", &b, "old", &on_a, NULL);
    expect_route(&on_a, "new", &b, "old", e);
    expect_route(&on_a, "old", &a, "old", NULL);
}

Test(routes, only_for_other_listeners)
{
    const struct export_settings *e = section("x", &a, "x", &on_none, NULL);
    expect_hidden(&on_a, "x");
    expect_route(&on_none, "x", &a, "x", e);
    // It is another export that upstream b calls so.
    expect_route(&on_b, "x", &b, "x", NULL);
}

Test(routes, one_name_for_each_listener)
{
    const struct export_settings *here = section("x", &a, "x", &on_a, NULL);
    const struct export_settings *there = section("x", &a, "y", &on_none, NULL);
    expect_route(&on_a, "x", &a, "x", here);
    expect_route(&on_none, "x", &a, "y", there);
    expect_route(&on_a, "y", &a, "y", NULL);
}

Test(routes, the_default_export_by_its_section)
{
    const struct export_settings *e = section("", &b, "disk", &on_a, NULL);
    uri_export(&a, "other");
    expect_route(&on_a, "", &b, "disk", e);
    expect_route(&on_a, "other", &a, "other", NULL);
}

Test(routes, the_default_export_as_another_section_has_it,
     .description = "what a section says of an export holds for it by that name, too")
{
    uri_export(&a, "disk");
    const struct export_settings *e = section("disk", &a, "disk", &on_a, NULL);
    expect_route(&on_a, "", &a, "disk", e);
}

Test(routes, the_default_export_outlives_its_renaming)
{
    uri_export(&a, "disk");
    const struct export_settings *e = section("pretty", &a, "disk", &on_a, NULL);
    expect_route(&on_a, "", &a, "disk", e);
    expect_hidden(&on_a, "disk");
}

Test(routes, the_default_export_may_be_kept_for_others)
{
    uri_export(&a, "disk");
    section("disk", &a, "disk", &on_none, NULL);
    expect_hidden(&on_a, "");
    expect_hidden(&on_a, "disk");
}

Test(routes, the_default_export_may_be_kept_for_others_by_its_section)
{
    section("", &a, "", &on_none, NULL);
    expect_hidden(&on_a, "");
    expect_route(&on_a, "x", &a, "x", NULL);
}

Test(routes, a_default_export_under_a_name)
{
    const struct export_settings *e = section("main", &a, "", &on_a, NULL);
    expect_route(&on_a, "main", &a, "", e);
    expect_route(&on_a, "", &a, "", e);
}

Test(routes, names_are_bytes)
{
    const struct export_settings *e = section("\xff\n", &a, "../x", &on_a, NULL);
    expect_route(&on_a, "\xff\n", &a, "../x", e);
    expect_route(&on_a, "\xff", &a, "\xff", NULL);
    struct route r;
    cr_assert(route_find(&all, &on_a, bytes_of("\xff\n\0", 3), &r));
    cr_expect_null(r.section);
}

Test(routes, what_a_listener_shows)
{
    const struct export_settings *e = section("new", &a, "old", &on_a, NULL);
    const struct export_settings *from_b = section("other", &b, "old", &on_a, NULL);
    cr_expect(route_shows(e, &on_a, bytes_str("old")));
    cr_expect(!route_shows(e, &on_a, bytes_str("new")));
    cr_expect(!route_shows(e, &on_b, bytes_str("old")), "another listener");
    cr_expect(!route_shows(from_b, &on_a, bytes_str("old")), "another upstream");
}
