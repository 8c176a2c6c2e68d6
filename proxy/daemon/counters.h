// SPDX-License-Identifier: BSD-3-Clause
// What sessions count for statistics, by the names of sections: whoever has the name after a reload
// counts on. None is ever freed before all of them are.
#ifndef DAEMON_COUNTERS_H
#define DAEMON_COUNTERS_H

#include <session/settings.h>

struct counters;

// With one reference. References are counted on the main thread only.
struct counters *counters_new(void);
struct counters *counters_ref(struct counters *c);
void counters_unref(struct counters *c);

// Those of that name; made, at nought, when it is new.
struct listener_counters *counters_of_listener(struct counters *c, const char *name);
struct upstream_counters *counters_of_upstream(struct counters *c, const char *name);

// 1, 2, 3, ...: for struct upstream_settings.
unsigned counters_next_reading(struct counters *c);

// Connections of all listeners, those that are gone included.
unsigned counters_active(const struct counters *c);

#endif
