// SPDX-License-Identifier: BSD-3-Clause
// Memory that is short in the moment when a task is to begin: the client gets an error, and what is
// counted of its writes (session/flushes.c) stays right, or a FLUSH that fails later would be
// reported to the wrong ones.
#include "scenarios.h"

#include <stdlib.h>
#include <task.h>

static unsigned refused_percent;

// In place of the C library's (meson.build), for tasks are known by their size.
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);

void *
__wrap_calloc(size_t n, size_t size)
{
    if (refused_percent && size == sizeof(struct task) && chance_of(refused_percent))
        return NULL;
    return __real_calloc(n, size);
}

static void
check_counts(void)
{
    for (unsigned i = 0; i < rig->n_workers; i++)
        for (const struct session *s = rig->workers[i]->sessions; s; s = s->next)
            expect(s->phase != PHASE_TRANSMISSION || s->in_flight || s->payload_left || s->tasks ||
                       s->writes_sent == s->writes_done,
                   "%llu writes sent, %llu done, and none under way",
                   (unsigned long long)s->writes_sent, (unsigned long long)s->writes_done);
}

void
scenario_lean(const char *scenario, uint64_t seed)
{
    rig_begin(scenario, seed, MIB, 1 + (unsigned)(seed % 3));
    struct sim_upstream *u = &rig->upstream;
    any_upstream(u);
    if (chance_of(40))
        rig_repairs();
    rig->oracle.loose = true;
    unsigned clients = 1 + (unsigned)chance_below(3);
    for (unsigned i = 0; i < clients; i++) {
        struct client_plan p = sim_client_plan();
        any_handshake(&p);
        if (p.block_size)
            p.align = 4096;
        p.requests = (unsigned)chance_between(10, 60);
        p.in_flight = (unsigned)chance_between(1, 8);
        p.leave = (enum leave)chance_below(2);
        rig_client(&p, -1);
    }
    refused_percent = (unsigned)chance_between(10, 50);
    while (world_step(0))
        check_counts();
    refused_percent = 0;
    rig_check(MAY_END(END_CLIENT_DISC) | MAY_END(END_CLIENT_EOF));
    rig_end();
}
