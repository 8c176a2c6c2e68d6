// SPDX-License-Identifier: BSD-3-Clause
// nbdzero-stat: what nbdzero-proxy is doing.
#include "ask.h"
#include "check.h"
#include "command_line.h"
#include "orders.h"
#include "safe.h"
#include "screen.h"
#include "watch.h"

#include <locale.h>
#include <prometheus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PATIENCE  10.0 // seconds
#define CHECKING  5.0  // monitoring systems themselves wait for ten, often
#define TOP_USUAL 1.0  // between redraws

static int
show(const struct command_line *a)
{
    return watch(a, view_show);
}

static int
verdicts(const struct command_line *a)
{
    return watch(a, view_verdicts);
}

static int
connections(const struct command_line *a)
{
    return watch(a, view_connections);
}

static int
top(const struct command_line *a)
{
    return screen_run(a->socket_path, a->every > 0 ? a->every : TOP_USUAL, watch_colour(a),
                      watch_utf8());
}

static int
render(const struct command_line *a, void (*print)(const json_t *snapshot))
{
    struct answer answer;
    ask(a->socket_path, ask_request("json"), PATIENCE, &answer);
    if (answer.result)
        print(answer.result);
    else
        fprintf(stderr, "nbdzero-stat: %s\n", table_safe(answer.error));
    answer_clear(&answer);
    return answer.kind != ANSWER_RESULT;
}

static void
print_json(const json_t *snapshot)
{
    json_dumpf(snapshot, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
    putchar('\n');
}

static void
print_prometheus(const json_t *snapshot)
{
    size_t len;
    char *text = or_die(prometheus_text(snapshot, &len));
    fwrite(text, 1, len, stdout);
    free(text);
}

static int
json(const struct command_line *a)
{
    return render(a, print_json);
}

static int
prometheus(const struct command_line *a)
{
    return render(a, print_prometheus);
}

static int
check(const struct command_line *a)
{
    char line[CHECK_LINE];
    struct answer answer;
    ask(a->socket_path, ask_request("json"), CHECKING, &answer);
    enum check_level level = check_answer(&answer, time(NULL), line);
    puts(line);
    answer_clear(&answer);
    return (int)level;
}

#define EXPORT_WORDS "[UPSTREAM/]EXPORT fast|slow|auto|forget"

static const struct command commands[] = {
    {"show", 0, 0, NULL, show, true, NULL},
    {"verdicts", 0, 0, NULL, verdicts, true, NULL},
    {"connections", 0, 0, NULL, connections, true, NULL},
    {"top", 0, 0, NULL, top, true, NULL},
    {"json", 0, 0, NULL, json, false, NULL},
    {"prometheus", 0, 0, NULL, prometheus, false, NULL},
    {"check", 0, 0, NULL, check, false, NULL},
    {"reload", 0, 0, NULL, order_reload, false, NULL},
    {"drain", 0, 0, NULL, order_drain, false, NULL},
    {"upgrade", 0, 0, NULL, order_upgrade, false, NULL},
    {"verdict", 2, 2, EXPORT_WORDS, order_verdict, false, order_verdict_fault},
    {"log-level", 1, 1, "error|warn|info|debug", order_log_level, false, order_log_level_fault},
};

int
main(int argc, char **argv)
{
    struct command_line a;
    int code;
    setlocale(LC_CTYPE, ""); // numbers stay as they are
    if (!command_line_read(argc, argv, commands, sizeof commands / sizeof commands[0], &a, &code))
        return code;
    code = a.command->run(&a);
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    perror("nbdzero-stat: standard output");
    return a.command->run == check ? CHECK_UNKNOWN : 1;
}
