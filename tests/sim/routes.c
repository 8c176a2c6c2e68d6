// SPDX-License-Identifier: BSD-3-Clause
// Two upstreams behind one listener: each option of a client goes where its export's name leads,
// and a session changes from one to the other as often as the client changes its mind.
#include "scenarios.h"

#define LEFT (MAY_END(END_CLIENT_DISC) | MAY_END(END_CLIENT_EOF) | MAY_END(END_CLIENT_LEFT_EARLY))

static const char *const names[] = {"alpha", "beta", "nosuch"};

static uint64_t
size_of(const char *name)
{
    expect(*name != 'n', "an export that there is not");
    return *name == 'a' ? rig->disk.size : rig->other->disk.size;
}

static void
make_routes(bool alone)
{
    struct sim_upstream *u[] = {&rig->upstream, &rig->other->upstream};
    const struct upstream_settings *to[] = {&rig->upstream_settings, &rig->other->settings};
    for (unsigned i = 0; i < 2; i++) {
        any_upstream(u[i]);
        if (i == 0 && chance_of(30))
            rig_tls_upstream();
        rig_export(names[i], to[i], u[i]->kind == KIND_OLDSTYLE ? "" : u[i]->name);
    }
    if (alone)
        rig->listener.upstream = NULL;
}

// Questions about one and the other, and then one of them.
static struct client_plan
wavering_plan(unsigned to, bool other_down)
{
    static const uint32_t options[] = {NBD_OPT_LIST, NBD_OPT_INFO, NBD_OPT_SET_META_CONTEXT,
                                       NBD_OPT_LIST_META_CONTEXT, NBD_OPT_STRUCTURED_REPLY};
    struct client_plan p = sim_client_plan();
    plan_format(&p, (enum wire_format)chance_below(3), 0, NULL);
    for (unsigned n = (unsigned)chance_below(7); n > 0; n--) {
        unsigned name = (unsigned)chance_below(other_down ? 10 : 21) / 10;
        p.names[p.n_steps] = names[name];
        p.steps[p.n_steps++] = options[chance_below(5)];
    }
    if (chance_of(50)) {
        p.names[p.n_steps] = names[chance_of(80) ? to : 1 - to];
        p.steps[p.n_steps++] = NBD_OPT_SET_META_CONTEXT;
    }
    bool go = plan_speaks(&p) == FORMAT_EXTENDED || chance_of(70);
    p.names[p.n_steps] = names[to];
    p.steps[p.n_steps++] = go ? NBD_OPT_GO : NBD_OPT_EXPORT_NAME;
    if (rig->listener.tls && chance_of(70))
        any_starttls(&p);
    p.size_of = size_of;
    p.block_size = chance_of(50);
    p.requests = (unsigned)chance_between(1, 20);
    p.longest = 32 << 10;
    p.leave = (enum leave)chance_below(2);
    return p;
}

static bool
is_listed(const struct sim_client *c, const char *name)
{
    unsigned times = 0;
    for (unsigned i = 0; i < c->n_listed; i++)
        times += strcmp(c->listed[i], name) == 0;
    expect(times < 2, "%s is listed twice", name);
    return times;
}

void
scenario_routes(const char *scenario, uint64_t seed)
{
    rig_begin(scenario, seed, 64 << 10, 1 + (unsigned)(seed % 2));
    rig_other(128 << 10);
    bool alone = chance_of(50), down = chance_of(15);
    make_routes(alone);
    if (chance_of(30))
        rig_tls_clients(CLIENT_TLS_ALLOW, SIM_NOBODY);
    rig->other->upstream.down = down;
    for (unsigned i = 0; i < 3; i++) {
        unsigned to = down ? 0 : (unsigned)chance_below(2);
        struct client_plan p = wavering_plan(to, down && chance_of(50));
        if (to)
            rig_client_of_other(&p, -1);
        else
            rig_client(&p, -1);
    }
    rig_run();
    rig_check(LEFT);
    for (unsigned i = 0; i < 3; i++) {
        const struct sim_client *c = rig->clients[i];
        expect(c->answered == c->plan.requests, "client %u was not served", i);
        if (!c->n_listed)
            continue;
        expect(is_listed(c, "alpha") && is_listed(c, "beta"), "an export is not listed");
        expect(!alone || c->n_listed == 2, "what leads nowhere is listed");
    }
    rig_end();
}
