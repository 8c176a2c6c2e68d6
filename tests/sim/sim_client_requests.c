// SPDX-License-Identifier: BSD-3-Clause
// The model client's requests, from a script or by chance.
#include "sim_client.h"

#include <base/limits.h>
#include <stdlib.h>
#include <wire/names.h>

// Asking ------------------------------------------------------------------------------------

static const struct scripted *
next_scripted(const struct sim_client *c)
{
    return c->plan.script && c->issued < c->plan.n_script ? &c->plan.script[c->issued] : NULL;
}

bool
sim_client_can_issue(const struct sim_client *c)
{
    if (c->state != CLIENT_TRANSMISSION || c->disc_sent || c->sock->dead ||
        c->in_flight >= c->plan.in_flight || queue_left(&c->line.out) > (1u << 20))
        return false;
    const struct scripted *s = next_scripted(c);
    if (s)
        return !(s->alone && c->in_flight);
    return !c->plan.script && c->issued < c->plan.requests;
}

static void
send_request(struct sim_client *c, const struct request *r)
{
    static uint8_t payload[MAX_PAYLOAD];
    uint8_t b[REQUEST_SIZE_MAX];
    expect(c->format == FORMAT_EXTENDED || r->length <= UINT32_MAX, "a request of another format");
    struct op *op =
        oracle_op(c->oracle, c->index, r->type, r->flags, (struct range){r->offset, r->length});
    op->cookie = r->cookie;
    op->contextless = r->type == NBD_CMD_BLOCK_STATUS && !c->allocation && !c->other;
    request_encode(c->format, b, r);
    sim_client_say(c, b, request_size(c->format));
    if (r->type == NBD_CMD_WRITE) {
        op->stamp = oracle_stamp(c->oracle);
        stamp_fill(op->stamp, r->offset, payload, (size_t)r->length);
        sim_client_say(c, payload, (size_t)r->length);
    }
    op->ends_at = c->queued;
    c->issued++;
    c->asked_huge += r->length > UINT32_MAX;
    if (++c->in_flight > c->most_in_flight)
        c->most_in_flight = c->in_flight;
    note("client %u: %s offset %llu length %llu flags %u", c->index, nbd_command_name(r->type),
         (unsigned long long)r->offset, (unsigned long long)r->length, r->flags);
}

static bool
is_legal(const struct sim_client *c, uint16_t type)
{
    const struct nbd_command_info *info = nbd_command_info(type);
    if (!info || type == NBD_CMD_DISC || !(c->plan.types >> type & 1))
        return false;
    if (type == NBD_CMD_BLOCK_STATUS)
        return c->allocation || c->other;
    return !info->needs || (c->flags & info->needs);
}

static uint16_t
choose_flags(const struct sim_client *c, uint16_t type)
{
    const struct nbd_command_info *info = nbd_command_info(type);
    uint16_t flags = 0;
    if ((c->flags & NBD_FLAG_SEND_FUA) && info->changes_data && chance_of(25))
        flags |= NBD_CMD_FLAG_FUA;
    if (type == NBD_CMD_WRITE_ZEROES) {
        flags |= chance_of(40) ? NBD_CMD_FLAG_NO_HOLE : 0;
        if ((c->flags & NBD_FLAG_SEND_FAST_ZERO) && chance_of(c->plan.fast_percent))
            flags |= NBD_CMD_FLAG_FAST_ZERO;
    }
    if (type == NBD_CMD_READ && (c->flags & NBD_FLAG_SEND_DF) && chance_of(20))
        flags |= NBD_CMD_FLAG_DF;
    if (type == NBD_CMD_BLOCK_STATUS && chance_of(30))
        flags |= NBD_CMD_FLAG_REQ_ONE;
    return flags;
}

// False: everything that came to mind would conflict with what is in flight.
static bool
choose_range(const struct sim_client *c, uint16_t type, struct request *r)
{
    const struct nbd_command_info *info = nbd_command_info(type);
    struct range all = c->plan.region.length ? c->plan.region : (struct range){0, c->size};
    uint32_t align = c->plan.align;
    bool data = type == NBD_CMD_READ || type == NBD_CMD_WRITE;
    bool huge = c->format == FORMAT_EXTENDED && !data && chance_of(c->plan.huge_percent);
    uint64_t most = all.length < c->plan.longest || huge ? all.length : c->plan.longest;
    if (data && c->has_block_size && most > c->maximum)
        most = c->maximum;
    for (unsigned tries = 0; tries < 20; tries++) {
        uint64_t n = (huge ? most / align - chance_below(most / align / 2 + 1)
                           : chance_between(1, most / align)) *
                     align;
        uint64_t at = all.offset + chance_below((all.length - n) / align + 1) * align;
        struct range range = {at, n};
        if (!c->plan.conflicts && oracle_busy(c->oracle, range, info->changes_data))
            continue;
        // Reads are checked exactly, so nobody may write there meanwhile.
        if (c->plan.conflicts && !info->changes_data && oracle_busy(c->oracle, range, false))
            continue;
        r->offset = at;
        r->length = n;
        return true;
    }
    return false;
}

static bool
choose(struct sim_client *c, struct request *r)
{
    do
        r->type = (uint16_t)chance_below(NBD_COMMANDS);
    while (!is_legal(c, r->type));
    r->flags = choose_flags(c, r->type);
    return r->type == NBD_CMD_FLUSH || choose_range(c, r->type, r);
}

void
sim_client_issue(struct sim_client *c)
{
    const struct scripted *s = next_scripted(c);
    struct request r = {.cookie = c->next_cookie++};
    if (s && s->pause && c->wakes < world.now) { // it is due now: remember that it has waited
        c->wakes = world.now + s->pause;
        return;
    }
    if (s) {
        r.type = s->type;
        r.flags = s->flags;
        r.offset = s->offset;
        r.length = s->length;
        send_request(c, &r);
        c->wakes = 0;
        return;
    }
    if (choose(c, &r))
        send_request(c, &r);
    else
        c->wakes = world.now + 10 * NS_PER_US;
    if (c->plan.think)
        c->wakes = world.now + chance_below(c->plan.think) + 1;
}
