// SPDX-License-Identifier: BSD-3-Clause
#include "command_line.h"

#include "ask.h"
#include "check.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EVERY_USUAL 2.0
#define EVERY_LEAST 0.1 // a daemon is not there to be asked
#define EVERY_MOST  86400.0

static const char usage[] =
    "usage: nbdzero-stat [-s SOCKET] [OPTIONS] [COMMAND]\n"
    "Shows what nbdzero-proxy is doing, and changes it while it runs.\n"
    "\n"
    "  show           listeners, upstreams, exports, latencies, connections (default)\n"
    "  verdicts       what is known about the speed of zeroing, and why\n"
    "  connections    the connections alone\n"
    "  top            all that, live\n"
    "  json           everything, as one JSON object\n"
    "  prometheus     everything, as metrics for Prometheus\n"
    "  check          one line for a monitoring system: exit code 0 fine, 1 warning,\n"
    "                 2 critical, 3 unknown\n"
    "\n"
    "  reload         read the configuration and all its files anew\n"
    "  drain          take no more connections, finish what is in flight, and end\n"
    "  upgrade        hand over to the program that is installed now\n"
    "  verdict [UPSTREAM/]EXPORT fast|slow|auto|forget\n"
    "                 set a verdict, until auto; or forget what was measured\n"
    "  log-level error|warn|info|debug\n"
    "\n"
    "  -s, --socket SOCKET    the proxy's control socket (default: $NBDZERO_CONTROL,\n"
    "                         or " DEFAULT_SOCKET ")\n"
    "  -w, --watch[=SECONDS]  show, verdicts, connections: again and again, with rates;\n"
    "                         every 2 seconds if not told; top: how often it is redrawn\n"
    "      --no-colour        no colours, as on what is no terminal\n"
    "  -h, --help             this text\n"
    "  -V, --version          the version\n";

static const struct command *
find_command(const struct command *commands, unsigned n, const char *name)
{
    for (unsigned i = 0; i < n; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

// Of a check 2 would mean that the proxy is in trouble, not that whoever set the check up is.
static bool
misused(int argc, char **argv, int *code)
{
    *code = EXIT_USAGE;
    fputs("Try nbdzero-stat --help.\n", stderr);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "check") == 0) {
            puts("UNKNOWN - usage: nbdzero-stat [-s SOCKET] check");
            *code = CHECK_UNKNOWN;
        }
    }
    return false;
}

static bool
read_seconds(const char *text, double *seconds)
{
    char *end;
    *seconds = text ? strtod(text, &end) : EVERY_USUAL;
    if (!text || (end != text && (*end == '\0' || strcmp(end, "s") == 0) && isfinite(*seconds) &&
                  *seconds >= EVERY_LEAST && *seconds <= EVERY_MOST))
        return true;
    fprintf(stderr, "nbdzero-stat: --watch=%s: seconds are from %.1f to %.0f\n", text, EVERY_LEAST,
            EVERY_MOST);
    return false;
}

static bool
read_words(const struct command *c, struct command_line *a)
{
    const char *fault = NULL;
    if (a->n_words < c->least || a->n_words > c->most)
        fprintf(stderr, "nbdzero-stat: %s takes %s\n", c->name,
                c->syntax ? c->syntax : "no arguments");
    else if (a->every > 0 && !c->watched)
        fprintf(stderr, "nbdzero-stat: %s is done once: it takes no --watch\n", c->name);
    else if (c->fault && (fault = c->fault(a->words)))
        fprintf(stderr, "nbdzero-stat: %s: %s\n", c->name, fault);
    else
        return true;
    return false;
}

bool
command_line_read(int argc, char **argv, const struct command *commands, unsigned n_commands,
                  struct command_line *a, int *code)
{
    static const struct option longs[] = {
        {"socket", required_argument, NULL, 's'},
        {"watch", optional_argument, NULL, 'w'},
        {"no-colour", no_argument, NULL, 'c'},
        {"no-color", no_argument, NULL, 'c'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {NULL, 0, NULL, 0},
    };
    *a = (struct command_line){.socket_path = getenv("NBDZERO_CONTROL")};
    *code = 0;
    if (!a->socket_path || !*a->socket_path)
        a->socket_path = DEFAULT_SOCKET;
    for (int c; (c = getopt_long(argc, argv, "s:w::hV", longs, NULL)) != -1;) {
        switch (c) {
        case 's': a->socket_path = optarg; break;
        case 'w':
            if (!read_seconds(optarg, &a->every))
                return misused(argc, argv, code);
            break;
        case 'c': a->no_colour = true; break;
        case 'h': fputs(usage, stdout); return false;
        case 'V': puts("nbdzero-stat " NBDZERO_VERSION); return false;
        default: return misused(argc, argv, code);
        }
    }
    const char *name = optind < argc ? argv[optind] : "show";
    a->command = find_command(commands, n_commands, name);
    if (!a->command) {
        fprintf(stderr, "nbdzero-stat: unknown command: %s\n", name);
        return misused(argc, argv, code);
    }
    a->words = argv + optind + 1;
    a->n_words = argc > optind ? argc - optind - 1 : 0;
    return read_words(a->command, a) || misused(argc, argv, code);
}
