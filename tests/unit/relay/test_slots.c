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

// What is answered is what the client has asked, whatever went upstream for it.
Test(slots, remember_the_request_as_the_client_sent_it)
{
    struct slot_table *t = slot_table_new();
    int owner;
    struct slot *s = slot_table_claim(t, &owner);
    struct request up = {.type = NBD_CMD_BLOCK_STATUS, .offset = 4096, .length = 0xffff0000};
    chunk_track_begin(&s->track, FORMAT_STRUCTURED, &up);
    s->client_cookie = 7;
    s->client_flags = NBD_CMD_FLAG_FUA;
    s->client_length = UINT64_C(1) << 40;
    struct request r = slot_request(s);
    cr_assert_eq(r.type, NBD_CMD_BLOCK_STATUS);
    cr_assert_eq(r.flags, NBD_CMD_FLAG_FUA);
    cr_assert_eq(r.cookie, 7);
    cr_assert_eq(r.offset, 4096);
    cr_assert_eq(r.length, UINT64_C(1) << 40);
    cr_assert_eq(slot_range(s).length, 0xffff0000);
    slot_table_free(t);
}

Test(slots, begin_clean)
{
    struct slot_table *t = slot_table_new();
    int owner;
    struct slot *s = slot_table_claim(t, &owner);
    s->fua = s->native_fast = true;
    s->error = 5;
    slot_table_release(t, s);
    s = slot_table_claim(t, &owner);
    cr_assert(!s->fua && !s->native_fast && !s->error && !s->task);
    slot_table_free(t);
}
