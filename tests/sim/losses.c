// SPDX-License-Identifier: BSD-3-Clause
// Upstream is lost in the middle of the reply to a READ. A client with chunks gets an error for
// each request, and never half a chunk; one without can only be left (spec: NBD_CMD_READ).
#include "scenarios.h"

#include <stdio.h>

#define READS 6

static struct client_plan
reading_plan(enum wire_format f, struct scripted *script)
{
    struct client_plan p = sim_client_plan();
    plan_format(&p, f, 1, (uint32_t[]){NBD_OPT_GO});
    for (unsigned i = 0; i < READS; i++)
        script[i] = (struct scripted){.type = NBD_CMD_READ,
                                      .flags = f != FORMAT_SIMPLE && i == 2 ? NBD_CMD_FLAG_DF : 0,
                                      .offset = i * 256 << 10,
                                      .length = 256 << 10};
    p.script = script;
    p.n_script = READS;
    p.in_flight = READS;
    p.leave = LEAVE_STAY;
    return p;
}

static void
set_upstream(enum wire_format client, enum wire_format f)
{
    struct sim_upstream *u = &rig->upstream;
    u->no_structured = f == FORMAT_SIMPLE;
    u->extended = f == FORMAT_EXTENDED;
    u->only_extended = u->extended && client != FORMAT_EXTENDED;
}

void
scenario_read_loss(const char *scenario, uint64_t seed)
{
    enum wire_format client = (enum wire_format)(seed % 3), f = (enum wire_format)(seed / 3 % 3);
    struct scripted script[READS];
    rig_begin(scenario, seed, 2 * MIB, 1);
    snprintf(world.detail, sizeof world.detail, "client %s, upstream %s", wire_format_name(client),
             wire_format_name(f));
    set_upstream(client, f);
    struct sim_upstream *u = &rig->upstream;
    u->doomed = 1;
    u->dies_sent = chance_between(2000, READS * 256 << 10); // behind the handshake
    u->death = (enum death)chance_below(DEATHS);
    rig->oracle.loose = true;
    struct client_plan p = reading_plan(client, script);
    p.may_be_cut = p.sound = true;
    struct sim_client *c = rig_client(&p, 0);
    rig_run();
    rig_check(MAY_END(END_UPSTREAM_LOST));
    bool all = c->unanswered == 0 || c->sock->reset;
    expect(client == FORMAT_SIMPLE || all, "%u READs were never answered", c->unanswered);
    expect(client == FORMAT_SIMPLE || c->errors || c->sock->reset, "nobody was told");
    rig_end();
}
