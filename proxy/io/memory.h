// SPDX-License-Identifier: BSD-3-Clause
// Telling AddressSanitizer whose a buffer is: it cannot see the kernel write, but it can see us
// touch what is nobody's.
#ifndef IO_MEMORY_H
#define IO_MEMORY_H

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define IO_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define IO_ASAN 1
#endif

#ifdef IO_ASAN
#include <sanitizer/asan_interface.h>
#define memory_is_nobodys(p, n) __asan_poison_memory_region(p, n)
#define memory_is_ours(p, n)    __asan_unpoison_memory_region(p, n)
#else
#define memory_is_nobodys(p, n) ((void)(p), (void)(n))
#define memory_is_ours(p, n)    ((void)(p), (void)(n))
#endif

#endif
