// SPDX-License-Identifier: BSD-3-Clause
#include "parts.h"

#include <zero/native.h>

#define LIE         0.55 // a fast zero does not cost this share of writing; one may by accident,
#define LIES        3u  // so many in a row do not, unless the machine is busy for a while, and then
#define LOOK_BACK   16u // most of the last ones were cheap
#define REFUSE_MOST (30 * NS_PER_MIN)

void
zero_native_begin(struct zero_native *n)
{
    *n = (struct zero_native){.refuse_for = NS_PER_MIN};
}

bool
zero_native_refuses(const struct zero_native *n, nstime now)
{
    return now < n->until;
}

static void
remember(struct zero_native *n, bool costly)
{
    n->history = (n->history << 1 | costly) & ((1u << LOOK_BACK) - 1);
    n->known += n->known < LOOK_BACK;
    n->costly = costly ? n->costly + 1 : 0;
}

bool
zero_native_succeeded(struct zero_native *n, double took, double write, nstime now)
{
    remember(n, took > LIE * write);
    if (n->costly < LIES || 2 * (unsigned)__builtin_popcount(n->history) <= n->known)
        return false;
    n->costly = 0;
    n->since = now;
    n->ratio = took / write;
    n->until = now + class_double(&n->refuse_for, REFUSE_MOST);
    return true;
}

struct zero_row
zero_native_row(const struct zero_native *n)
{
    return (struct zero_row){
        .bytes_from = 1,
        .bytes_to = UINT64_MAX,
        .verdict = ZERO_SLOW,
        .source = ZERO_FROM_UPSTREAM,
        .since = n->since,
        .ratio = n->ratio,
        .samples = LIES,
    };
}
