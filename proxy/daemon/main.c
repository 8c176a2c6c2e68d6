// SPDX-License-Identifier: BSD-3-Clause
#include "config.h"
#include "inherited.h"
#include "log.h"
#include "log_journal.h"
#include "options.h"
#include "process.h"
#include "signals.h"
#include "successor.h"

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
    privileges_begin(&c->identity);
    signals_block();
    if (!log_start(STDERR_FILENO, log_style_for(STDERR_FILENO, getenv("JOURNAL_STREAM")),
                   LOG_JOURNAL)) {
        fputs("nbdzero-proxy: cannot start the log's thread\n", stderr);
        config_free(c);
        return 1;
    }
    faults_log(warnings, o->config);
    int code = process_run(c, o);
    log_stop();
    return code;
}

// What is wrong, in one line.
static void
tell_predecessor(const struct faults *faults, const char *config)
{
    char line[UPGRADE_WORD_MAX], more[64] = "";
    const struct fault *f = faults->list;
    while (f->warning)
        f++;
    if (faults->errors > 1)
        snprintf(more, sizeof more, " (and %zu more)", faults->errors - 1);
    snprintf(line, sizeof line, "%s:%u: %s%s", config, f->line, f->text, more);
    successor_failed(line);
}

int
main(int argc, char **argv)
{
    struct options o;
    int code = options_parse(&o, argc, argv);
    if (code >= 0)
        return code;
    o.successor = !o.check && successor_begin();
    struct faults faults = {0};
    struct config *c = config_load(o.config, &faults);
    code = 0;
    if (!c || o.check)
        faults_print(&faults, o.config, stderr);
    if (!c) {
        tell_predecessor(&faults, o.config);
        code = EXIT_BAD_SETTINGS;
    } else if (o.check) {
        print_counts(o.config, c->settings);
        config_free(c);
    } else {
        inherited_take(o.successor);
        code = serve(&o, c, &faults);
    }
    faults_clear(&faults);
    return code;
}
