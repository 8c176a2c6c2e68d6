// SPDX-License-Identifier: BSD-3-Clause
// What was counted for one export: probes, what traffic taught, how requests ended, commands and
// their latencies.
#include "snapshot.h"

static json_t *
named(const uint64_t *counts, unsigned n, const char *(*name)(unsigned i))
{
    json_t *object = json_object();
    for (unsigned i = 0; i < n; i++)
        if (json_object_set_new(object, name(i), json_integer((json_int_t)counts[i])) < 0) {
            json_decref(object);
            return NULL;
        }
    return object;
}

json_t *
counts_probes_json(const struct export_counters *c)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "run", (json_int_t)c->probes.run,
                     "fast", (json_int_t)c->probes.fast, "slow", (json_int_t)c->probes.slow,
                     "undecided", (json_int_t)c->probes.undecided, "damaged",
                     (json_int_t)c->probes.damaged, "bytes", (json_int_t)c->probes.bytes, "time_ms",
                     (json_int_t)((c->probes.time + NS_PER_MS / 2) / NS_PER_MS), "reasons",
                     named(c->probes.reasons, PROBE_REASONS, probe_reason_name));
}

static const char *
demotion_name(unsigned i)
{
    return demotion_names[i];
}

json_t *
counts_learning_json(const struct export_counters *c, const uint64_t *demotions)
{
    return json_pack("{s:I, s:I, s:o}", "operations", (json_int_t)c->learning.operations, "flushes",
                     (json_int_t)c->learning.flushes, "demotions",
                     named(demotions, DEMOTIONS, demotion_name));
}

static const char *
ending_name(unsigned i)
{
    return request_ending_name((enum request_ending)i);
}

json_t *
counts_endings_json(const struct export_counters *c)
{
    return named(c->endings, REQUEST_ENDINGS_COUNT, ending_name);
}

static const char *
error_name(unsigned i)
{
    return counted_error_names[i];
}

json_t *
counts_errors_json(const struct export_counters *c)
{
    return named(c->errors, COUNTED_ERRORS, error_name);
}

// Commands ---------------------------------------------------------------------------------

static json_t *
microseconds(nstime t)
{
    return json_integer((json_int_t)((t + NS_PER_US / 2) / NS_PER_US));
}

// Microseconds, up to which requests are counted: what Prometheus calls buckets. None of a command
// that nobody has used.
static const json_int_t latency_bounds[] = {50,     100,     250,     500,     1000,   2500,
                                            5000,   10000,   25000,   50000,   100000, 250000,
                                            500000, 1000000, 2500000, 10000000};

static json_t *
buckets_json(const struct histogram *h)
{
    json_t *list = json_array();
    for (unsigned i = 0; h->count && i < sizeof latency_bounds / sizeof latency_bounds[0]; i++) {
        uint64_t n = histogram_count_to(h, (nstime)latency_bounds[i] * NS_PER_US);
        if (json_array_append_new(list, json_pack("[I, I]", latency_bounds[i], (json_int_t)n)) <
            0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *
latency_json(const struct histogram *h)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "p50",
                     microseconds(histogram_quantile(h, 0.5)), "p90",
                     microseconds(histogram_quantile(h, 0.9)), "p99",
                     microseconds(histogram_quantile(h, 0.99)), "p999",
                     microseconds(histogram_quantile(h, 0.999)), "max", microseconds(h->max), "sum",
                     microseconds(h->sum), "buckets", buckets_json(h));
}

json_t *
counts_commands_json(const struct export_counters *c)
{
    json_t *object = json_object();
    for (unsigned i = 0; i < COUNTED_COMMANDS; i++) {
        const struct command_counters *k = &c->commands[i];
        json_t *one = json_pack("{s:I, s:I, s:I, s:o}", "count", (json_int_t)k->count, "bytes",
                                (json_int_t)k->bytes, "errors", (json_int_t)k->errors, "latency_us",
                                latency_json(&c->latency[i]));
        if (json_object_set_new(object, counted_command_names[i], one) < 0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}
