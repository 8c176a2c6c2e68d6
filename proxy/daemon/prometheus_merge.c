// SPDX-License-Identifier: BSD-3-Clause
// Two exports may have the same names, where a reload has given an upstream another address: there
// is one for each address. To Prometheus they are one series, which must not come twice: what was
// counted is added up, and what is (size, verdicts) is told of the one that has connections.
#include "prometheus_merge.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char *
text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static void add_members(json_t *into, json_t *from);

// The sum of two numbers, or of all numbers inside of two objects.
static json_t *
sum(json_t *a, json_t *b)
{
    if (json_is_integer(a) && json_is_integer(b))
        return json_integer(json_integer_value(a) + json_integer_value(b));
    if (json_is_object(a) && json_is_object(b)) {
        json_t *copy = json_deep_copy(a);
        add_members(copy, b);
        return copy;
    }
    return json_deep_copy(a);
}

// Pairs of a bound and a count.
static json_t *
sum_of_buckets(json_t *a, json_t *b)
{
    json_t *list = json_array();
    for (size_t i = 0; i < json_array_size(a); i++) {
        json_t *pair = json_array_get(a, i), *other = json_array_get(b, i);
        json_int_t count = json_integer_value(json_array_get(pair, 1)) +
                           json_integer_value(json_array_get(other, 1));
        json_array_append_new(list, json_pack("[O, I]", json_array_get(pair, 0), count));
    }
    return list;
}

static void
add_members(json_t *into, json_t *from)
{
    const char *key;
    json_t *value;
    json_object_foreach(from, key, value)
    {
        json_t *there = json_object_get(into, key);
        // A command that nobody has used has an empty list of buckets.
        if (!there || (json_is_array(there) && json_array_size(there) == 0))
            json_object_set_new(into, key, json_deep_copy(value));
        else if (strcmp(key, "buckets") == 0)
            json_object_set_new(into, key, sum_of_buckets(there, value));
        else
            json_object_set_new(into, key, sum(there, value));
    }
}

// What is not counted.
static bool
is_state(const char *key)
{
    return strcmp(key, "size") == 0 || strcmp(key, "verdicts") == 0 ||
           strcmp(key, "upstream_flags") == 0 || strcmp(key, "advertised_flags") == 0;
}

static json_t *
merged(json_t *a, json_t *b)
{
    bool b_lives = json_integer_value(json_object_get(a, "connections")) == 0;
    json_t *living = b_lives ? b : a;
    json_t *both = sum(a, b);
    const char *key;
    json_t *value;
    json_object_foreach(living, key, value)
    {
        if (is_state(key))
            json_object_set(both, key, value);
    }
    return both;
}

json_t *
prometheus_distinct_exports(const json_t *exports)
{
    json_t *seen = json_object(); // by label text: the place in `list`
    json_t *list = json_array();
    size_t i;
    json_t *one;
    bool good = seen && list;
    json_array_foreach(exports, i, one)
    {
        char labels[1024];
        const char *upstream = text_of(one, "upstream");
        snprintf(labels, sizeof labels, "%zu %s %s", strlen(upstream), upstream,
                 text_of(one, "export"));
        const json_t *place = json_object_get(seen, labels);
        size_t at = place ? (size_t)json_integer_value(place) : json_array_size(list);
        if (place)
            good &= json_array_set_new(list, at, merged(json_array_get(list, at), one)) == 0;
        else
            good &= json_array_append(list, one) == 0 &&
                    json_object_set_new(seen, labels, json_integer((json_int_t)at)) == 0;
    }
    json_decref(seen);
    if (good)
        return list;
    json_decref(list);
    return NULL;
}
