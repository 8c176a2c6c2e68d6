// SPDX-License-Identifier: BSD-3-Clause
// Handshakes of every kind, good and hopeless, and what is told in them.
#include "scenarios.h"

#define KNOWN                                                                                      \
    (NBD_FLAG_HAS_FLAGS | NBD_FLAG_READ_ONLY | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA |           \
     NBD_FLAG_ROTATIONAL | NBD_FLAG_SEND_TRIM | NBD_FLAG_SEND_WRITE_ZEROES |                       \
     NBD_FLAG_CAN_MULTI_CONN | NBD_FLAG_SEND_CACHE)

// What a client with chunks must be told of the upstream's flags (interface.md, zero.md).
static uint16_t
flags_to_expect(const struct sim_upstream *u, const struct policy *p)
{
    unsigned f = (u->flags & KNOWN) | NBD_FLAG_SEND_DF; // READs are put together here
    if (f & NBD_FLAG_SEND_FLUSH)
        f |= NBD_FLAG_SEND_FUA; // a FLUSH behind the write keeps that promise
    if (p->read_only)
        return (uint16_t)(f | NBD_FLAG_READ_ONLY);
    bool own = (u->flags & NBD_FLAG_SEND_FAST_ZERO) && (u->flags & NBD_FLAG_SEND_WRITE_ZEROES);
    bool offers = p->zero.policy == ZERO_MEASURE || p->zero.policy == ZERO_ALWAYS ||
                  p->zero.policy == ZERO_NEVER || (p->zero.policy == ZERO_TRUST && own);
    return (uint16_t)(f | NBD_FLAG_SEND_WRITE_ZEROES | (offers ? NBD_FLAG_SEND_FAST_ZERO : 0));
}

static bool
has_step(const struct client_plan *p, uint32_t option)
{
    for (unsigned i = 0; i < p->n_steps; i++)
        if (p->steps[i] == option)
            return true;
    return false;
}

// What the client and the upstream between them make of it.
static bool
can_succeed(const struct client_plan *p, const struct sim_upstream *u)
{
    // An oldstyle server has one export, and no name for it.
    bool known = *p->name == '\0' || (p->name[0] == 'd' && u->kind != KIND_OLDSTYLE);
    bool asks = has_step(p, NBD_OPT_GO) || has_step(p, NBD_OPT_EXPORT_NAME);
    return known && asks && !u->down;
}

static void
any_trouble(struct client_plan *p, struct sim_upstream *u)
{
    switch (chance_below(9)) {
    case 0: p->name = "nosuch"; break;
    case 1: u->down = true; break;
    case 2: p->steps[p->n_steps - 1] = NBD_OPT_ABORT; break;
    case 3: p->n_steps--; break; // it leaves before GO
    case 4: u->no_list = true; break;
    case 5: p->name = "disk"; break; // oldstyle does not know it
    default: break;
    }
    p->may_be_cut = has_step(p, NBD_OPT_EXPORT_NAME) && !can_succeed(p, u);
}

void
scenario_handshake(const char *scenario, uint64_t seed)
{
    rig_begin(scenario, seed, 64 << 10, 1);
    struct sim_upstream *u = &rig->upstream;
    struct policy *policy = &rig->upstream_settings.policy;
    any_upstream(u);
    policy->zero.policy = (enum zero_policy)chance_below(5);
    policy->read_only = chance_of(15);
    struct client_plan p = sim_client_plan();
    any_handshake(&p);
    any_trouble(&p, u);
    p.expected_flags = flags_to_expect(u, policy);
    p.requests = 3;
    p.types = policy->read_only ? 1u << NBD_CMD_READ : p.types;
    p.leave = (enum leave)chance_below(2);
    struct sim_client *c = rig_client(&p, 0);
    rig_run();
    uint64_t allowed = MAY_END(END_CLIENT_DISC) | MAY_END(END_CLIENT_EOF);
    if (!can_succeed(&p, u)) {
        allowed = MAY_END(END_CLIENT_LEFT_EARLY) | MAY_END(END_CLIENT_ABORT);
        if (p.may_be_cut)
            allowed = u->down ? MAY_END(END_UPSTREAM_UNREACHABLE) : MAY_END(END_REFUSED_EXPORT);
    }
    rig_check(allowed);
    expect(c->answered == (can_succeed(&p, u) ? p.requests : 0), "%llu requests were served",
           (unsigned long long)c->answered);
    rig_end();
}
