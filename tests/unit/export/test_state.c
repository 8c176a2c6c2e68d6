// SPDX-License-Identifier: BSD-3-Clause
// What of an export outlives the process, and what administrators order.
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <export/registry.h>
#include <stdio.h>
#include <string.h>

#define NOW  (1000 * NS_PER_SEC)
#define SIZE (UINT64_C(64) << 20)

static const struct zero_rules rules = {
    .policy = ZERO_MEASURE, .ratio = 0.30, .probe = true, .max_zero = 32 << 20};
static const struct zero_saved slow = {.slow = true,
                                       .slow_left = NS_PER_MIN,
                                       .refuse_for = 2 * NS_PER_MIN,
                                       .has_model = true,
                                       .model = {{1e5, 1}, {1e5, 0.9}, 0.9},
                                       .samples = 9};

static struct export *
open_at(struct registry *r, const char *name, uint64_t size, nstime now)
{
    struct export_key key = {.upstream = "u",
                             .address = bytes_str("here:1"),
                             .name = bytes_str(name),
                             .size = size,
                             .flags = 3};
    return export_open(r, &key, now);
}

static struct export_state
state_of(const char *name)
{
    return (struct export_state){.address = bytes_str("here:1"),
                                 .name = bytes_str(name),
                                 .size = SIZE,
                                 .flags = 3,
                                 .known = {true, false},
                                 .classes = {slow}};
}

static struct registry *
with(const struct export_state *s, nstime ago)
{
    struct registry *r = registry_new("", 1);
    cr_assert(registry_restore(r, s, ago, NOW));
    return r;
}

static enum zero_advice
ask(struct export *e, nstime now)
{
    return export_judge(e, false, &rules, 16 << 20, now);
}

static bool
order(struct registry *r, const char *name, enum export_order what)
{
    return registry_order(r, bytes_str("here:1"), bytes_str(name), what, NOW);
}

struct seen {
    unsigned n, worth;
    uint64_t changes;
    struct export_state last;
};

static void
see(void *ctx, const struct export_state *s, bool worth)
{
    struct seen *seen = ctx;
    seen->n++;
    seen->worth += worth;
    seen->last = *s;
}

static struct seen
save(struct registry *r, uint64_t since)
{
    struct seen seen = {0};
    seen.changes = registry_save(r, since, NOW, see, &seen);
    return seen;
}

Test(state, slow_comes_back_with_its_age)
{
    struct export_state s = state_of("a");
    struct registry *r = with(&s, 20 * NS_PER_SEC);
    struct export *e = open_at(r, "a", SIZE, NOW + 10 * NS_PER_SEC);
    cr_assert(ask(e, NOW + 39 * NS_PER_SEC) == ZERO_REFUSE);
    cr_assert(ask(e, NOW + 41 * NS_PER_SEC) == ZERO_PROBE);
    export_close(e, false);
    registry_free(r);
}

Test(state, another_name_size_or_address_gets_nothing)
{
    struct export_state s = state_of("a");
    struct registry *r = with(&s, 0);
    struct export *b = open_at(r, "b", SIZE, NOW), *a = open_at(r, "a", 2 * SIZE, NOW);
    cr_assert(ask(b, NOW) == ZERO_PROBE);
    cr_assert(ask(a, NOW) == ZERO_PROBE);
    export_close(a, false);
    export_close(b, false);
    registry_free(r);
}

Test(state, only_what_has_changed_is_saved_again)
{
    struct registry *r = registry_new("", 1);
    struct export *a = open_at(r, "a", SIZE, NOW), *b = open_at(r, "b", SIZE, NOW);
    cr_assert(save(r, 0).n == 0);
    order(r, "a", EXPORT_PIN_SLOW);
    struct seen first = save(r, 0);
    cr_assert(first.n == 1 && first.worth == 1 && bytes_equal(first.last.name, bytes_str("a")));
    cr_assert(save(r, first.changes).n == 0);
    order(r, "a", EXPORT_UNPIN);
    struct seen second = save(r, first.changes);
    cr_assert(second.n == 1 && second.worth == 0);
    export_close(a, false);
    export_close(b, false);
    registry_free(r);
}

