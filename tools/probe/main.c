// SPDX-License-Identifier: BSD-3-Clause
// nbdzero-probe: how fast does this NBD server really zero?
#include "alone.h"
#include "arguments.h"
#include "measure.h"
#include "plot.h"
#include "report.h"

#include <base/log.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <table.h>

#define EXIT_USAGE 2

static int
misused(char *err)
{
    fprintf(stderr, "nbdzero-probe: %s\nTry nbdzero-probe --help.\n", table_safe(err));
    return EXIT_USAGE;
}

static void
warn(const struct arguments *a)
{
    if (a->mode == ASK_IN_PLACE)
        fputs(
            "nbdzero-probe: warning: who writes to this export while it is measured may lose that "
            "write\n",
            stderr);
}

static void
print_trouble(struct result *r)
{
    if (*r->trouble)
        fprintf(stderr, "nbdzero-probe: %s\n", table_safe(r->trouble));
    if (!r->damaged)
        return;
    fprintf(stderr,
            "nbdzero-probe: offset %" PRIu64 " length %" PRIu64
            ": may be zeroed, in whole or in part: it could not be written back\n",
            r->damage.offset, r->damage.length);
    if (*r->rescue)
        fprintf(stderr, "nbdzero-probe: what was there before is in the file %s\n", r->rescue);
    else
        fputs("nbdzero-probe: and what was there before could not be kept in a file either\n",
              stderr);
}

static bool
print_json(const struct result *r)
{
    json_t *json = report_json(r);
    if (!json) {
        fputs("nbdzero-probe: the report cannot be made: out of memory\n", stderr);
        return false;
    }
    bool good = json_dumpf(json, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII) == 0;
    putchar('\n');
    json_decref(json);
    return good;
}

static bool
print(const struct result *r)
{
    if (!r->asked->json)
        report_tables(r);
    else if (!print_json(r))
        return false;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return true;
    perror("nbdzero-probe: standard output");
    return false;
}

static int
failed(char *err)
{
    fprintf(stderr, "nbdzero-probe: %s\n", table_safe(err));
    return 1;
}

static int
measure_and_show(const struct arguments *a, const struct target *t)
{
    static struct result result; // large
    char err[400];
    warn(a);
    bool good = measure(a, t, &result, report_progress);
    report_progress_end();
    print_trouble(&result);
    good = print(&result) && good;
    if (a->plot && result.n_classes && !plot(&result, a->plot, err, sizeof err))
        return failed(err);
    return good ? 0 : 1;
}

static int
run(const struct arguments *a)
{
    struct target target;
    struct export_lock lock = {.fd = -1};
    char err[TARGET_ERROR];
    enum target_error wrong = target_begin(&target, a->uri, err, sizeof err);
    int code = 1;
    if (wrong == TARGET_MISUSED)
        code = misused(err);
    else if (wrong == TARGET_UNUSABLE || (a->plot && !plot_possible(a->plot, err, sizeof err)))
        failed(err);
    else if (a->state_dir &&
             !alone_take(&lock, a->state_dir, &target.settings.uri, err, sizeof err))
        failed(err);
    else
        code = measure_and_show(a, &target);
    lock_close(&lock);
    target_end(&target);
    return code;
}

int
main(int argc, char **argv)
{
    struct arguments a;
    char err[ARGUMENTS_ERROR];
    if (!arguments_parse(&a, argc, argv, err, sizeof err))
        return misused(err);
    if (a.help) {
        fputs(arguments_usage, stdout);
        return 0;
    }
    if (a.version) {
        puts("nbdzero-probe " NBDZERO_VERSION);
        return 0;
    }
    measure_block_signals();
    return run(&a);
}
