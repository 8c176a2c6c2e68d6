// SPDX-License-Identifier: BSD-3-Clause
// The small parts: model, permits, guards.
#include <criterion/criterion.h>
#include <zero/class.h>
#include <zero/guard.h>
#include <zero/permit.h>

#define MIB (UINT64_C(1) << 20)

Test(model, pieces_count)
{
    struct zero_model m = {.write = {.a = 10, .b = 2}, .zero = {.a = 100, .b = 1}};
    cr_expect_float_eq(zero_model_write_time(&m, 50), 110, 1e-9);
    cr_expect_float_eq(zero_model_zero_time(&m, 50, 0), 150, 1e-9);
    cr_expect_float_eq(zero_model_zero_time(&m, 50, 50), 150, 1e-9);
    cr_expect_float_eq(zero_model_zero_time(&m, 50, 25), 250, 1e-9);
    cr_expect_float_eq(zero_model_zero_time(&m, 51, 25), 351, 1e-9);
    cr_expect_float_eq(zero_model_zero_time(&m, UINT64_MAX, UINT64_MAX), 100.0 + 0x1p64, 1e6);
}

Test(model, fast_needs_both)
{
    struct zero_rules r = {.ratio = 0.30, .max_zero = 32u << 20};
    struct zero_model m = {.write = {.a = 0, .b = 1}, .zero = {.a = 0, .b = 0.29}, .ratio = 0.29};
    cr_expect(zero_model_fast(&m, &r, MIB));
    m.ratio = 0.30;
    cr_expect(!zero_model_fast(&m, &r, MIB), "the slopes say no");
    m = (struct zero_model){.write = {.a = 0, .b = 1}, .zero = {.a = 60e6, .b = 0}, .ratio = 0};
    cr_expect(!zero_model_fast(&m, &r, 16 * MIB), "60 ms against 16");
    cr_expect(!zero_model_fast(&m, &r, 1024 * MIB), "so is each piece of 32 MiB");
    r.max_zero = 128u << 20;
    cr_expect(zero_model_fast(&m, &r, 1024 * MIB), "60 ms against 134");
}

Test(permit, one_an_address_two_a_process)
{
    struct permits p = {0};
    cr_expect(permit_take(&p, 7, 32 * MIB));
    cr_expect(!permit_take(&p, 7, 32 * MIB));
    cr_expect(permit_take(&p, 8, MIB));
    cr_expect(!permit_take(&p, 9, MIB));
    permit_return(&p, 7);
    cr_expect(!permit_take(&p, 8, MIB), "still out");
    cr_expect(permit_take(&p, 9, MIB));
    permit_return(&p, 1234);
    cr_expect(!permit_take(&p, 10, MIB), "returning what nobody took frees nothing");
    permit_return(&p, 8);
    permit_return(&p, 9);
    cr_expect(p.bytes[0] == 0 && p.bytes[1] == 0);
    cr_expect(permit_take(&p, 7, MIB) && permit_take(&p, 8, MIB));
}

Test(guard, holds_back_what_overlaps)
{
    struct storage one = {.address = 1, .name = 1, .size = 1}, two = {.address = 2, .name = 1};
    struct guards g = {0};
    struct range r = {.offset = 100, .length = 10};
    guards_add(&g, &(struct guard){.storage = one, .probe = 1, .range = r});
    cr_expect_null(guards_find(&g, one, (struct range){90, 10}, 0, true));
    cr_expect_not_null(guards_find(&g, one, (struct range){90, 11}, 0, true));
    cr_expect_not_null(guards_find(&g, one, (struct range){109, 1}, 0, true));
    cr_expect_null(guards_find(&g, one, (struct range){110, 5}, 0, true));
    cr_expect_null(guards_find(&g, two, r, 0, true), "another storage");
    cr_expect_null(guards_find(&g, one, r, 1, true), "the probe's own");
    cr_expect_not_null(guards_find(&g, one, r, 2, true));
}

Test(guard, reads_pass_where_only_writes_wait)
{
    struct storage one = {.address = 1, .name = 1, .size = 1};
    struct guards g = {0};
    struct range r = {.offset = 100, .length = 10};
    guards_add(&g, &(struct guard){.storage = one, .probe = 1, .range = r, .reads_pass = true});
    cr_expect_null(guards_find(&g, one, r, 0, false));
    cr_expect_not_null(guards_find(&g, one, r, 0, true));
    guards_add(&g, &(struct guard){.storage = one, .probe = 2, .range = r});
    cr_expect_not_null(guards_find(&g, one, r, 0, false));
}

Test(guard, one_chunk_a_probe)
{
    struct storage one = {.address = 1, .name = 1, .size = 1}, two = {.address = 2, .name = 1};
    struct guards g = {0};
    struct range r = {.offset = 0, .length = 10}, next = {.offset = 10, .length = 10};
    guards_add(&g, &(struct guard){.storage = one, .probe = 1, .range = r});
    guards_add(&g, &(struct guard){.storage = two, .probe = 2, .range = r});
    guards_add(&g, &(struct guard){.storage = one, .probe = 1, .range = next});
    cr_expect_eq(g.n, 2);
    cr_expect_null(guards_find(&g, one, r, 0, true));
    cr_expect_not_null(guards_find(&g, one, next, 0, true));
    cr_expect(guards_remove(&g, 1));
    cr_expect(!guards_remove(&g, 1));
    cr_expect_not_null(guards_find(&g, two, r, 0, true));
    cr_expect(guards_remove(&g, 2));
    cr_expect_eq(g.n, 0);
}

Test(guard, storage_is_one_where_it_may_be)
{
    struct storage disk = {.address = 1, .name = 2, .size = 3};
    cr_expect(storage_may_be_shared(disk, disk));
    cr_expect(storage_may_be_shared(disk, (struct storage){1, 2, 4}), "it has grown");
    cr_expect(storage_may_be_shared(disk, (struct storage){1, 5, 3}), "another name of it");
    cr_expect_not(storage_may_be_shared(disk, (struct storage){1, 5, 4}));
    cr_expect_not(storage_may_be_shared(disk, (struct storage){2, 2, 3}));
}
