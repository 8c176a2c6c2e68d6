// SPDX-License-Identifier: BSD-3-Clause
// Can zeroing be measured in this export, and in this range of it?
#ifndef SESSION_MEASURABLE_H
#define SESSION_MEASURABLE_H

#include "greeting.h"

#include <base/range.h>

// The 4 MiB level decides; below it nothing can.
#define MEASURABLE_LEAST (UINT64_C(4) << 20)

// Chunks begin and end at multiples of this.
uint32_t measurable_alignment(const struct server_facts *f);
// False: err is one line.
bool measurable_export(const struct server_facts *f, char *err, size_t errlen);
bool measurable_range(const struct range *r, const struct server_facts *f, char *err,
                      size_t errlen);

#endif
