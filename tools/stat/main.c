// SPDX-License-Identifier: BSD-3-Clause
// nbdzero-stat: what nbdzero-proxy is doing.
#include "ask.h"
#include "check.h"
#include "reload.h"
#include "table.h"
#include "views.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_USAGE 2
#define PATIENCE   10 // seconds
#define CHECKING   5  // monitoring systems themselves wait for ten, often
#define RELOADING  60 // files may be many, and slow

static void
print_json(const json_t *snapshot)
{
    json_dumpf(snapshot, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
    putchar('\n');
}

static int
show(const char *socket_path, void (*view)(const json_t *snapshot))
{
    struct answer a;
    ask(socket_path, "json", PATIENCE, &a);
    if (a.result)
        view(a.result);
    else
        fprintf(stderr, "nbdzero-stat: %s\n", table_safe(a.error));
    answer_clear(&a);
    return a.kind != ANSWER_RESULT;
}

static int
show_reload(const char *socket_path)
{
    struct answer a;
    ask(socket_path, "reload", RELOADING, &a);
    reload_print(&a, stdout, stderr);
    answer_clear(&a);
    return a.kind != ANSWER_RESULT;
}

static int
check(const char *socket_path)
{
    char line[CHECK_LINE];
    struct answer a;
    ask(socket_path, "json", CHECKING, &a);
    enum check_level level = check_answer(&a, time(NULL), line);
    puts(line);
    answer_clear(&a);
    return (int)level;
}

static const struct command {
    const char *name;
    void (*view)(const json_t *snapshot);
    int (*run)(const char *socket_path); // neither: not yet supported
} commands[] = {
    {"show", view_show, NULL},
    {"verdicts", view_verdicts, NULL},
    {"connections", view_connections, NULL},
    {"json", print_json, NULL},
    {"reload", NULL, show_reload},
    {"check", NULL, check},
    {"top", NULL, NULL},
    {"prometheus", NULL, NULL},
    {"drain", NULL, NULL},
    {"upgrade", NULL, NULL},
    {"verdict", NULL, NULL},
    {"log-level", NULL, NULL},
};

static const char usage[] =
    "usage: nbdzero-stat [-s SOCKET] [COMMAND]\n"
    "Shows what nbdzero-proxy is doing.\n"
    "\n"
    "  show           listeners, exports and connections (default)\n"
    "  verdicts       what is known about the speed of zeroing\n"
    "  connections    the connections alone\n"
    "  json           everything, as one JSON object\n"
    "  reload         read the configuration and all its files anew\n"
    "  check          one line for a monitoring system: exit code 0 fine, 1 warning,\n"
    "                 2 critical, 3 unknown\n"
    "\n"
    "  -s, --socket SOCKET  the proxy's control socket (default: $NBDZERO_CONTROL, or\n"
    "                       " DEFAULT_SOCKET ")\n"
    "  -h, --help           this text\n"
    "  -V, --version        the version\n";

static const struct command *
find_command(const char *name)
{
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

// Of a check 2 would mean that the proxy is in trouble, not that whoever set the check up is.
static int
misused(int argc, char **argv)
{
    fputs("Try nbdzero-stat --help.\n", stderr);
    for (int i = 1; i < argc; i++) {
        const struct command *c = find_command(argv[i]);
        if (c && c->run == check) {
            puts("UNKNOWN - usage: nbdzero-stat [-s SOCKET] check");
            return CHECK_UNKNOWN;
        }
    }
    return EXIT_USAGE;
}

static int
run(const struct command *c, const char *socket_path)
{
    if (!c->view && !c->run) {
        fprintf(stderr, "nbdzero-stat: %s is not yet supported\n", c->name);
        return EXIT_USAGE;
    }
    int code = c->view ? show(socket_path, c->view) : c->run(socket_path);
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    perror("nbdzero-stat: standard output");
    return c->run == check ? CHECK_UNKNOWN : 1;
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
        default: return misused(argc, argv);
        }
    }
    const char *name = optind < argc ? argv[optind] : "show";
    const struct command *c = find_command(name);
    if (!c) {
        fprintf(stderr, "nbdzero-stat: unknown command: %s\n", name);
        return misused(argc, argv);
    }
    // "verdict EXPORT fast" and "log-level LEVEL" take more; neither is supported yet.
    if (optind + 1 < argc && (c->view || c->run)) {
        fprintf(stderr, "nbdzero-stat: %s takes no arguments\n", name);
        return misused(argc, argv);
    }
    return run(c, socket_path);
}
