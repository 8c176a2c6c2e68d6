// SPDX-License-Identifier: BSD-3-Clause
// What to do about a request to zero: the decision order of docs/zeroing.md.
#include "task.h"

#include <wire/names.h>

#define FAST_END_ALIGN (64u << 10)

static void
refuse_fast(struct session *s, const struct request *r, nstime began)
{
    s->counters->fast_zero.refused++;
    client_unwritten(s);
    client_answer(s, r, NBD_ENOTSUP, began);
}

// Can upstream zero at all, as this request wants it?
static bool
upstream_zeroes(const struct session *s, const struct request *r)
{
    bool no_hole = r->flags & NBD_CMD_FLAG_NO_HOLE;
    return (s->facts.upstream_flags & NBD_FLAG_SEND_WRITE_ZEROES) && !s->zeroes_by_writing[no_hole];
}

static bool
upstream_is_fast(const struct session *s)
{
    uint16_t both = NBD_FLAG_SEND_WRITE_ZEROES | NBD_FLAG_SEND_FAST_ZERO;
    return (s->facts.upstream_flags & both) == both;
}

// The flag goes upstream as it is; upstream answers. A part of the request alone would not be
// enough: the next part might be refused.
static bool
forward_natively(struct session *s, const struct request *r, uint8_t *header, nstime began)
{
    if (!session_length_fits(s, r->length)) {
        refuse_fast(s, r, began);
        return false;
    }
    struct slot *slot = client_forward(s, r, header, began);
    if (!slot) {
        client_unwritten(s);
        client_answer(s, r, NBD_ENOMEM, began);
        return false;
    }
    slot->native_fast = true;
    s->counters->fast_zero.forwarded++;
    return true;
}

// qemu-nbd's qcow2 zeroes the aligned part of a request before it refuses the rest, so that one
// never gets there.
static bool
ends_well(const struct session *s, const struct request *r)
{
    uint64_t end = r->offset + r->length;
    return end % FAST_END_ALIGN == 0 || end == s->facts.size;
}

// A small request of a size nobody knows: what the client asked for, done one way or the other,
// timed.
static bool
may_sample(const struct session *s, const struct request *r)
{
    // Both arms must fit one message each.
    return r->length <= s->facts.max_payload && r->length <= s->policy->zero.max_zero &&
           s->policy->zero.probe && (s->facts.upstream_flags & NBD_FLAG_SEND_FLUSH) &&
           s->worker->in_flight == 0;
}

void
zeroing_follow(struct session *s, const struct request *r, enum zero_advice advice, nstime began)
{
    switch (advice) {
    case ZERO_FORWARD: task_zero_begin(s, r, true, began); return;
    case ZERO_PROBE:
        if (task_probe_begin(s, r, began))
            return;
        break;
    case ZERO_SAMPLE:
        if (may_sample(s, r)) {
            task_sample_begin(s, r, began);
            return;
        }
        break;
    case ZERO_REFUSE: break;
    }
    refuse_fast(s, r, began);
}

// Decision 4: upstream may know that there is nothing to zero.
static bool
may_ask_status(const struct session *s, const struct request *r)
{
    if (s->allocation < 0 || s->facts.status_by_us || (r->flags & NBD_CMD_FLAG_NO_HOLE) ||
        !session_length_fits(s, r->length) || !export_status_usable(s->export, session_now(s)))
        return false;
    // With FUA a FLUSH must follow.
    if ((r->flags & NBD_CMD_FLAG_FUA) && !(s->facts.upstream_flags & NBD_FLAG_SEND_FLUSH))
        return false;
    struct range range = {r->offset, r->length};
    for (const struct slot *slot = s->slots; slot; slot = slot->next) {
        const struct nbd_command_info *info = nbd_command_info(slot->track.command);
        if (info && info->changes_data && range_overlaps(slot_range(slot), range))
            return false;
    }
    return true;
}

static void
measured(struct session *s, const struct request *r, nstime began)
{
    enum zero_advice advice = ZERO_REFUSE;
    if (upstream_zeroes(s, r))
        advice = export_judge(s->export, r->flags & NBD_CMD_FLAG_NO_HOLE, &s->policy->zero,
                              r->length, session_now(s));
    if (advice != ZERO_FORWARD && may_ask_status(s, r))
        task_blank_begin(s, r, advice, began);
    else
        zeroing_follow(s, r, advice, began);
}

// A pin is the administrator's last word, over the policy of the file.
static enum zero_policy
policy_now(const struct session *s)
{
    switch (export_pin(s->export)) {
    case ZERO_FAST: return ZERO_ALWAYS;
    case ZERO_SLOW: return ZERO_NEVER;
    case ZERO_UNKNOWN: break;
    }
    return s->policy->zero.policy;
}

static bool
fast_request(struct session *s, const struct request *r, uint8_t *header, nstime began)
{
    s->counters->fast_zero.requests++;
    switch (policy_now(s)) {
    case ZERO_NEVER:
    case ZERO_OFF: // admitted only where it was advertised, so this is NEVER
        refuse_fast(s, r, began);
        return false;
    case ZERO_ALWAYS:
        zeroing_follow(s, r, upstream_zeroes(s, r) ? ZERO_FORWARD : ZERO_REFUSE, began);
        return false;
    case ZERO_TRUST: return forward_natively(s, r, header, began);
    case ZERO_MEASURE: break;
    }
    if (!upstream_is_fast(s)) {
        measured(s, r, began);
        return false;
    }
    bool no_hole = r->flags & NBD_CMD_FLAG_NO_HOLE;
    if (ends_well(s, r) && !export_native_refuses(s->export, no_hole, session_now(s)))
        return forward_natively(s, r, header, began);
    refuse_fast(s, r, began);
    return false;
}

// A WRITE of zeroes is always a legal way to zero (spec: NBD_CMD_WRITE_ZEROES), and sometimes the
// cheaper one. Where the client would take a hole, and upstream can show one, it is to have it.
static bool
write_is_cheaper(const struct session *s, const struct request *r)
{
    bool no_hole = r->flags & NBD_CMD_FLAG_NO_HOLE;
    bool shows_holes = s->allocation >= 0 && !s->facts.status_by_us;
    return s->policy->zero.cheapest && upstream_zeroes(s, r) && (no_hole || !shows_holes) &&
           export_write_is_cheaper(s->export, no_hole, &s->policy->zero, r->length, session_now(s));
}

static void
plain_request(struct session *s, const struct request *r, nstime began)
{
    bool no_hole = r->flags & NBD_CMD_FLAG_NO_HOLE;
    bool teach =
        policy_now(s) == ZERO_MEASURE && upstream_zeroes(s, r) && !upstream_is_fast(s) &&
        export_wants_teaching(s->export, no_hole, &s->policy->zero, r->length, session_now(s));
    if (teach && task_probe_begin(s, r, began))
        return;
    if (write_is_cheaper(s, r))
        task_zero_begin_cheapest(s, r, began);
    else
        task_zero_begin(s, r, false, began);
}

bool
zeroing_request(struct session *s, const struct request *r, uint8_t *header, nstime began)
{
    if (r->flags & NBD_CMD_FLAG_FAST_ZERO)
        return fast_request(s, r, header, began);
    plain_request(s, r, began);
    return false;
}