Test(state, a_pin_lasts_whatever_happens_to_the_export)
{
    struct registry *r = registry_new("", 1);
    struct export *e = open_at(r, "a", SIZE, NOW);
    cr_assert(order(r, "a", EXPORT_PIN_SLOW));
    cr_assert(export_pin(e) == ZERO_SLOW);
    export_close(e, true);
    e = open_at(r, "a", 2 * SIZE, NOW);
    cr_assert(export_pin(e) == ZERO_SLOW);
    struct export_state saved = save(r, 0).last;
    cr_assert(saved.pin == ZERO_SLOW);

    struct registry *next = with(&saved, 0);
    struct export *again = open_at(next, "a", 3 * SIZE, NOW);
    cr_assert(export_pin(again) == ZERO_SLOW);
    cr_assert(order(next, "a", EXPORT_UNPIN));
    cr_assert(export_pin(again) == ZERO_UNKNOWN);
    cr_assert(save(next, 0).worth == 0);
    export_close(again, false);
    registry_free(next);
    export_close(e, false);
    registry_free(r);
}

Test(state, an_order_is_for_one_address)
{
    struct registry *r = registry_new("", 1);
    struct export *e = open_at(r, "a", SIZE, NOW);
    struct export_key other = {
        .upstream = "v", .address = bytes_str("there:1"), .name = bytes_str("a"), .size = SIZE};
    struct export *f = export_open(r, &other, NOW);
    cr_assert(registry_order(r, other.address, other.name, EXPORT_PIN_FAST, NOW));
    cr_assert(export_pin(e) == ZERO_UNKNOWN && export_pin(f) == ZERO_FAST);
    export_close(e, false);
    export_close(f, false);
    registry_free(r);
}

Test(state, a_pin_of_what_was_never_seen_is_saved_and_taken)
{
    struct registry *r = registry_new("", 1);
    cr_assert(order(r, "a", EXPORT_PIN_SLOW));
    struct seen first = save(r, 0);
    cr_assert(first.n == 1 && first.worth == 1 && first.last.pin == ZERO_SLOW);
    cr_assert(save(r, first.changes).n == 0);
    struct export *e = open_at(r, "a", SIZE, NOW);
    cr_assert(export_pin(e) == ZERO_SLOW);
    cr_assert(save(r, first.changes).n == 0);
    cr_assert(save(r, 0).n == 1, "what is opened before it was saved is saved all the same");
    export_close(e, false);
    registry_free(r);
}

Test(state, orders_for_what_is_restored_and_not_open)
{
    struct export_state s = state_of("a");
    struct registry *r = with(&s, 20 * NS_PER_SEC);
    cr_assert(save(r, 0).n == 0, "nothing has changed");
    cr_assert(order(r, "a", EXPORT_PIN_FAST));
    struct seen pinned = save(r, 0);
    cr_assert(pinned.worth == 1 && pinned.last.pin == ZERO_FAST && pinned.last.known[0]);
    cr_assert(pinned.last.age == 20 * NS_PER_SEC, "it does not get younger by that");
    cr_assert(order(r, "a", EXPORT_FORGET));
    struct seen forgotten = save(r, pinned.changes);
    cr_assert(forgotten.worth == 1 && !forgotten.last.known[0]);
    cr_assert(order(r, "a", EXPORT_UNPIN));
    cr_assert(save(r, forgotten.changes).worth == 0);
    struct export *e = open_at(r, "a", SIZE, NOW);
    cr_assert(export_pin(e) == ZERO_UNKNOWN && ask(e, NOW) == ZERO_PROBE);
    export_close(e, false);
    registry_free(r);
}

Test(state, a_pin_outlives_any_number_of_other_exports)
{
    struct registry *r = registry_new("", 1);
    export_close(open_at(r, "a", SIZE, NOW), false);
    cr_assert(order(r, "a", EXPORT_PIN_FAST));
    for (unsigned i = 0; i < 200; i++) {
        char name[16];
        snprintf(name, sizeof name, "x%u", i);
        export_close(open_at(r, name, SIZE, NOW), false);
    }
    struct export *e = open_at(r, "a", SIZE, NOW);
    cr_assert(export_pin(e) == ZERO_FAST);
    export_close(e, false);
    registry_free(r);
}

Test(state, forget_leaves_nothing_but_the_pin)
{
    struct export_state s = state_of("a");
    struct registry *r = with(&s, 0);
    struct export *e = open_at(r, "a", SIZE, NOW);
    cr_assert(ask(e, NOW) == ZERO_REFUSE);
    order(r, "a", EXPORT_PIN_FAST);
    cr_assert(order(r, "a", EXPORT_FORGET));
    cr_assert(ask(e, NOW) == ZERO_PROBE);
    cr_assert(export_pin(e) == ZERO_FAST);
    export_close(e, false);
    registry_free(r);
}
