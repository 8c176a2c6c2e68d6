// SPDX-License-Identifier: BSD-3-Clause
#include "measurable.h"

#include <inttypes.h>
#include <stdio.h>

#define MIB       (1u << 20)
#define ALIGNMENT (64u << 10) // as zero/ has it

uint32_t
measurable_alignment(const struct server_facts *f)
{
    uint32_t preferred = f->export.has_block_size ? f->export.preferred : 0;
    return preferred > ALIGNMENT && is_power_of_two(preferred) ? preferred : ALIGNMENT;
}

bool
measurable_export(const struct server_facts *f, char *err, size_t errlen)
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

bool
measurable_range(const struct range *r, const struct server_facts *f, char *err, size_t errlen)
{
    uint32_t align = measurable_alignment(f);
    uint64_t size = f->export.size, end = align_down(size, align);
    uint64_t begin = align_up(r->offset, align);
    if (range_end(*r) > size)
        snprintf(err, errlen, "the range ends at %" PRIu64 ", but the export at %" PRIu64,
                 range_end(*r), size);
    else if (r->offset % align || r->length % align)
        snprintf(err, errlen,
                 "the range must begin and end at multiples of %u%s; %" PRIu64 ":%" PRIu64
                 " would be right",
                 align % MIB ? align >> 10 : align / MIB, align % MIB ? "K" : "M", begin,
                 begin < end ? align_down(range_end(*r), align) - begin : 0);
    else if (r->length < MEASURABLE_LEAST)
        snprintf(err, errlen, "the range is too short: 4M are needed, 64M for all levels");
    else
        return true;
    return false;
}
