// SPDX-License-Identifier: BSD-3-Clause
// Configurations with TLS.
#ifndef TEST_DAEMON_RIG_TLS_H
#define TEST_DAEMON_RIG_TLS_H

#include "rig.h"

// A configuration whose [listen l] has these keys from line 4 on, and one whose [upstream u] has a
// URI, the first, in line 5 and these keys behind. Good until the next call.
#define listener(...) listener_with((const char *const[]){__VA_ARGS__, NULL})
#define upstream(...) upstream_with((const char *const[]){__VA_ARGS__, NULL})
const char *listener_with(const char *const *keys);
const char *upstream_with(const char *const *uri_and_keys);

// A format with one %s, filled in; good for the next seven calls.
const char *text_of(const char *fmt, const char *value);

#endif
