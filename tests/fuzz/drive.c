// SPDX-License-Identifier: BSD-3-Clause
#include "drive.h"

#include <stdio.h>

void
check_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, condition);
    abort();
}

static void
append(struct transcript *t, const void *p, size_t n)
{
    if (t->cap - t->len < n) {
        t->cap = 2 * t->cap + n + 4096;
        t->p = realloc(t->p, t->cap);
        CHECK(t->p);
    }
    if (n)
        memcpy(t->p + t->len, p, n);
    t->len += n;
}

void
transcript_number(struct transcript *t, uint64_t n)
{
    append(t, &n, sizeof n);
}

void
transcript_bytes(struct transcript *t, struct bytes b)
{
    transcript_number(t, b.len);
    append(t, b.p, b.len);
}

bool
transcript_equal(const struct transcript *a, const struct transcript *b)
{
    return bytes_equal(bytes_of(a->p, a->len), bytes_of(b->p, b->len));
}

void
transcript_free(struct transcript *t)
{
    free(t->p);
    *t = (struct transcript){0};
}

struct piece
piece_next(struct bytes in, size_t at, struct cut cut)
{
    size_t n = at == 0 ? cut.first : cut.then;
    if (n > in.len - at)
        n = in.len - at;
    struct piece piece = {.p = malloc(n ? n : 1), .len = n};
    CHECK(piece.p);
    memcpy(piece.p, in.p + at, n);
    return piece;
}
