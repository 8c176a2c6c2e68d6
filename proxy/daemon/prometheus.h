// SPDX-License-Identifier: BSD-3-Clause
// The snapshot as Prometheus reads it: text exposition format 0.0.4. Pure; a library of its own,
// for nbdzero-stat renders the same.
#ifndef DAEMON_PROMETHEUS_H
#define DAEMON_PROMETHEUS_H

#include <jansson.h>
#include <stddef.h>

#define PROMETHEUS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

// To be freed by the caller, `*len` bytes and a NUL; NULL: out of memory. What the snapshot does
// not have (it may come from an older daemon) is left out.
char *prometheus_text(const json_t *snapshot, size_t *len);

#endif
