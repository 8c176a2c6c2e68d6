// SPDX-License-Identifier: BSD-3-Clause
// nbdzero-stat: what nbdzero-proxy is doing.
#include "ask.h"
#include "table.h"
#include "views.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_USAGE 2

static void
print_json(const json_t *snapshot)
{
    json_dumpf(snapshot, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
    putchar('\n');
}

static const struct {
    const char *name;
    void (*view)(const json_t *snapshot); // NULL: not yet supported
} commands[] = {
    {"show", view_show},
    {"verdicts", view_verdicts},
    {"connections", view_connections},
    {"json", print_json},
    {"top", NULL},
    {"prometheus", NULL},
    {"reload", NULL},
    {"drain", NULL},
    {"upgrade", NULL},
    {"verdict", NULL},
    {"log-level", NULL},
    {"check", NULL},
};

static const char usage[] =
    "usage: nbdzero-stat [-s SOCKET] [COMMAND]\n"
    "Shows what nbdzero-proxy is doing.\n"
    "\n"
    "  show           listeners, exports and connections (default)\n"
    "  verdicts       what is known about the speed of zeroing\n"
    "  connections    the connections alone\n"
    "  json           everything, as one JSON object\n"
    "\n"
    "  -s, --socket SOCKET  the proxy's control socket (default: $NBDZERO_CONTROL, or\n"
    "                       " DEFAULT_SOCKET ")\n"
    "  -h, --help           this text\n"
    "  -V, --version        the version\n";

static int
misused(void)
{
    fputs("Try nbdzero-stat --help.\n", stderr);
    return EXIT_USAGE;
}

static int
run(const char *socket_path, const char *name)
{
    char err[512];
    size_t i = 0, n = sizeof commands / sizeof commands[0];
    while (i < n && strcmp(commands[i].name, name) != 0)
        i++;
    if (i == n) {
        fprintf(stderr, "nbdzero-stat: unknown command: %s\n", name);
        return misused();
    }
    if (!commands[i].view) {
        fprintf(stderr, "nbdzero-stat: %s is not yet supported\n", name);
        return EXIT_USAGE;
    }
    json_t *snapshot = ask(socket_path, "json", err, sizeof err);
    if (!snapshot) {
        fprintf(stderr, "nbdzero-stat: %s\n", table_safe(err));
        return 1;
    }
    commands[i].view(snapshot);
    json_decref(snapshot);
    if (fflush(stdout) == 0 && !ferror(stdout))
        return 0;
    perror("nbdzero-stat: standard output");
    return 1;
}

int
main(int argc, char **argv)
{
    static const struct option longs[] = {
        {"socket", required_argument, NULL, 's'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {NULL, 0, NULL, 0},
    };
    const char *socket_path = getenv("NBDZERO_CONTROL");
    if (!socket_path || !*socket_path)
        socket_path = DEFAULT_SOCKET;
    for (int c; (c = getopt_long(argc, argv, "s:hV", longs, NULL)) != -1;) {
        switch (c) {
        case 's': socket_path = optarg; break;
        case 'h': fputs(usage, stdout); return 0;
        case 'V': puts("nbdzero-stat " NBDZERO_VERSION); return 0;
        default: return misused();
        }
    }
    const char *command = optind < argc ? argv[optind] : "show";
    // "verdict EXPORT fast" and "log-level LEVEL" take more; neither is supported yet.
    if (optind + 1 < argc && strcmp(command, "verdict") != 0 && strcmp(command, "log-level") != 0) {
        fprintf(stderr, "nbdzero-stat: %s takes no arguments\n", command);
        return misused();
    }
    return run(socket_path, command);
}
