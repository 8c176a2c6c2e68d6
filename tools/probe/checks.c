// SPDX-License-Identifier: BSD-3-Clause
#include "checks.h"

#include "measurable.h"

bool
checks_pass(const struct arguments *a, const struct server_facts *f, char *err, size_t errlen)
{
    if (a->mode == ASK_READ_ONLY)
        return true;
    return measurable_export(f, err, errlen) &&
           (!a->has_range || measurable_range(&a->range, f, err, errlen));
}
