// SPDX-License-Identifier: BSD-3-Clause
#include "report.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <units.h>

#define BAR 30

double
report_share(const struct probe *p)
{
    unsigned all = 0, done = 0;
    for (unsigned level = 0; level < probe_levels(p); level++) {
        all += PROBE_REPEATS;
        done += level < p->level ? PROBE_REPEATS : p->levels[level].n;
    }
    return (double)done / all;
}

void
report_progress(const struct result *r, const struct probe *p)
{
    static const char full[BAR + 1] = "##############################";
    if (!isatty(STDERR_FILENO) || !r->n_classes)
        return;
    const struct result_class *c = &r->classes[r->n_classes - 1];
    int n = (int)(report_share(p) * BAR);
    fprintf(stderr, "\r[%-*.*s] %s%s, %s \033[K", BAR, n, full, result_class_name(c),
            c->n_runs ? ", again" : "", units_size(probe_level_size(p->level)).s);
    fflush(stderr);
}

void
report_progress_end(void)
{
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
}
