// SPDX-License-Identifier: BSD-3-Clause
#include "orders.h"

#include "export_word.h"
#include "safe.h"
#include "sample.h"
#include "units.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE  10.0 // seconds
#define RELOADING 60.0 // files may be many, and slow
#define UPGRADING 65.0 // the daemon itself gives it up after 60

static void
print_lines(const json_t *lines, const char *before, FILE *to)
{
    size_t i;
    json_t *line;
    json_array_foreach(lines, i, line)
    {
        char *copy = or_die(strdup(json_is_string(line) ? json_string_value(line) : "?"));
        fprintf(to, "%s%s\n", before, table_safe(copy));
        free(copy);
    }
}

void
order_print(const struct answer *a, const char *done, FILE *out, FILE *err)
{
    char text[sizeof a->error];
    if (!a->result) {
        print_lines(a->faults, "", err);
        memcpy(text, a->error, sizeof text);
        fprintf(err, "nbdzero-stat: %s\n", table_safe(text));
        return;
    }
    snprintf(text, sizeof text, "%s", done);
    fprintf(out, "%s\n", table_safe(text));
    print_lines(json_object_get(a->result, "changes"), "", out);
    print_lines(json_object_get(a->result, "warnings"), "warning: ", out);
}

// `say` has the words for what was done.
static int
give(const struct command_line *a, json_t *request, double patience,
     void (*say)(const json_t *result, char *buf, size_t cap))
{
    struct answer answer;
    char done[512] = "";
    ask(a->socket_path, request, patience, &answer);
    if (answer.result)
        say(answer.result, done, sizeof done);
    order_print(&answer, done, stdout, stderr);
    answer_clear(&answer);
    return answer.kind != ANSWER_RESULT;
}

static void
say_reload(const json_t *result, char *buf, size_t cap)
{
    bool changed = json_array_size(json_object_get(result, "changes"));
    snprintf(buf, cap, "%s", changed ? "reloaded" : "reloaded: nothing has changed");
}

int
order_reload(const struct command_line *a)
{
    return give(a, ask_request("reload"), RELOADING, say_reload);
}

static void
say_drain(const json_t *result, char *buf, size_t cap)
{
    uint64_t n = fact_number(result, "connections");
    snprintf(buf, cap,
             "draining %s connection%s, for at most %s: no new ones are taken, and nbdzero-proxy "
             "ends when what is in flight is done",
             units_count(n).s, n == 1 ? "" : "s",
             units_latency(fact_number(result, "drain_timeout_ms") * 1000).s);
}

int
order_drain(const struct command_line *a)
{
    return give(a, ask_request("drain"), PATIENCE, say_drain);
}

static void
say_upgrade(const json_t *result, char *buf, size_t cap)
{
    uint64_t pid = fact_number(result, "pid");
    snprintf(buf, cap,
             pid ? "upgraded: process %llu takes new connections, the old one keeps its own until "
                   "they end"
                 : "upgraded: a new process takes new connections, the old one keeps its own until "
                   "they end",
             (unsigned long long)pid);
}

int
order_upgrade(const struct command_line *a)
{
    return give(a, ask_request("upgrade"), UPGRADING, say_upgrade);
}

static bool
is_one_of(const char *word, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(word, *words) == 0)
            return true;
    return false;
}

const char *
order_verdict_fault(char **words)
{
    static const char *const verdicts[] = {"fast", "slow", "auto", "forget", NULL};
    return is_one_of(words[1], verdicts) ? NULL
                                         : "the last word is one of fast, slow, auto and forget";
}

const char *
order_log_level_fault(char **words)
{
    static const char *const levels[] = {"error", "warn", "info", "debug", NULL};
    return is_one_of(words[0], levels) ? NULL : "the level is one of error, warn, info and debug";
}

static void
say_verdict(const json_t *result, char *buf, size_t cap)
{
    const char *verdict = fact_text(result, "verdict");
    char *name = fact_export(result);
    if (strcmp(verdict, "forget") == 0)
        snprintf(buf, cap, "%s: what was measured is forgotten", name);
    else if (strcmp(verdict, "auto") == 0)
        snprintf(buf, cap, "%s: measured, not pinned", name);
    else
        snprintf(buf, cap, "%s: %s, until auto", name, verdict);
    free(name);
}

// Names may hold slashes: only who knows the exports can tell where one begins.
int
order_verdict(const struct command_line *a)
{
    struct answer answer;
    struct export_word t;
    ask(a->socket_path, ask_request("json"), PATIENCE, &answer);
    if (!answer.result) {
        order_print(&answer, "", stdout, stderr);
        answer_clear(&answer);
        return 1;
    }
    export_word_find(&t, answer.result, a->words[0]);
    answer_clear(&answer);
    json_t *request = or_die(ask_request("verdict"));
    json_object_set_new(request, "export", json_string(t.name));
    json_object_set_new(request, "verdict", json_string(a->words[1]));
    if (t.upstream)
        json_object_set_new(request, "upstream", json_string(t.upstream));
    export_word_free(&t);
    return give(a, request, PATIENCE, say_verdict);
}

static void
say_log_level(const json_t *result, char *buf, size_t cap)
{
    snprintf(buf, cap, "log-level is %s, was %s", fact_text(result, "log_level"),
             fact_text(result, "before"));
}

int
order_log_level(const struct command_line *a)
{
    json_t *request = or_die(ask_request("log-level"));
    json_object_set_new(request, "level", json_string(a->words[0]));
    return give(a, request, PATIENCE, say_log_level);
}
