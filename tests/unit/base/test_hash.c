// SPDX-License-Identifier: BSD-3-Clause
// The vectors are those of the authors (Fowler, Noll, Vo: test_fnv.c, fnv1a_64).
#include <base/hash.h>
#include <criterion/criterion.h>

static uint64_t
hash_of(const char *text)
{
    return hash_bytes(HASH_BEGIN, bytes_str(text));
}

Test(hash, known_vectors)
{
    cr_expect_eq(hash_of(""), UINT64_C(0xcbf29ce484222325));
    cr_expect_eq(hash_of("a"), UINT64_C(0xaf63dc4c8601ec8c));
    cr_expect_eq(hash_of("b"), UINT64_C(0xaf63df4c8601f1a5));
    cr_expect_eq(hash_of("fo"), UINT64_C(0x08985907b541d342));
    cr_expect_eq(hash_of("foobar"), UINT64_C(0x85944171f73967e8));
}

Test(hash, in_parts_as_at_once)
{
    uint64_t h = hash_bytes(HASH_BEGIN, bytes_str("foo"));
    cr_expect_eq(hash_bytes(h, bytes_str("bar")), hash_of("foobar"));
    cr_expect_eq(hash_byte(hash_of("fo"), 'o'), hash_of("foo"));
}
