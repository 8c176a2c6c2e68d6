// SPDX-License-Identifier: BSD-3-Clause
#include <criterion/criterion.h>
#include <relay/slots.h>

// Checklist 139: a cookie finds its request once, and for its owner only.
Test(slots, a_cookie_is_good_once_and_for_its_owner)
{
    struct slot_table *t = slot_table_new();
    int mine, other;
    struct slot *s = slot_table_claim(t, &mine);
    uint64_t cookie = slot_cookie(s);
    cr_assert_eq(slot_table_find(t, cookie, &mine), s);
    cr_assert_null(slot_table_find(t, cookie, &other));
    slot_table_release(t, s);
    cr_assert_null(slot_table_find(t, cookie, &mine));
    struct slot *again = slot_table_claim(t, &mine);
    cr_assert_eq(again, s, "the slot is used again");
    cr_assert_null(slot_table_find(t, cookie, &mine), "its old cookie is not");
    cr_assert_eq(slot_table_find(t, slot_cookie(again), &mine), again);
    slot_table_free(t);
}

Test(slots, cookies_out_of_nowhere_find_nothing)
{
    struct slot_table *t = slot_table_new();
    int owner;
    cr_assert_null(slot_table_find(t, 0, &owner));
    cr_assert_null(slot_table_find(t, UINT64_MAX, &owner));
    slot_table_claim(t, &owner);
    cr_assert_null(slot_table_find(t, 0, &owner), "generation 0 is never given out");
    cr_assert_null(slot_table_find(t, UINT64_C(1) << 32 | 300, &owner));
    slot_table_free(t);
}

Test(slots, many_stay_distinct)
{
    enum { N = 3000 };
    struct slot_table *t = slot_table_new();
    static struct slot *s[N];
    int owner;
    for (unsigned i = 0; i < N; i++) {
        s[i] = slot_table_claim(t, &owner);
        s[i]->client_cookie = i;
    }
    for (unsigned i = 0; i < N; i++)
        cr_assert_eq(slot_table_find(t, slot_cookie(s[i]), &owner)->client_cookie, i);
    slot_table_free(t);
}
