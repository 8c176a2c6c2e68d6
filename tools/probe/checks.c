// SPDX-License-Identifier: BSD-3-Clause
#include "checks.h"

#include <inttypes.h>
#include <stdio.h>
#include <units.h>

#define ALIGNMENT (64u << 10) // as zero/ has it

uint32_t
checks_alignment(const struct server_facts *f)
{
    uint32_t preferred = f->export.has_block_size ? f->export.preferred : 0;
    return preferred > ALIGNMENT && is_power_of_two(preferred) ? preferred : ALIGNMENT;
}

static bool
server_can(const struct server_facts *f, char *err, size_t errlen)
{
    uint16_t flags = f->export.flags;
    const char *why = NULL;
    if (flags & NBD_FLAG_READ_ONLY)
        why = "the export is read-only: nothing can be measured";
    else if (!(flags & NBD_FLAG_SEND_WRITE_ZEROES))
        why = "the server has no WRITE_ZEROES: there is nothing to measure";
    else if (!(flags & NBD_FLAG_SEND_FLUSH))
        why =
            "the server has no FLUSH: what its zeroes cost later cannot be seen, nor can anything "
            "be restored durably";
    if (why)
        snprintf(err, errlen, "%s", why);
    return !why;
}

static bool
range_fits(const struct range *r, const struct server_facts *f, char *err, size_t errlen)
{
    uint32_t align = checks_alignment(f);
    uint64_t size = f->export.size, end = align_down(size, align);
    bool outside = range_end(*r) > size;
    if (outside)
        snprintf(err, errlen, "the range ends at %" PRIu64 ", but the export at %" PRIu64,
                 range_end(*r), size);
    else if (r->offset % align || r->length % align)
        snprintf(err, errlen,
                 "the range must begin and end at multiples of %s; %" PRIu64 ":%" PRIu64
                 " would be right",
                 units_size(align).s, align_up(r->offset, align),
                 align_up(r->offset, align) < end
                     ? align_down(range_end(*r), align) - align_up(r->offset, align)
                     : 0);
    else if (r->length < CHECKS_LEAST)
        snprintf(err, errlen, "the range is too short: %s are needed, 64M for all levels",
                 units_size(CHECKS_LEAST).s);
    else
        return true;
    return false;
}

bool
checks_pass(const struct arguments *a, const struct server_facts *f, char *err, size_t errlen)
{
    if (a->mode == ASK_READ_ONLY)
        return true;
    return server_can(f, err, errlen) && (!a->has_range || range_fits(&a->range, f, err, errlen));
}
