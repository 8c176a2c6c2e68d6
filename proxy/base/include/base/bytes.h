// SPDX-License-Identifier: BSD-3-Clause
// Byte order and bounds: everything on the NBD wire is big-endian and untrusted.
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t
get_be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t
get_be32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return __builtin_bswap32(v);
}

static inline uint64_t
get_be64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return __builtin_bswap64(v);
}

static inline void
put_be16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static inline void
put_be32(uint8_t *p, uint32_t v)
{
    v = __builtin_bswap32(v);
    memcpy(p, &v, sizeof v);
}

static inline void
put_be64(uint8_t *p, uint64_t v)
{
    v = __builtin_bswap64(v);
    memcpy(p, &v, sizeof v);
}

// A counted string: not owned, not terminated, any bytes.
struct bytes {
    const uint8_t *p;
    size_t len;
};

static inline struct bytes
bytes_of(const void *p, size_t len)
{
    return (struct bytes){.p = p, .len = len};
}

static inline struct bytes
bytes_str(const char *s)
{
    return (struct bytes){.p = (const uint8_t *)s, .len = strlen(s)};
}

static inline bool
bytes_equal(struct bytes a, struct bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

// True if all n bytes are zero; n may be 0.
static inline bool
bytes_all_zero(const uint8_t *p, size_t n)
{
    return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

// A bounds-checked reader. A read past the end sets `bad`, yields zeroes, and stays bad: a parser
// checks once, at its end.
struct cursor {
    const uint8_t *p, *end;
    bool bad;
};

static inline struct cursor
cursor_of(const void *p, size_t len)
{
    const uint8_t *b = p;
    return (struct cursor){.p = b, .end = len ? b + len : b, .bad = false};
}

static inline size_t
cursor_left(const struct cursor *c)
{
    return (size_t)(c->end - c->p);
}

static inline struct bytes
cursor_bytes(struct cursor *c, size_t n)
{
    if (c->bad || cursor_left(c) < n) {
        c->bad = true;
        return (struct bytes){0};
    }
    struct bytes b = {.p = c->p, .len = n};
    c->p += n;
    return b;
}

static inline uint16_t
cursor_be16(struct cursor *c)
{
    struct bytes b = cursor_bytes(c, 2);
    return b.p ? get_be16(b.p) : 0;
}

static inline uint32_t
cursor_be32(struct cursor *c)
{
    struct bytes b = cursor_bytes(c, 4);
    return b.p ? get_be32(b.p) : 0;
}

static inline uint64_t
cursor_be64(struct cursor *c)
{
    struct bytes b = cursor_bytes(c, 8);
    return b.p ? get_be64(b.p) : 0;
}

// A bounds-checked writer into the caller's memory. What does not fit is dropped whole and sets
// `full`; the caller sizes `cap` so that it cannot happen, and asserts `!full`.
struct out {
    uint8_t *p;
    size_t len, cap;
    bool full;
};

static inline struct out
out_of(void *p, size_t cap)
{
    return (struct out){.p = p, .len = 0, .cap = cap, .full = false};
}

static inline uint8_t *
out_take(struct out *o, size_t n)
{
    if (o->full || !o->p || o->cap - o->len < n) {
        o->full = true;
        return NULL;
    }
    uint8_t *p = o->p + o->len;
    o->len += n;
    return p;
}

static inline void
out_be16(struct out *o, uint16_t v)
{
    uint8_t *p = out_take(o, 2);
    if (p)
        put_be16(p, v);
}

static inline void
out_be32(struct out *o, uint32_t v)
{
    uint8_t *p = out_take(o, 4);
    if (p)
        put_be32(p, v);
}

static inline void
out_be64(struct out *o, uint64_t v)
{
    uint8_t *p = out_take(o, 8);
    if (p)
        put_be64(p, v);
}

static inline void
out_bytes(struct out *o, struct bytes b)
{
    uint8_t *p = out_take(o, b.len);
    if (p && b.len)
        memcpy(p, b.p, b.len);
}

static inline void
out_zeroes(struct out *o, size_t n)
{
    uint8_t *p = out_take(o, n);
    if (p)
        memset(p, 0, n);
}

#endif
