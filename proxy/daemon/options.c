// SPDX-License-Identifier: BSD-3-Clause
#include "options.h"

#include "config_keys.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#define DEFAULT_CONFIG "/etc/nbdzero/nbdzero.conf"

static const char usage[] =
    "usage: nbdzero-proxy [OPTIONS]\n"
    "A proxy between NBD clients and NBD servers that measures how fast zeroing is.\n"
    "\n"
    "  -c, --config FILE    configuration (default " DEFAULT_CONFIG ")\n"
    "      --check          check the configuration, name every fault, and end\n"
    "      --log-level L    error, warn, info or debug; precedes the configuration\n"
    "  -h, --help           this text\n"
    "  -V, --version        the version\n"
    "\n"
    "It stays in the foreground and logs to stderr. SIGTERM and SIGINT end it, SIGHUP\n"
    "reads the configuration anew, SIGUSR2 upgrades it to the installed version.\n"
    "See nbdzero-proxy(8) and nbdzero.conf(5).\n";

static bool
find_level(const char *text, enum log_level *level)
{
    const char *const *choices = config_keys[KEY_LOG_LEVEL].choices;
    for (unsigned i = 0; choices[i]; i++) {
        if (strcmp(choices[i], text) == 0) {
            *level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

static int
misused(const char *what, const char *which)
{
    if (what)
        fprintf(stderr, "nbdzero-proxy: %s%s\n", what, which);
    fputs("Try nbdzero-proxy --help.\n", stderr);
    return EXIT_USAGE;
}

int
options_parse(struct options *o, int argc, char **argv)
{
    enum { OPT_CHECK = 256, OPT_LOG_LEVEL };
    static const struct option longs[] = {
        {"config", required_argument, NULL, 'c'},
        {"check", no_argument, NULL, OPT_CHECK},
        {"log-level", required_argument, NULL, OPT_LOG_LEVEL},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {NULL, 0, NULL, 0},
    };
    *o = (struct options){.argv = argv, .config = DEFAULT_CONFIG};
    for (int c; (c = getopt_long(argc, argv, "c:hV", longs, NULL)) != -1;) {
        switch (c) {
        case 'c': o->config = optarg; break;
        case OPT_CHECK: o->check = true; break;
        case OPT_LOG_LEVEL:
            if (!find_level(optarg, &o->log_level))
                return misused("--log-level takes error, warn, info or debug, not ", optarg);
            o->has_log_level = true;
            break;
        case 'h': fputs(usage, stdout); return 0;
        case 'V': puts("nbdzero-proxy " NBDZERO_VERSION); return 0;
        default: return misused(NULL, NULL); // getopt has said what
        }
    }
    if (optind < argc)
        return misused("no arguments but options are known: ", argv[optind]);
    return -1;
}
