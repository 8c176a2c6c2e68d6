// SPDX-License-Identifier: BSD-3-Clause
// Memory for what the configuration asks for, at start and by a reload, where there is nothing
// better to do without it than to say so and stop. Nothing that a client or an upstream can cause
// is allocated here. A process that serves must not stop for a reload: that sets memory aside
// before it begins, or does not begin.
#ifndef DAEMON_MEMORY_H
#define DAEMON_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

// Zeroed; never NULL. The caller's to free().
void *need_zeroed(size_t n, size_t size) __attribute__((malloc, returns_nonnull));
// Grows an array; what is new is not zeroed.
void *need_array(void *old, size_t n, size_t size) __attribute__((returns_nonnull));
char *need_copy(const char *text) __attribute__((malloc, returns_nonnull));
char *need_text(const char *fmt, ...)
    __attribute__((malloc, returns_nonnull, format(printf, 1, 2)));

// Bytes of this process that are in memory; 0 where the kernel does not say.
size_t memory_resident(void);
// Sets so many bytes aside: where there is no more memory these are used up first. False: they
// cannot be had. Not twice without memory_release() in between.
bool memory_reserve(size_t bytes);
void memory_release(void);

#endif
