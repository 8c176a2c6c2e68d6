// SPDX-License-Identifier: BSD-3-Clause
#include "upstream_items.h"

#include <base/range.h>

static bool
is_string(struct bytes s)
{
    return s.len <= MAX_STRING && !(s.len && memchr(s.p, 0, s.len));
}

// Descriptions are for people, so a terminator that a server sends along is no reason to drop it;
// but the protocol forbids us to pass it on.
static struct bytes
without_nul(struct bytes s)
{
    const uint8_t *nul = s.len ? memchr(s.p, 0, s.len) : NULL;
    return nul ? bytes_of(s.p, (size_t)(nul - s.p)) : s;
}

static const char *
parse_server(struct upstream_item *item, struct cursor *c)
{
    item->name = cursor_bytes(c, cursor_be32(c));
    item->description = without_nul(bytes_of(c->p, cursor_left(c)));
    if (c->bad)
        return "name of an export longer than its entry";
    if (!is_string(item->name))
        return "name of an export longer than 4096 bytes or with NUL";
    return is_string(item->description) ? NULL : "description longer than 4096 bytes";
}

static const char *
parse_context(struct upstream_item *item, struct cursor *c)
{
    item->context = cursor_be32(c);
    item->name = bytes_of(c->p, cursor_left(c));
    if (c->bad)
        return "META_CONTEXT too short";
    return is_string(item->name) ? NULL : "name of a context longer than 4096 bytes or with NUL";
}

const char *
export_set(struct upstream_export *e, uint64_t size, uint16_t flags)
{
    if (size > MAX_EXPORT_SIZE)
        return "export larger than 2^63 - 1 bytes";
    if (e->known && (e->size != size || e->flags != flags))
        return "two different INFO_EXPORT";
    e->known = true;
    e->size = size;
    e->flags = flags;
    return NULL;
}

static const char *
parse_export(struct upstream_export *e, struct bytes payload)
{
    if (payload.len != 10)
        return "INFO_EXPORT of impossible length";
    return export_set(e, get_be64(payload.p), get_be16(payload.p + 8));
}

// spec: "Size constraints". That `preferred` be 512 at least is left alone: nothing depends on it.
static const char *
parse_block_size(struct upstream_export *e, struct bytes payload)
{
    if (payload.len != 12)
        return "INFO_BLOCK_SIZE of impossible length";
    uint32_t minimum = get_be32(payload.p);
    uint32_t preferred = get_be32(payload.p + 4);
    uint32_t maximum = get_be32(payload.p + 8);
    if (!is_power_of_two(minimum) || minimum > 65536)
        return "minimum block size that is no power of two up to 65536";
    if (!is_power_of_two(preferred) || preferred < minimum)
        return "preferred block size that is no power of two from the minimum up";
    if (maximum < preferred)
        return "maximum payload smaller than the preferred block size";
    if (e->has_block_size &&
        (e->minimum != minimum || e->preferred != preferred || e->maximum != maximum))
        return "two different INFO_BLOCK_SIZE";
    e->has_block_size = true;
    e->minimum = minimum;
    e->preferred = preferred;
    e->maximum = maximum;
    return NULL;
}

static const char *
parse_info(struct upstream_item *item, struct upstream_export *export, struct cursor *c)
{
    item->info = cursor_be16(c);
    item->payload = bytes_of(c->p, cursor_left(c));
    if (c->bad)
        return "INFO too short";
    switch (item->info) {
    case NBD_INFO_EXPORT: return parse_export(export, item->payload);
    case NBD_INFO_NAME:
        return is_string(item->payload) ? NULL : "INFO_NAME longer than 4096 bytes or with NUL";
    case NBD_INFO_DESCRIPTION:
        item->payload = without_nul(item->payload);
        return is_string(item->payload) ? NULL : "INFO_DESCRIPTION longer than 4096 bytes";
    case NBD_INFO_BLOCK_SIZE: return parse_block_size(export, item->payload);
    }
    return NULL;
}

const char *
item_parse(struct upstream_item *item, struct upstream_export *export, struct cursor *c)
{
    switch (item->reply) {
    case NBD_REP_SERVER: return parse_server(item, c);
    case NBD_REP_INFO: return parse_info(item, export, c);
    }
    return parse_context(item, c);
}
