// SPDX-License-Identifier: BSD-3-Clause
#include <relay/admit.h>

#include <base/limits.h>
#include <base/range.h>
#include <wire/names.h>

// Flags of upstream that this proxy understands and can pass the promise of (spec: "Transmission
// flags"). Not RESIZE, which would change what we know; nor BLOCK_STATUS_PAYLOAD.
#define PASSED_ON                                                                                  \
    (NBD_FLAG_HAS_FLAGS | NBD_FLAG_READ_ONLY | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA |           \
     NBD_FLAG_ROTATIONAL | NBD_FLAG_SEND_TRIM | NBD_FLAG_SEND_WRITE_ZEROES |                       \
     NBD_FLAG_CAN_MULTI_CONN | NBD_FLAG_SEND_CACHE)

uint16_t
advertised_flags(uint16_t upstream, enum wire_format client, bool read_only,
                 enum fast_zero_offer fast_zero)
{
    unsigned f = (upstream & PASSED_ON) | NBD_FLAG_HAS_FLAGS;
    if (read_only)
        f |= NBD_FLAG_READ_ONLY;
    // Whatever upstream can do: such READs are assembled here (spec: NBD_FLAG_SEND_DF, "MUST be set
    // to 0" without chunks).
    if (client != FORMAT_SIMPLE)
        f |= NBD_FLAG_SEND_DF;
    if (f & NBD_FLAG_SEND_FLUSH)
        f |= NBD_FLAG_SEND_FUA; // by a FLUSH behind the write, if need be
    if (f & NBD_FLAG_READ_ONLY)
        return (uint16_t)f; // nothing to zero, nothing to measure
    if (fast_zero == FAST_ZERO_OFFER)
        f |= NBD_FLAG_SEND_FAST_ZERO;
    else if (fast_zero == FAST_ZERO_AS_UPSTREAM && (upstream & NBD_FLAG_SEND_WRITE_ZEROES))
        f |= upstream & NBD_FLAG_SEND_FAST_ZERO;
    f |= NBD_FLAG_SEND_WRITE_ZEROES; // an upstream without it is served by WRITE
    return (uint16_t)f;
}

static bool
flags_allowed(const struct export_facts *f, const struct request *r,
              const struct nbd_command_info *info)
{
    uint16_t allowed = info->flags;
    if (f->flags & NBD_FLAG_SEND_FUA)
        allowed |= NBD_CMD_FLAG_FUA; // on every command (spec: "Command flags", bit 0)
    // On a read-only export it is EPERM that answers a FAST_ZERO, not EINVAL.
    if (!(f->flags & (NBD_FLAG_SEND_FAST_ZERO | NBD_FLAG_READ_ONLY)))
        allowed &= (uint16_t)~NBD_CMD_FLAG_FAST_ZERO;
    if (!(f->flags & NBD_FLAG_SEND_DF))
        allowed &= (uint16_t)~NBD_CMD_FLAG_DF;
    return !(r->flags & ~allowed);
}

static uint32_t
check_range(const struct export_facts *f, const struct request *r,
            const struct nbd_command_info *info)
{
    bool within = r->length <= f->size && r->offset <= f->size - r->length;
    // The last, odd piece of an export may be addressed as it is.
    bool last = within && r->offset + r->length == f->size;
    if (r->offset % f->minimum || (r->length % f->minimum && !last))
        return NBD_EINVAL;
    return within ? NBD_SUCCESS : info->beyond_end;
}

static uint32_t
check(const struct export_facts *f, const struct request *r, const struct nbd_command_info *info)
{
    if (!flags_allowed(f, r, info))
        return NBD_EINVAL;
    if (info->changes_data && (f->flags & NBD_FLAG_READ_ONLY))
        return NBD_EPERM;
    if (info->needs && !(f->flags & info->needs))
        return NBD_EINVAL;
    if ((r->type == NBD_CMD_READ || r->type == NBD_CMD_WRITE) && r->length > f->max_payload)
        return NBD_EINVAL;
    if (r->type == NBD_CMD_WRITE && r->payload != r->length)
        return NBD_EINVAL; // extended, without PAYLOAD_LEN ("the flag MUST be set")
    if (r->type == NBD_CMD_FLUSH)
        return r->offset || r->length ? NBD_EINVAL : NBD_SUCCESS;
    if (r->type == NBD_CMD_BLOCK_STATUS && (!f->contexts || r->length == 0))
        return NBD_EINVAL;
    return check_range(f, r, info);
}

enum admission
admit_request(const struct export_facts *f, const struct request *r, uint32_t *error)
{
    const struct nbd_command_info *info = nbd_command_info(r->type);
    *error = info ? check(f, r, info) : NBD_EINVAL;
    if (*error && r->payload > MAX_WRITE_DRAINED)
        return ADMIT_END;
    if (*error)
        return ADMIT_ANSWER;
    // Behaviour for nothing is unspecified and differs from server to server, so it is ours:
    // success.
    if (info->has_range && r->length == 0)
        return ADMIT_ANSWER;
    return ADMIT_PASS;
}
