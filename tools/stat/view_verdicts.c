// SPDX-License-Identifier: BSD-3-Clause
#include "table.h"
#include "units.h"
#include "views.h"

#include <stdlib.h>
#include <string.h>

enum paint
verdict_paint(const char *word)
{
    if (strcmp(word, "fast") == 0)
        return GOOD;
    if (strcmp(word, "slow") == 0 || strcmp(word, "mixed") == 0)
        return WARN;
    return PLAIN;
}

// Why a verdict is as it is, in few words.
static void
say_reason(const json_t *v, char *buf, size_t cap)
{
    const char *source = fact_text(v, "source");
    const json_t *ratio = json_object_get(v, "ratio");
    if (strcmp(source, "pinned") == 0)
        snprintf(buf, cap, "set by administrator");
    else if (json_is_number(ratio))
        snprintf(buf, cap, "costs %.0f%% of a write", json_number_value(ratio) * 100);
    else if (strcmp(source, "upstream") == 0)
        snprintf(buf, cap, "upstream's own word");
    else if (strcmp(fact_text(v, "verdict"), "unknown") == 0)
        snprintf(buf, cap, "not measured yet");
    else
        snprintf(buf, cap, "-");
}

// Why there is no verdict at all.
static const char *
say_silence(const json_t *e)
{
    const json_t *fast = json_object_get(e, "fast_zero");
    const char *policy = fact_text(fast, "policy");
    if (strcmp(policy, "measure") != 0)
        return "not measured";
    if (!json_is_integer(json_object_get(e, "size")))
        return "not used yet";
    return json_is_true(json_object_get(fast, "upstream_advertised")) ? "upstream is asked"
                                                                      : "not measured yet";
}

static int64_t
age_of(const json_t *v)
{
    const json_t *age = json_object_get(v, "age_s");
    return json_is_integer(age) ? json_integer_value(age) : -1;
}

// "64K" for one size, "512-1M", and "16M and up" where it reaches to the export's end.
static void
cell_sizes(struct table *t, const json_t *e, const json_t *v)
{
    uint64_t from = fact_number(v, "bytes_from"), to = fact_number(v, "bytes_to");
    struct units_text a = units_size(from), b = units_size(to);
    // Of an export that nobody has used yet the end is not known.
    bool to_end = !json_is_integer(json_object_get(v, "bytes_to")) || to >= fact_number(e, "size");
    if (from <= 1 && to_end)
        table_cell(t, "all");
    else if (to_end)
        table_cell(t, "%s and up", a.s);
    else if (strcmp(a.s, b.s) == 0)
        table_cell(t, "%s", a.s);
    else
        table_cell(t, "%s-%s", a.s, b.s);
}

static void
cell_name(struct table *t, const json_t *e)
{
    char *name = fact_export(e);
    table_cell(t, "%s", name);
    free(name);
}

static void
add_row(struct table *t, const json_t *e, const json_t *v)
{
    char reason[48];
    table_cell(t, "%s", json_is_true(json_object_get(v, "no_hole")) ? "yes" : "no");
    cell_sizes(t, e, v);
    table_cell(t, "%s", fact_text(v, "verdict"));
    table_paint(t, verdict_paint(fact_text(v, "verdict")));
    table_cell(t, "%s", fact_text(v, "source"));
    table_cell(t, "%s", age_of(v) >= 0 ? units_duration(age_of(v)).s : "-");
    table_cell(t, "%s", units_count(fact_number(v, "samples")).s);
    say_reason(v, reason, sizeof reason);
    table_cell(t, "%s", reason);
}

static const struct column columns[] = {
    {"EXPORT", LEFT, 14}, {"NO_HOLE", LEFT, 0}, {"SIZES", LEFT, 0},       {"VERDICT", LEFT, 0},
    {"SOURCE", LEFT, 0},  {"AGE", RIGHT, 0},    {"SAMPLES", RIGHT, 0, 1}, {"REASON", LEFT, 14, 2},
};

static void
add_rows(struct table *t, const json_t *e, bool named)
{
    const json_t *list = json_object_get(e, "verdicts");
    size_t i;
    json_t *v;
    json_array_foreach(list, i, v)
    {
        if (named)
            cell_name(t, e);
        add_row(t, e, v);
    }
    if (json_array_size(list))
        return;
    if (named)
        cell_name(t, e);
    for (unsigned dash = 0; dash < 6; dash++)
        table_cell(t, "-");
    table_cell(t, "%s", say_silence(e));
}

void
view_verdicts_of(const struct look *l, struct canvas *c, const json_t *export)
{
    struct table t;
    table_begin(&t, columns + 1, sizeof columns / sizeof columns[0] - 1);
    add_rows(&t, export, false);
    table_draw(&t, c, l->width);
}

void
view_verdicts(const struct look *l, struct canvas *c)
{
    struct table t;
    table_begin(&t, columns, sizeof columns / sizeof columns[0]);
    size_t i;
    json_t *e;
    json_array_foreach(json_object_get(l->now->snapshot, "exports"), i, e) add_rows(&t, e, true);
    table_draw(&t, c, l->width);
}

struct verdict_word
verdict_word_of(const json_t *export)
{
    struct verdict_word w = {.word = "-", .source = "-", .age = -1, .reason = "-"};
    const json_t *last = NULL;
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(export, "verdicts"), i, v)
    {
        const char *word = fact_text(v, "verdict");
        bool known = age_of(v) >= 0;
        if (!last || (known && (age_of(last) < 0 || age_of(v) < age_of(last))))
            last = v;
        // Sizes of which nothing is known say nothing of the others.
        if (strcmp(word, "unknown") == 0 && *w.word != '-')
            continue;
        w.word = *w.word == '-' || strcmp(w.word, "unknown") == 0 || strcmp(w.word, word) == 0
                     ? word
                     : "mixed";
    }
    if (!last) {
        snprintf(w.reason, sizeof w.reason, "%s", say_silence(export));
        return w;
    }
    w.source = fact_text(last, "source");
    w.age = age_of(last);
    say_reason(last, w.reason, sizeof w.reason);
    return w;
}
