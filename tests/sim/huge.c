// SPDX-License-Identifier: BSD-3-Clause
// Requests that only extended headers can say: terabytes in one go, over upstreams to whom they
// must be told in pieces.
#include "scenarios.h"

#include <stdio.h>

#define GIB  (UINT64_C(1) << 30)
#define TIB  (UINT64_C(1) << 40)
#define LEFT (MAY_END(END_CLIENT_DISC) | MAY_END(END_CLIENT_EOF))

enum course {
    ALL_WELL,
    A_PIECE_FAILS,
    CLIENT_RESETS,
    CLIENT_CLOSES, // or has only ended its sending, as far as can be known: it is owed all of it
    UPSTREAM_IS_SLOW,
    OTHERS_GO_ON,
    COURSES
};

static const char *const course_names[] = {
    "all well",          "a piece fails",           "the client resets",
    "the client closes", "upstream takes its time", "others go on"};

static struct client_plan
extended_plan(void)
{
    struct client_plan p = sim_client_plan();
    plan_format(&p, FORMAT_EXTENDED, 2, (uint32_t[]){NBD_OPT_SET_META_CONTEXT, NBD_OPT_GO});
    return p;
}

static void
any_large_upstream(struct sim_upstream *u)
{
    u->extended = chance_of(40);
    u->no_structured = chance_of(30);
    u->jitter_percent = chance_of(50) ? 60 : 0;
    if (chance_of(30))
        u->flags &= (uint16_t)~NBD_FLAG_SEND_FUA;
    sim_upstream_cost(u, 1, 100000, 100 * NS_PER_US, NS_PER_MS);
}

// Data here and there.
static void
scatter(struct oracle *o)
{
    for (unsigned i = 0; i < 20; i++)
        oracle_fill(o, (struct range){chance_below(o->size / MIB) * MIB, 64 << 10});
}

// Whatever each request is made into, the export is as if it had been one.
void
scenario_huge_traffic(const char *scenario, uint64_t seed)
{
    rig_begin(scenario, seed, 8 * GIB << chance_below(4), 1 + (unsigned)(seed % 2));
    any_large_upstream(&rig->upstream);
    scatter(&rig->oracle);
    for (unsigned i = 0; i < 2; i++) {
        struct client_plan p = extended_plan();
        p.requests = 30;
        p.in_flight = 1 + (unsigned)chance_below(6);
        p.longest = 4 * MIB;
        p.huge_percent = 60;
        p.leave = (enum leave)chance_below(2);
        rig_client(&p, -1);
    }
    rig_run();
    rig_check(LEFT);
    rig_end();
}

// One zero -----------------------------------------------------------------------------------

// Steps until it is over, or until upstream has seen so many pieces.
static size_t
run_until(uint64_t pieces)
{
    size_t memory = 0;
    while (rig->upstream.commands[NBD_CMD_WRITE_ZEROES] < pieces && world_step(0))
        if (rig->rings[0]->memory > memory)
            memory = rig->rings[0]->memory;
    return memory;
}

static void
leave_now(struct sim_client *c, enum course course)
{
    c->state = CLIENT_LEFT;
    if (course == CLIENT_RESETS)
        sock_reset(c->sock);
    else
        sock_close(c->sock);
}

static void
check_pieces(enum course course, uint64_t all, uint64_t turning_point)
{
    const struct sim_upstream *u = &rig->upstream;
    uint64_t sent = u->commands[NBD_CMD_WRITE_ZEROES], bound = rig->settings.limits.max_in_flight;
    expect(u->most_in_flight <= bound, "%llu pieces in flight",
           (unsigned long long)u->most_in_flight);
    expect(u->most_in_flight >= 4, "the pieces go one by one");
    if (course == A_PIECE_FAILS || course == CLIENT_RESETS)
        expect(sent <= turning_point + 4 * bound && sent < all,
               "%llu pieces were sent, of which nobody wanted to know any more",
               (unsigned long long)(sent - turning_point));
    else
        expect(sent >= all, "%llu pieces instead of %llu", (unsigned long long)sent,
               (unsigned long long)all);
}

static unsigned
make_zero_script(struct scripted *script, enum course course, uint64_t size)
{
    uint16_t flags = chance_of(50) ? NBD_CMD_FLAG_NO_HOLE : 0;
    if (chance_of(30))
        flags |= NBD_CMD_FLAG_FUA;
    script[0] =
        (struct scripted){.type = NBD_CMD_WRITE_ZEROES, .flags = flags, .length = size - MIB};
    script[1] = (struct scripted){
        .type = NBD_CMD_READ, .offset = size - MIB, .length = 64 << 10, .pause = NS_PER_MS};
    script[2] = (struct scripted){
        .type = NBD_CMD_WRITE, .offset = size - MIB, .length = 64 << 10, .alone = true};
    return course == OTHERS_GO_ON ? 3 : 1;
}

void
scenario_huge_zero(const char *scenario, uint64_t seed)
{
    enum course course = (enum course)(seed % COURSES);
    struct scripted script[3];
    uint64_t size = course == ALL_WELL && seed <= COURSES ? 3 * TIB : 64 * GIB;
    rig_begin(scenario, seed, size, 1);
    snprintf(world.detail, sizeof world.detail, "%s", course_names[course]);
    struct sim_upstream *u = &rig->upstream;
    any_large_upstream(u);
    u->flags |= NBD_FLAG_SEND_FUA;
    u->grain = GRAIN_WHOLE;
    if (course == UPSTREAM_IS_SLOW)
        sim_upstream_cost(u, 1, 1000, 20 * NS_PER_MS, NS_PER_MS);
    rig->upstream_settings.policy.zero.probe = false;
    scatter(&rig->oracle);
    uint64_t all = (size - MIB + 32 * MIB - 1) / (32 * MIB), turn = all / 4 + chance_below(all / 2);
    if (course == A_PIECE_FAILS)
        u->fault = (struct fault){
            .at = (unsigned)turn, .count = 1, .error = NBD_EIO, .only = 1u << NBD_CMD_WRITE_ZEROES};
    struct client_plan p = extended_plan();
    p.script = script;
    p.n_script = make_zero_script(script, course, size);
    struct sim_client *c = rig_client(&p, 0);
    size_t memory = run_until(turn);
    if (course == CLIENT_RESETS || course == CLIENT_CLOSES)
        leave_now(c, course);
    if (course == OTHERS_GO_ON)
        expect(c->answered == 1, "a READ waits for all of a zero that is elsewhere");
    rig_run();
    rig_check(LEFT | (course == CLIENT_RESETS ? MAY_END(END_CLIENT_BROKEN) : 0));
    expect(c->errors == (course == A_PIECE_FAILS), "%llu errors", (unsigned long long)c->errors);
    expect(memory < 8 * MIB, "%zu bytes of buffers", memory);
    check_pieces(course, all, turn);
    rig_end();
}
