// SPDX-License-Identifier: BSD-3-Clause
// The server to be measured, from its URI.
#ifndef PROBE_TARGET_H
#define PROBE_TARGET_H

#include <io/tls.h>
#include <session/settings.h>

#define TARGET_ERROR (TLS_TEXT + 200)

struct target {
    struct upstream_settings settings;
    struct upstream_counters counters; // of them
};

enum target_error {
    TARGET_FINE,
    TARGET_MISUSED,  // the URI is wrong
    TARGET_UNUSABLE, // a file that it names is
};

// err: one line.
enum target_error target_begin(struct target *t, const char *uri, char *err, size_t errlen);
void target_end(struct target *t);

#endif
