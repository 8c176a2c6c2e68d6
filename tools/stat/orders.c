// SPDX-License-Identifier: BSD-3-Clause
#include "orders.h"

#include "safe.h"
#include "target.h"

#include <stdlib.h>
#include <string.h>

#define PATIENCE  10.0 // seconds
#define RELOADING 60.0 // files may be many, and slow
#define UPGRADING 60.0 // another program starts, and reads them too

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

static int
give(const struct arguments *a, json_t *request, double patience, const char *done)
{
    struct answer answer;
    ask(a->socket_path, request, patience, &answer);
    order_print(&answer, done, stdout, stderr);
    answer_clear(&answer);
    return answer.kind != ANSWER_RESULT;
}

int
order_reload(const struct arguments *a)
{
    struct answer answer;
    ask(a->socket_path, ask_request("reload"), RELOADING, &answer);
    bool changed = json_array_size(json_object_get(answer.result, "changes"));
    order_print(&answer, changed ? "reloaded" : "reloaded: nothing has changed", stdout, stderr);
    answer_clear(&answer);
    return answer.kind != ANSWER_RESULT;
}

int
order_drain(const struct arguments *a)
{
    return give(a, ask_request("drain"), PATIENCE,
                "draining: no new connections; nbdzero-proxy ends when what is in flight is done");
}

int
order_upgrade(const struct arguments *a)
{
    return give(a, ask_request("upgrade"), UPGRADING,
                "upgraded: the new process takes new connections, the old one keeps its own until "
                "they end");
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

static int
send_verdict(const struct arguments *a, const struct target *t)
{
    char done[400], whole[300];
    const char *verdict = a->words[1];
    json_t *request = or_die(ask_request("verdict"));
    snprintf(whole, sizeof whole, "%s%s%s", t->upstream ? t->upstream : "", t->upstream ? "/" : "",
             *t->name ? t->name : "\"\"");
    if (strcmp(verdict, "forget") == 0)
        snprintf(done, sizeof done, "%s: what was measured is forgotten", whole);
    else if (strcmp(verdict, "auto") == 0)
        snprintf(done, sizeof done, "%s: is measured again", whole);
    else
        snprintf(done, sizeof done, "%s: %s, until auto", whole, verdict);
    json_object_set_new(request, "export", json_string(t->name));
    json_object_set_new(request, "verdict", json_string(verdict));
    if (t->upstream)
        json_object_set_new(request, "upstream", json_string(t->upstream));
    return give(a, request, PATIENCE, done);
}

// Names may hold slashes: only who knows the exports can tell where one begins.
int
order_verdict(const struct arguments *a)
{
    struct answer answer;
    ask(a->socket_path, ask_request("json"), PATIENCE, &answer);
    if (!answer.result) {
        order_print(&answer, "", stdout, stderr);
        answer_clear(&answer);
        return 1;
    }
    struct target t;
    target_find(&t, answer.result, a->words[0]);
    answer_clear(&answer);
    int code = send_verdict(a, &t);
    target_free(&t);
    return code;
}

int
order_log_level(const struct arguments *a)
{
    char done[64];
    json_t *request = or_die(ask_request("log-level"));
    json_object_set_new(request, "level", json_string(a->words[0]));
    snprintf(done, sizeof done, "log-level is %s", a->words[0]);
    return give(a, request, PATIENCE, done);
}
