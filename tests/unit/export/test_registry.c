// SPDX-License-Identifier: BSD-3-Clause
#include <criterion/criterion.h>
#include <export/lock.h>
#include <export/registry.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOW  (1000 * NS_PER_SEC)
#define SIZE (UINT64_C(64) << 20)

static const struct zero_rules rules = {
    .policy = ZERO_MEASURE,
    .ratio = 0.30,
    .probe = true,
    .probe_time = NS_PER_SEC,
    .probe_bytes = 32 << 20,
    .max_zero = 32 << 20,
};

static char dir[64];

static void
make_dir(void)
{
    snprintf(dir, sizeof dir, "/tmp/nbdzero-test-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
}

static void
remove_dir(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(registry, .init = make_dir, .fini = remove_dir);

static struct export *
open_export(struct registry *r, const char *name, uint64_t size, uint16_t flags)
{
    return export_open(r,
                       &(struct export_key){
                           .upstream = "u",
                           .address = bytes_str("127.0.0.1:10809"),
                           .name = bytes_str(name),
                           .size = size,
                           .flags = flags,
                       },
                       NOW);
}

static void
find_slow(struct export *e)
{
    cr_assert(export_probe_begins(e, false, &rules, NOW));
    export_probe_ends(e, false, &rules, &(struct zero_finding){.verdict = ZERO_SLOW, .samples = 9},
                      false, NOW);
}

static void
note_upstream(void *ctx, const struct export_description *d)
{
    snprintf(ctx, sizeof d->upstream, "%s", d->upstream);
}

// A reload may rename it; what was learnt stays.
Test(registry, the_name_of_an_upstream_is_the_latest)
{
    char name[64] = "";
    struct registry *r = registry_new(dir, 1);
    struct export_key key = {.upstream = "a",
                             .address = bytes_str("127.0.0.1:10809"),
                             .name = bytes_str("disk"),
                             .size = SIZE};
    struct export *before = export_open(r, &key, NOW);
    registry_describe(r, NOW, note_upstream, name);
    cr_assert_str_eq(name, "a");
    key.upstream = "b";
    struct export *after = export_open(r, &key, NOW);
    cr_assert_eq(before, after);
    registry_describe(r, NOW, note_upstream, name);
    cr_assert_str_eq(name, "b");
    export_close(before, false);
    export_close(after, false);
    registry_free(r);
}

Test(registry, connections_share_verdicts)
{
    struct registry *r = registry_new(dir, 2);
    struct export *a = open_export(r, "disk", SIZE, 0x100),
                  *b = open_export(r, "disk", SIZE, 0x100);
    struct export *c = open_export(r, "other", SIZE, 0x100);
    cr_assert_eq(a, b);
    cr_assert_neq(a, c);
    cr_assert_eq(export_judge(b, false, &rules, SIZE, NOW), ZERO_PROBE);
    find_slow(a);
    cr_assert_eq(export_judge(b, false, &rules, SIZE, NOW), ZERO_REFUSE);
    cr_assert_eq(export_judge(b, true, &rules, SIZE, NOW), ZERO_PROBE, "NO_HOLE is another class");
    cr_assert_eq(export_judge(c, false, &rules, SIZE, NOW), ZERO_PROBE);
    export_close(a, false);
    export_close(b, false);
    a = open_export(r, "disk", SIZE, 0x100);
    cr_assert_eq(export_judge(a, false, &rules, SIZE, NOW), ZERO_REFUSE,
                 "kept while nobody is there");
    export_close(a, false);
    export_close(c, false);
    registry_free(r);
}

// Checklist 114 and "Believing": another size, other flags, or everybody dropped: unknown.
Test(registry, a_changed_export_is_unknown)
{
    struct registry *r = registry_new(dir, 1);
    struct export *e = open_export(r, "disk", SIZE, 0x100);
    find_slow(e);
    export_close(e, true);
    e = open_export(r, "disk", SIZE, 0x100);
    cr_assert_eq(export_judge(e, false, &rules, SIZE, NOW), ZERO_PROBE,
                 "upstream dropped everybody");
    find_slow(e);
    export_close(e, false);
    e = open_export(r, "disk", 2 * SIZE, 0x100);
    cr_assert_eq(export_judge(e, false, &rules, SIZE, NOW), ZERO_PROBE, "the size changed");
    export_close(e, false);
    registry_free(r);
}

Test(registry, a_probe_needs_the_export_for_itself)
{
    struct registry *r = registry_new(dir, 1);
    struct export *a = open_export(r, "disk", SIZE, 0);
    cr_assert(export_probe_begins(a, false, &rules, NOW));
    cr_assert_not(export_probe_begins(a, false, &rules, NOW), "one at a time");
    cr_assert_eq(export_judge(a, false, &rules, SIZE, NOW), ZERO_REFUSE,
                 "its class is being probed");
    export_probe_ends(a, false, &rules, &(struct zero_finding){0}, false, NOW);
    struct export *b = open_export(r, "disk", SIZE, 0);
    cr_assert_not(export_probe_begins(a, false, &rules, NOW), "two connections, no CAN_MULTI_CONN");
    export_close(b, false);
    cr_assert(export_probe_begins(a, false, &rules, NOW));
    export_probe_ends(a, false, &rules, &(struct zero_finding){0}, true, NOW);
    cr_assert_not(export_probe_begins(a, false, &rules, NOW), "it ran out of space");
    export_close(a, false);
    registry_free(r);
}

// Whoever comes in mid-probe, stays or goes again, by this name or by another of the same storage.
Test(registry, a_probe_goes_on_while_nobody_comes)
{
    static const char *const names[] = {"disk", ""};
    for (unsigned i = 0; i < 2; i++) {
        struct registry *r = registry_new(dir, 1);
        struct export *a = open_export(r, "disk", SIZE, 0);
        struct export *other = open_export(r, "other", 2 * SIZE, 0);
        cr_assert(export_probe_begins(a, false, &rules, NOW));
        cr_assert(export_probe_may_go_on(a));
        export_close(other, false);
        other = open_export(r, "other", 2 * SIZE, 0);
        cr_assert(export_probe_may_go_on(a), "another storage");
        struct export *b = open_export(r, names[i], SIZE, 0);
        cr_assert_not(export_probe_may_go_on(a));
        export_close(b, false);
        cr_assert_not(export_probe_may_go_on(a), "what it wrote may be in no cache of ours");
        export_probe_ends(a, false, &rules, &(struct zero_finding){0}, false, NOW);
        cr_assert(export_probe_begins(a, false, &rules, NOW));
        cr_assert(export_probe_may_go_on(a), "that was before");
        export_probe_ends(a, false, &rules, &(struct zero_finding){0}, false, NOW);
        b = open_export(r, names[i], SIZE, 0);
        cr_assert_not(export_probe_begins(a, false, &rules, NOW), "\"%s\" is open", names[i]);
        export_close(b, false);
        export_close(other, false);
        export_close(a, false);
        registry_free(r);
    }
}

// Of the other class, say, over another connection.
Test(registry, who_is_refused_does_not_narrow_the_lock_of_a_probe)
{
    struct registry *r = registry_new(dir, 1), *other = registry_new(dir, 1);
    struct export *a = open_export(r, "disk", SIZE, 0x100);
    struct export *b = open_export(r, "disk", SIZE, 0x100);
    cr_assert(export_probe_begins(a, false, &rules, NOW));
    cr_assert_not(export_probe_begins(b, true, &rules, NOW));
    struct export *elsewhere = open_export(other, "disk", SIZE, 0x100);
    cr_assert_not(export_may_serve(elsewhere), "the probe goes on");
    export_probe_ends(a, false, &rules, &(struct zero_finding){0}, false, NOW);
    cr_assert(export_may_serve(elsewhere));
    export_close(elsewhere, false);
    export_close(b, false);
    export_close(a, false);
    registry_free(other);
    registry_free(r);
}

// The upstream of a probe broke: for a moment it may still write what it was sent.
Test(registry, a_lingering_probe_keeps_everybody_away)
{
    struct registry *r = registry_new(dir, 1), *other = registry_new(dir, 1);
    struct export *a = open_export(r, "disk", SIZE, 0);
    cr_assert(export_probe_begins(a, false, &rules, NOW));
    struct export *b = open_export(other, "disk", SIZE, 0);
    cr_assert_not(export_may_serve(b));
    export_probe_lingers(a);
    export_probe_ends(a, false, &rules, &(struct zero_finding){0}, false, NOW);
    export_close(a, true);
    cr_assert_not(export_may_serve(b), "its connection is closed, what it sent may be under way");
    a = open_export(r, "disk", SIZE, 0);
    cr_assert(export_may_serve(a), "the guard keeps this process's own clients away");
    cr_assert_not(export_probe_begins(a, false, &rules, NOW));
    export_close(a, false);
    cr_assert_not(export_may_serve(b));
    export_probe_lingered(a);
    cr_assert(export_may_serve(b));
    a = open_export(r, "disk", SIZE, 0);
    cr_assert_not(export_probe_begins(a, false, &rules, NOW), "it is served elsewhere");
    export_close(b, false);
    cr_assert(export_probe_begins(a, false, &rules, NOW));
    export_probe_ends(a, false, &rules, &(struct zero_finding){0}, false, NOW);
    export_close(a, false);
    registry_free(other);
    registry_free(r);
}

// An order that is not saved yet outlives many that are idle for less time.
Test(registry, what_was_taken_back_is_saved_first)
{
    struct registry *r = registry_new(dir, 1);
    struct export *a = open_export(r, "disk", SIZE, 0);
    registry_order(r, bytes_str("127.0.0.1:10809"), bytes_str("disk"), EXPORT_PIN_FAST, NOW);
    registry_order(r, bytes_str("127.0.0.1:10809"), bytes_str("disk"), EXPORT_UNPIN, NOW);
    uint64_t serial = export_serial(a);
    export_close(a, false);
    for (unsigned i = 0; i < 200; i++) {
        char name[16];
        snprintf(name, sizeof name, "d%u", i);
        export_close(open_export(r, name, SIZE, 0), false);
    }
    a = open_export(r, "disk", SIZE, 0);
    cr_assert_eq(export_serial(a), serial);
    export_close(a, false);
    registry_free(r);
}

Test(registry, with_multi_conn_others_may_come)
{
    struct registry *r = registry_new(dir, 1);
    struct export *a = open_export(r, "disk", SIZE, 0x100);
    cr_assert(export_probe_begins(a, false, &rules, NOW));
    struct export *b = open_export(r, "disk", SIZE, 0x100);
    cr_assert(export_probe_may_go_on(a));
    export_probe_ends(a, false, &rules, &(struct zero_finding){0}, false, NOW);
    export_close(b, false);
    export_close(a, false);
    registry_free(r);
}

Test(registry, without_a_state_dir_nothing_is_probed)
{
    struct registry *r = registry_new("", 1);
    struct export *e = open_export(r, "disk", SIZE, 0);
    cr_assert(export_may_serve(e));
    cr_assert_not(export_probe_begins(e, false, &rules, NOW));
    export_close(e, false);
    registry_free(r);
}

// Scenario 20: another process on the same state-dir.
Test(registry, processes_keep_out_of_each_others_way)
{
    struct registry *r = registry_new(dir, 1);
    struct export_lock other = lock_open(dir, bytes_str("127.0.0.1:10809"), bytes_str("disk"));
    cr_assert_geq(other.fd, 0);
    cr_assert(
        lock_shared(&other)); // an open file description of its own: as good as another process
    struct export *e = open_export(r, "disk", SIZE, 0);
    cr_assert(export_may_serve(e));
    cr_assert_not(export_probe_begins(e, false, &rules, NOW), "somebody else serves it");
    lock_close(&other);
    cr_assert(export_probe_begins(e, false, &rules, NOW));

    other = lock_open(dir, bytes_str("127.0.0.1:10809"), bytes_str("disk"));
    cr_assert_not(lock_shared(&other), "nobody begins to serve while it is probed");
    export_probe_ends(e, false, &rules, &(struct zero_finding){0}, false, NOW);
    cr_assert(lock_shared(&other));
    export_close(e, false);

    cr_assert(lock_alone(&other));
    e = open_export(r, "disk", SIZE, 0);
    cr_assert_not(export_may_serve(e), "the other one probes");
    cr_assert(lock_shared(&other));
    cr_assert(export_may_serve(e));
    lock_close(&other);
    export_close(e, false);
    registry_free(r);
}

// A server that answers to any name must not make us grow.
Test(registry, forgets_the_longest_unused)
{
    struct registry *r = registry_new(dir, 1);
    struct export *first = open_export(r, "disk", SIZE, 0);
    find_slow(first);
    export_close(first, false);
    for (unsigned i = 0; i < 200; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%u", i);
        export_close(open_export(r, name, SIZE, 0), false);
    }
    first = open_export(r, "disk", SIZE, 0);
    cr_assert_eq(export_judge(first, false, &rules, SIZE, NOW), ZERO_PROBE);
    export_close(first, false);
    registry_free(r);
}

static void
find_fast(struct export *e)
{
    static const struct zero_finding fast = {
        .verdict = ZERO_FAST,
        .has_model = true,
        .model = {.write = {1e5, 4}, .zero = {1e5, 0}, .ratio = 0},
        .samples = 9,
    };
    for (int i = 0; i < 2; i++) {
        cr_assert(export_scratch_begins(e, false, &rules));
        cr_expect_not(export_scratch_begins(e, true, &rules), "one at a time");
        export_probe_ends(e, false, &rules, &fast, false, NOW);
    }
}

#define WZ (1u << 6)

Test(registry, scratch_exports_lend_to_the_others)
{
    struct registry *r = registry_new("", 1);
    struct export *scratch = open_export(r, "scratch", SIZE, WZ),
                  *a = open_export(r, "a", SIZE, WZ), *b = open_export(r, "b", SIZE, WZ),
                  *odd = open_export(r, "odd", SIZE, 0);
    struct bytes name = bytes_str("b");
    find_fast(scratch);
    cr_expect_eq(export_judge(a, false, &rules, SIZE, NOW), ZERO_PROBE);
    export_lend(scratch, &name);
    cr_expect_eq(export_judge(a, false, &rules, SIZE, NOW), ZERO_PROBE);
    cr_expect_eq(export_judge(b, false, &rules, SIZE, NOW), ZERO_FORWARD);
    cr_expect_eq(export_judge(b, true, &rules, SIZE, NOW), ZERO_PROBE, "the other class");
    export_lend(scratch, NULL);
    cr_expect_eq(export_judge(a, false, &rules, SIZE, NOW), ZERO_FORWARD);
    cr_expect_eq(export_judge(odd, false, &rules, SIZE, NOW), ZERO_PROBE, "of other flags");
    struct export *late = open_export(r, "late", 2 * SIZE, WZ);
    export_borrow(late, bytes_str("nobody"));
    cr_expect_eq(export_judge(late, false, &rules, SIZE, NOW), ZERO_PROBE);
    export_borrow(late, bytes_str("scratch"));
    cr_expect_eq(export_judge(late, false, &rules, SIZE, NOW), ZERO_FORWARD);
    struct export *all[] = {scratch, a, b, odd, late};
    for (unsigned i = 0; i < 5; i++)
        export_close(all[i], false);
    registry_free(r);
}

Test(registry, what_is_known_is_told_while_a_scratch_area_is_measured)
{
    struct registry *r = registry_new(dir, 1);
    struct export *e = open_export(r, "disk", SIZE, WZ);
    find_fast(e);
    cr_assert(export_scratch_begins(e, false, &rules));
    cr_expect_eq(export_judge(e, false, &rules, SIZE, NOW), ZERO_FORWARD);
    cr_expect_not(export_probe_begins(e, true, &rules, NOW), "one probe at a time");
    export_probe_ends(e, false, &rules, &(struct zero_finding){0}, false, NOW);
    cr_assert(export_probe_begins(e, false, &rules, NOW));
    cr_expect_eq(export_judge(e, false, &rules, SIZE, NOW), ZERO_REFUSE, "inside a request");
    export_probe_ends(e, false, &rules, &(struct zero_finding){0}, false, NOW);
    cr_expect_eq(export_judge(e, false, &rules, SIZE, NOW), ZERO_FORWARD);
    export_close(e, false);
    registry_free(r);
}

Test(registry, the_format_of_a_connection_is_no_other_storage)
{
    uint16_t df = 1u << 7; // NBD_FLAG_SEND_DF
    struct registry *r = registry_new(dir, 1);
    struct export *e = open_export(r, "disk", SIZE, WZ | df);
    find_slow(e);
    cr_assert_eq(open_export(r, "disk", SIZE, WZ), e);
    cr_expect_eq(export_judge(e, false, &rules, SIZE, NOW), ZERO_REFUSE);
    cr_assert_eq(open_export(r, "disk", SIZE, WZ | 1u << 5), e);
    cr_expect_eq(export_judge(e, false, &rules, SIZE, NOW), ZERO_PROBE, "but TRIM is");
    for (int i = 0; i < 3; i++)
        export_close(e, false);
    registry_free(r);
}

Test(registry, when_a_scratch_area_is_due)
{
    struct registry *r = registry_new("", 1);
    struct bytes address = bytes_str("127.0.0.1:10809"), name = bytes_str("disk");
    struct scratch_outlook o = registry_scratch_outlook(r, address, name, NOW);
    cr_expect(o.due == NOW && !o.in_use && o.use == 0, "of what nobody has opened");
    struct export *e = open_export(r, "disk", SIZE, WZ);
    find_fast(e);
    o = registry_scratch_outlook(r, address, name, NOW);
    cr_expect(o.due == NOW && o.in_use, "NO_HOLE is not known");
    cr_assert(export_scratch_begins(e, true, &rules));
    export_probe_ends(e, true, &rules, &(struct zero_finding){.verdict = ZERO_SLOW}, false, NOW);
    o = registry_scratch_outlook(r, address, name, NOW);
    cr_expect_eq(o.due, NOW + NS_PER_MIN);
    export_close(e, false);
    uint64_t use = registry_scratch_outlook(r, address, name, NOW).use;
    cr_expect_not(registry_scratch_outlook(r, address, name, NOW).in_use);
    struct export *other = open_export(r, "other", SIZE, WZ);
    cr_expect_neq(registry_scratch_outlook(r, address, name, NOW).use, use, "the server is used");
    export_close(other, false);
    registry_free(r);
}
