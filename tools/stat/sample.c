// SPDX-License-Identifier: BSD-3-Clause
#include "sample.h"

#include "safe.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAME 0.02 // seconds between two that can only be one: ages are told in milliseconds

const char *
fact_text(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s ? s : "-";
}

uint64_t
fact_number(const json_t *object, const char *key)
{
    json_int_t n = json_integer_value(json_object_get(object, key));
    return n < 0 ? 0 : (uint64_t)n;
}

char *
fact_export(const json_t *object)
{
    char *both;
    const char *name = fact_text(object, "export");
    int n = asprintf(&both, "%s/%s", fact_text(object, "upstream"), *name ? name : "\"\"");
    return or_die(n < 0 ? NULL : both);
}

void
sample_free(struct sample *s)
{
    json_decref(s->snapshot);
    json_decref(s->index);
    *s = (struct sample){0};
}

// Ids are numbers and names hold a slash: one index has room for both.
static char *
id_of(const json_t *connection)
{
    char *id;
    int n = asprintf(&id, "%" PRIu64, fact_number(connection, "id"));
    return or_die(n < 0 ? NULL : id);
}

static void
index_list(json_t *index, const json_t *list, char *(*name_of)(const json_t *object))
{
    size_t i;
    json_t *object;
    json_array_foreach(list, i, object)
    {
        char *name = name_of(object);
        json_object_set(index, name, object);
        free(name);
    }
}

bool
sample_is_known(const struct sample *now, double at, double age)
{
    return now->snapshot && age > 0 && at - age - now->at < SAME;
}

void
sample_take(struct sample *now, struct sample *before, json_t *snapshot, double at,
            int64_t unix_time)
{
    sample_free(before);
    *before = *now;
    *now = (struct sample){.snapshot = json_incref(snapshot), .at = at, .time = unix_time};
    if (!before->snapshot)
        return;
    before->index = or_die(json_object());
    index_list(before->index, json_object_get(before->snapshot, "connections"), id_of);
    index_list(before->index, json_object_get(before->snapshot, "exports"), fact_export);
}

static const json_t *
find_before(const struct look *l, const json_t *object, char *(*name_of)(const json_t *object))
{
    if (look_seconds(l) <= 0)
        return NULL;
    char *name = name_of(object);
    const json_t *found = json_object_get(l->before->index, name);
    free(name);
    return found;
}

double
look_seconds(const struct look *l)
{
    if (!l->before || !l->before->snapshot ||
        fact_number(l->before->snapshot, "pid") != fact_number(l->now->snapshot, "pid"))
        return 0;
    return l->now->at - l->before->at;
}

const json_t *
look_connection_before(const struct look *l, const json_t *connection)
{
    return find_before(l, connection, id_of);
}

const json_t *
look_export_before(const struct look *l, const json_t *export)
{
    return find_before(l, export, fact_export);
}

double
look_rate(const struct look *l, const json_t *now, const json_t *before, const char *key)
{
    double seconds = look_seconds(l);
    if (!before || seconds <= 0)
        return -1;
    uint64_t a = fact_number(before, key), b = fact_number(now, key);
    return b < a ? 0 : (double)(b - a) / seconds;
}
