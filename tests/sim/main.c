// SPDX-License-Identifier: BSD-3-Clause
// nbdzero-sim SCENARIO [--seed N] [--runs N]: runs a scenario with seeds from N on, one for each
// run. With --seed alone there is one run, and everything that happens is told.
#include "scenarios.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct scenario {
    const char *name;
    void (*run)(const char *scenario, uint64_t seed);
    unsigned runs;
} scenarios[] = {
#define X(name, function, runs) {name, function, runs},
    SCENARIOS(X)
#undef X
};

static const struct scenario *
find(const char *name)
{
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++)
        if (strcmp(scenarios[i].name, name) == 0)
            return &scenarios[i];
    return NULL;
}

static int
usage(void)
{
    fprintf(stderr, "usage: nbdzero-sim SCENARIO [--seed N] [--runs N]\nscenarios:");
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++)
        fprintf(stderr, " %s", scenarios[i].name);
    fputc('\n', stderr);
    return 2;
}

static void
tell_counts(void)
{
#define N(x) (unsigned long long)rig_counted.x
    printf("%llu conversations, %llu requests (%llu huge), %llu turns\n",
           (unsigned long long)rig_runs, (unsigned long long)rig_requests,
           (unsigned long long)rig_huge, (unsigned long long)world_steps_of_all);
    printf("upstream: simple %llu, structured %llu, extended %llu\n",
           (unsigned long long)rig_formats[FORMAT_SIMPLE],
           (unsigned long long)rig_formats[FORMAT_STRUCTURED],
           (unsigned long long)rig_formats[FORMAT_EXTENDED]);
    printf("fast zeroes %llu: forwarded %llu, refused %llu, already zero %llu, sampled %llu\n",
           N(fast_zero.requests), N(fast_zero.forwarded), N(fast_zero.refused),
           N(fast_zero.already_zero), N(fast_zero.sampled));
    printf("probes %llu: fast %llu, slow %llu, undecided %llu, damaged %llu\n", N(probes.run),
           N(probes.fast), N(probes.slow), N(probes.undecided), N(probes.damaged));
    printf("zeroes: split %llu, by writing %llu, held %llu\nendings:", N(zeroes.split),
           N(zeroes.by_writing), N(zeroes.held));
#undef N
    for (unsigned e = 0; e < SESSION_ENDINGS_COUNT; e++)
        if (rig_endings[e])
            printf(" %s %llu", session_ending_name((enum session_ending)e),
                   (unsigned long long)rig_endings[e]);
    putchar('\n');
}

int
main(int argc, char **argv)
{
    const struct scenario *s = argc > 1 ? find(argv[1]) : NULL;
    uint64_t seed = 1;
    unsigned runs = 0;
    if (!s || argc % 2)
        return usage();
    for (int i = 2; i < argc; i += 2) {
        if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--runs") == 0)
            runs = (unsigned)strtoul(argv[i + 1], NULL, 10);
        else
            return usage();
        world_verbose = true;
    }
    if (!runs)
        runs = world_verbose ? 1 : s->runs;
    world_verbose &= runs == 1;
    for (unsigned i = 0; i < runs; i++) {
        s->run(s->name, seed + i);
    }
    printf("sim %s: seeds %llu to %llu: all good\n", s->name, (unsigned long long)seed,
           (unsigned long long)(seed + runs - 1));
    tell_counts();
    return 0;
}
