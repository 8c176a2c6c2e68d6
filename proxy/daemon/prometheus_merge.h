// SPDX-License-Identifier: BSD-3-Clause
#ifndef DAEMON_PROMETHEUS_MERGE_H
#define DAEMON_PROMETHEUS_MERGE_H

#include <jansson.h>

// exports[] of a snapshot with no two of the same names; a new reference. NULL: out of memory.
json_t *prometheus_distinct_exports(const json_t *exports);

#endif
