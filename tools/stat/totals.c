// SPDX-License-Identifier: BSD-3-Clause
#include "totals.h"

const char *const command_keys[COMMANDS_COUNT] = {"read",  "write",        "write_zeroes", "trim",
                                                  "flush", "block_status", "cache"};
const char *const command_words[COMMANDS_COUNT] = {"read",  "write",  "zeroes", "trim",
                                                   "flush", "status", "cache"};

struct traffic
traffic_of(const struct look *l, const json_t *export, const json_t *before)
{
    struct traffic t = {0};
    const json_t *now = json_object_get(export, "commands");
    const json_t *then = json_object_get(before, "commands");
    if (!then)
        return (struct traffic){-1, -1, -1, -1};
    for (unsigned i = 0; i < COMMANDS_COUNT; i++) {
        const json_t *a = json_object_get(then, command_keys[i]);
        const json_t *b = json_object_get(now, command_keys[i]);
        if (!a || !b)
            continue;
        t.requests += look_rate(l, b, a, "count");
        t.errors += look_rate(l, b, a, "errors");
        // Zeroes and trims carry no bytes: what they do is no throughput.
        if (i == 0)
            t.bytes_out += look_rate(l, b, a, "bytes");
        else if (i == 1)
            t.bytes_in += look_rate(l, b, a, "bytes");
    }
    return t;
}

struct totals
totals_of(const struct look *l)
{
    struct totals sum = {0};
    size_t i;
    json_t *e, *c;
    const json_t *connections = json_object_get(l->now->snapshot, "connections");
    sum.connections = json_array_size(connections);
    json_array_foreach(connections, i, c) sum.in_flight += fact_number(c, "in_flight");
    if (look_seconds(l) <= 0) {
        sum.requests = sum.errors = sum.bytes_in = sum.bytes_out = -1;
        return sum;
    }
    json_array_foreach(json_object_get(l->now->snapshot, "exports"), i, e)
    {
        struct traffic t = traffic_of(l, e, look_export_before(l, e));
        if (t.requests < 0) // one that is new: its first requests count from the next time on
            continue;
        sum.requests += t.requests;
        sum.errors += t.errors;
        sum.bytes_in += t.bytes_in;
        sum.bytes_out += t.bytes_out;
    }
    return sum;
}
