// SPDX-License-Identifier: BSD-3-Clause
#include "config.h"
#include "log.h"
#include "options.h"
#include "process.h"
#include "signals.h"

#include <session/scratch.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void
print_counts(const char *path, const struct settings *s)
{
    printf("%s: fine: %u listener%s, %u upstream%s, %u export%s\n", path, s->n_listeners,
           s->n_listeners == 1 ? "" : "s", s->n_upstreams, s->n_upstreams == 1 ? "" : "s",
           s->n_exports, s->n_exports == 1 ? "" : "s");
    char line[600];
    for (unsigned at = 0; scratch_line(s, &at, line, sizeof line);)
        printf("%s\n", line);
}

// Takes c over.
static int
serve(const struct options *o, struct config *c, struct faults *warnings)
{
    atomic_store(&log_threshold, o->has_log_level ? o->log_level : c->log_level);
    signals_block();
    if (!log_start(STDERR_FILENO, log_style_for(STDERR_FILENO, getenv("JOURNAL_STREAM")))) {
        fputs("nbdzero-proxy: cannot start the log's thread\n", stderr);
        config_free(c);
        return 1;
    }
    faults_log(warnings, o->config);
    int code = process_run(c, o);
    log_stop();
    return code;
}

int
main(int argc, char **argv)
{
    struct options o;
    int code = options_parse(&o, argc, argv);
    if (code >= 0)
        return code;
    struct faults faults = {0};
    struct config *c = config_load(o.config, &faults);
    code = 0;
    if (!c || o.check)
        faults_print(&faults, o.config, stderr);
    if (!c) {
        code = EXIT_BAD_SETTINGS;
    } else if (o.check) {
        print_counts(o.config, c->settings);
        config_free(c);
    } else {
        code = serve(&o, c, &faults);
    }
    faults_clear(&faults);
    return code;
}
