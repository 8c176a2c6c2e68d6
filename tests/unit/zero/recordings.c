// SPDX-License-Identifier: BSD-3-Clause
#include "recordings.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINES_MOST  8192u
#define JUDGE_EVERY 4u // as export/judging.c

// Reading ---------------------------------------------------------------------------------

static enum zero_verdict
truth_of(const char *text, const char *key)
{
    const char *at = strstr(text, key);
    cr_assert(at != NULL, "no %s in \"%s\"", key, text);
    at += strlen(key);
    if (strncmp(at, "fast", 4) == 0)
        return ZERO_FAST;
    if (strncmp(at, "slow", 4) == 0)
        return ZERO_SLOW;
    cr_assert(strncmp(at, "either", 6) == 0, "%s", text);
    return ZERO_UNKNOWN;
}

static void
take_header(struct trace *t, const char *text)
{
    if (strncmp(text, "# truth:", 8) == 0) {
        t->truth[0] = truth_of(text, " zero=");
        t->truth[1] = truth_of(text, " no_hole=");
    } else if (strncmp(text, "# direct:", 9) == 0) {
        int n = sscanf(text, "# direct: write=%lf zero=%lf no_hole=%lf", &t->write, &t->zero[0],
                       &t->zero[1]);
        cr_assert(n == 3 && t->write > 0, "%s: %s", t->name, text);
    } else if (strncmp(text, "# load:", 7) == 0) {
        t->load = !strstr(text, "none");
    } else if (strncmp(text, "# native:", 9) == 0) {
        t->asked = !strstr(text, "not asked");
        t->liar = strstr(text, "liar");
    } else if (strncmp(text, "# noisy:", 8) == 0) {
        t->noisy = true;
    }
}

static bool
has(const char *flags, const char *word)
{
    return strstr(flags, word);
}

static void
take_line(struct trace *t, const char *text)
{
    static const char *const words[] = {"read", "write", "zero", "trim", "flush"};
    struct trace_line l = {0};
    char word[8], flags[40];
    int end = 0, n = sscanf(text, "%lu %lu %7s %39s %lu %u%n", &l.at, &l.took, word, flags, &l.n,
                            &l.others, &end);
    cr_assert(n == 6 && text[end] == '\n' && t->count < LINES_MOST, "%s: %s", t->name, text);
    while (l.command <= TRACE_FLUSH && strcmp(word, words[l.command]) != 0)
        l.command++;
    cr_assert(l.command <= TRACE_FLUSH, "%s: %s", t->name, text);
    l.fast = has(flags, "fast");
    l.no_hole = has(flags, "no_hole");
    l.fua = has(flags, "fua");
    l.error = has(flags, "error");
    t->lines[t->count++] = l;
}

static void
read_one(struct trace *t, const char *name)
{
    char path[512], text[1024];
    *t = (struct trace){.lines = calloc(LINES_MOST, sizeof *t->lines)};
    snprintf(t->name, sizeof t->name, "%s", name);
    snprintf(path, sizeof path, "%s/%s", RECORDINGS, name);
    FILE *f = fopen(path, "r");
    cr_assert(f != NULL && t->lines != NULL, "%s", path);
    while (fgets(text, sizeof text, f))
        if (*text == '#')
            take_header(t, text);
        else
            take_line(t, text);
    fclose(f);
    cr_assert(t->write > 0 && t->count > 100, "%s is not a whole trace", name);
}

static int
is_trace(const struct dirent *e)
{
    const char *dot = strrchr(e->d_name, '.');
    return dot && strcmp(dot, ".trace") == 0;
}

unsigned
traces_read(struct trace *t)
{
    struct dirent **names;
    int n = scandir(RECORDINGS, &names, is_trace, alphasort);
    cr_assert(n > 0 && n <= (int)RECORDINGS_MOST, "%d traces in %s", n, RECORDINGS);
    for (int i = 0; i < n; i++) {
        read_one(&t[i], names[i]->d_name);
        free(names[i]);
    }
    free(names);
    return (unsigned)n;
}

void
traces_free(struct trace *t, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        free(t[i].lines);
}

// Learning --------------------------------------------------------------------------------

nstime
replay_now(const struct trace_line *l)
{
    return NS_PER_SEC + l->at + l->took;
}

static enum traffic_op
operation(const struct trace_line *l)
{
    if (l->command == TRACE_WRITE)
        return TRAFFIC_WRITE;
    return l->no_hole ? TRAFFIC_ZERO_NO_HOLE : TRAFFIC_ZERO;
}

bool
replay_saw(struct replay *r, const struct trace_line *l)
{
    bool alone = !l->others;
    enum traffic_op op;
    uint64_t n;
    if (l->command == TRACE_READ)
        return false;
    if (l->error || l->command == TRACE_TRIM || l->fua) {
        traffic_muddled(&r->unflushed);
        return false;
    }
    if (l->command == TRACE_FLUSH) {
        if (traffic_flushed(&r->unflushed, alone, &op, &n))
            traffic_saw_flush(&r->traffic, op, n, l->took, replay_now(l));
        return false;
    }
    traffic_changed(&r->unflushed, operation(l), l->n);
    if (!alone || l->n < TRAFFIC_FROM)
        return false;
    traffic_saw(&r->traffic, operation(l), l->n, l->took, replay_now(l));
    r->counted++;
    return ++r->news % JUDGE_EVERY == 0;
}
