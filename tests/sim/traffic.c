// SPDX-License-Identifier: BSD-3-Clause
// Random traffic of several clients on several workers over an upstream of any nature.
#include "scenarios.h"

// How old it is, and what it speaks.
static void
any_age(struct sim_upstream *u)
{
    unsigned age = (unsigned)chance_below(12);
    u->kind = age == 0 ? KIND_OLDSTYLE : age == 1 ? KIND_NEWSTYLE : KIND_FIXED;
    u->keeps_zeroes = chance_of(15);
    u->no_structured = chance_of(20);
    u->no_meta = chance_of(20);
    u->no_go = chance_of(10);
    u->no_list = chance_of(10);
    u->extended = u->kind == KIND_FIXED && !u->no_go && chance_of(35);
    u->only_extended = u->extended && chance_of(25);
    u->info_says_zero = !u->no_go && chance_of(10);
}

void
any_upstream(struct sim_upstream *u)
{
    static const uint16_t often[] = {NBD_FLAG_SEND_FLUSH,     NBD_FLAG_SEND_FUA,
                                     NBD_FLAG_SEND_TRIM,      NBD_FLAG_SEND_WRITE_ZEROES,
                                     NBD_FLAG_CAN_MULTI_CONN, NBD_FLAG_SEND_CACHE,
                                     NBD_FLAG_SEND_DF};
    static const uint16_t odd[] = {NBD_FLAG_ROTATIONAL, NBD_FLAG_SEND_RESIZE,
                                   NBD_FLAG_BLOCK_STATUS_PAYLOAD, 1 << 13};
    for (size_t i = 0; i < sizeof often / sizeof often[0]; i++)
        if (chance_of(15))
            u->flags &= (uint16_t)~often[i];
    if (chance_of(15))
        u->flags |= odd[chance_below(4)];
    if ((u->flags & NBD_FLAG_SEND_WRITE_ZEROES) && chance_of(20)) {
        u->flags |= NBD_FLAG_SEND_FAST_ZERO;
        u->fast_zero_refused = (unsigned)chance_below(101);
    }
    any_age(u);
    u->has_block_size = chance_of(40);
    u->minimum = 1u << chance_below(10);
    u->preferred = 4096;
    u->maximum = 1u << (17 + chance_below(10));
    u->jitter_percent = chance_of(50) ? 60 : 0;
    u->serial = chance_of(30);
    if (chance_of(10))
        u->zero_always = chance_of(50) ? NBD_ENOTSUP : NBD_EINVAL;
    if (u->zero_always == NBD_EINVAL)
        u->oracle->zeroes_fail = NBD_EINVAL;
    sim_upstream_cost(u, 0.1 + (double)chance_below(20) / 10, 0.1 + (double)chance_below(400) / 10,
                      chance_below(200 * NS_PER_US), chance_below(2 * NS_PER_MS));
}

void
any_handshake(struct client_plan *p)
{
    static const uint32_t options[] = {NBD_OPT_LIST,
                                       NBD_OPT_LIST_META_CONTEXT,
                                       NBD_OPT_INFO,
                                       NBD_OPT_STARTTLS,
                                       77,
                                       NBD_OPT_STRUCTURED_REPLY,
                                       NBD_OPT_SET_META_CONTEXT};
    p->n_steps = 0;
    if (chance_of(55))
        p->steps[p->n_steps++] = NBD_OPT_STRUCTURED_REPLY;
    if (chance_of(35))
        p->steps[p->n_steps++] = NBD_OPT_EXTENDED_HEADERS;
    for (unsigned n = (unsigned)chance_below(4); n > 0; n--)
        p->steps[p->n_steps++] = options[chance_below(sizeof options / sizeof options[0])];
    if (chance_of(60))
        p->steps[p->n_steps++] = NBD_OPT_SET_META_CONTEXT;
    if (chance_of(10)) // the contexts are to hold all the same
        p->steps[p->n_steps++] = NBD_OPT_EXTENDED_HEADERS;
    if (chance_of(10))
        p->steps[p->n_steps++] = NBD_OPT_SET_META_CONTEXT;
    if (chance_of(30))
        p->steps[p->n_steps++] = NBD_OPT_INFO;
    bool go = chance_of(70) || plan_speaks(p) == FORMAT_EXTENDED;
    p->steps[p->n_steps++] = go ? NBD_OPT_GO : NBD_OPT_EXPORT_NAME;
    p->no_zeroes = chance_of(70);
    p->block_size = chance_of(60);
    p->other_context = chance_of(30);
    p->no_allocation = chance_of(20);
    p->name = chance_of(80) && rig->upstream.kind != KIND_OLDSTYLE ? "disk" : "";
}

void
any_formats(struct sim_upstream *u)
{
    u->no_structured = chance_of(20);
    u->extended = chance_of(40);
    u->only_extended = u->extended && chance_of(30);
}

void
any_format(struct client_plan *p)
{
    enum wire_format f = (enum wire_format)chance_below(3);
    if (f != FORMAT_SIMPLE && chance_of(60))
        plan_format(p, f, 2, (uint32_t[]){NBD_OPT_SET_META_CONTEXT, NBD_OPT_GO});
    else
        plan_format(p, f, 1, (uint32_t[]){NBD_OPT_GO});
}

void
scenario_traffic(const char *scenario, uint64_t seed)
{
    rig_begin(scenario, seed, MIB, 1 + (unsigned)(seed % 3));
    any_upstream(&rig->upstream);
    if (chance_of(30))
        rig->upstream_settings.policy.zero.policy = (enum zero_policy)chance_below(5);
    if (chance_of(50)) // zeroes go in pieces
        rig->upstream_settings.policy.zero.max_zero = 16384u << chance_below(4);
    unsigned clients = 1 + (unsigned)chance_below(4);
    for (unsigned i = 0; i < clients; i++) {
        struct client_plan p = sim_client_plan();
        any_handshake(&p);
        p.requests = (unsigned)chance_between(4, 100);
        p.in_flight = (unsigned)chance_between(1, 24);
        p.longest = 256 << 10;
        p.think = chance_of(30) ? NS_PER_MS : 0;
        p.leave = (enum leave)chance_below(2);
        p.slow_reader = chance_of(10);
        rig_client(&p, -1);
    }
    rig_run();
    rig_check(MAY_END(END_CLIENT_DISC) | MAY_END(END_CLIENT_EOF));
    rig_end();
}
