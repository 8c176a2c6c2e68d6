// SPDX-License-Identifier: BSD-3-Clause
// The snapshot of the daemon as tables for people.
#ifndef STAT_VIEWS_H
#define STAT_VIEWS_H

#include <jansson.h>

void view_show(const json_t *snapshot);
void view_verdicts(const json_t *snapshot);
void view_connections(const json_t *snapshot);

#endif
