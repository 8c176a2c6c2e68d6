// SPDX-License-Identifier: BSD-3-Clause
// exports[] of the snapshot: those that have been seen, with what all workers counted, and those
// that are configured and nobody has asked for yet.
#include "snapshot.h"

#include "config_keys.h"

#include <base/text.h>
#include <stdlib.h>
#include <string.h>
#include <wire/nbd.h>

#define ESCAPED_NAME sizeof((struct export_description *)0)->name

static json_t *
microseconds(nstime t)
{
    return json_integer((json_int_t)((t + NS_PER_US / 2) / NS_PER_US));
}

// Microseconds, up to which requests are counted: what Prometheus calls buckets.
static const json_int_t latency_bounds[] = {50,     100,     250,     500,     1000,   2500,
                                            5000,   10000,   25000,   50000,   100000, 250000,
                                            500000, 1000000, 2500000, 10000000};

static json_t *
buckets_json(const struct histogram *h)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < sizeof latency_bounds / sizeof latency_bounds[0]; i++) {
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

static json_t *
commands_json(const struct export_counters *c)
{
    json_t *object = json_object();
    for (unsigned i = 0; i < COUNTED_COMMANDS; i++) {
        const struct command_counters *k = &c->commands[i];
        json_t *one = json_pack("{s:I, s:I, s:I, s:o}", "count", (json_int_t)k->count, "bytes",
                                (json_int_t)k->bytes, "errors", (json_int_t)k->errors, "latency_us",
                                latency_json(&k->latency));
        if (json_object_set_new(object, counted_command_names[i], one) < 0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

// A row without an end reaches as far as requests can.
static json_t *
bytes_to(const struct zero_row *row, const struct export_description *d)
{
    uint64_t to = row->bytes_to;
    if (to > INT64_MAX && !d->export)
        return json_null(); // how far that is nobody has said
    if (to > INT64_MAX)
        to = d->size > row->bytes_from ? d->size : row->bytes_from;
    return json_integer((json_int_t)to);
}

static json_t *
verdict_json(const struct snapshot *s, const struct export_description *d, unsigned no_hole,
             const struct zero_row *row)
{
    const char *source = zero_source_name(row->source);
    nstime age = s->ring_now > row->since ? s->ring_now - row->since : 0;
    return json_pack(
        "{s:b, s:I, s:o, s:s, s:s?, s:o, s:o, s:i}", "no_hole", (int)no_hole, "bytes_from",
        (json_int_t)row->bytes_from, "bytes_to", bytes_to(row, d), "verdict",
        zero_verdict_name(row->verdict), "source", *source ? source : NULL, "age_s",
        row->since ? json_integer((json_int_t)(age / NS_PER_SEC)) : json_null(), "ratio",
        row->ratio >= 0 ? json_real(row->ratio) : json_null(), "samples", (int)row->samples);
}

static json_t *
verdicts_json(const struct snapshot *s, const struct export_description *d)
{
    json_t *list = json_array();
    for (unsigned no_hole = 0; no_hole < 2; no_hole++)
        for (unsigned i = 0; i < d->n_rows[no_hole]; i++)
            if (json_array_append_new(list, verdict_json(s, d, no_hole, &d->rows[no_hole][i])) <
                0) {
                json_decref(list);
                return NULL;
            }
    return list;
}

static json_t *
fast_zero_json(const struct export_description *d, const struct export_counters *c)
{
    return json_pack(
        "{s:s, s:b, s:I, s:I, s:I, s:I, s:I}", "policy",
        config_keys[KEY_FAST_ZERO].choices[d->policy], "upstream_advertised",
        (d->upstream_flags & NBD_FLAG_SEND_FAST_ZERO) != 0, "requests",
        (json_int_t)c->fast_zero.requests, "forwarded", (json_int_t)c->fast_zero.forwarded,
        "refused", (json_int_t)c->fast_zero.refused, "already_zero",
        (json_int_t)c->fast_zero.already_zero, "sampled", (json_int_t)c->fast_zero.sampled);
}

static json_t *
probes_json(const struct export_counters *c)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "run", (json_int_t)c->probes.run,
                     "fast", (json_int_t)c->probes.fast, "slow", (json_int_t)c->probes.slow,
                     "undecided", (json_int_t)c->probes.undecided, "damaged",
                     (json_int_t)c->probes.damaged, "bytes", (json_int_t)c->probes.bytes, "time_ms",
                     (json_int_t)((c->probes.time + NS_PER_MS / 2) / NS_PER_MS));
}

static json_t *
number_if(bool known, uint64_t number)
{
    return known ? json_integer((json_int_t)number) : json_null();
}

// `seen`: size and flags are known.
static json_t *
export_json(const struct snapshot *s, const struct export_description *d,
            const struct export_counters *c, bool seen)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:i, s:o, s:o, s:o, s:{s:I, s:I, s:I}, s:I, s:o}",
                     "upstream", snapshot_text(d->upstream), "export", snapshot_text(d->name),
                     "size", number_if(seen, d->size), "upstream_flags",
                     number_if(seen, d->upstream_flags), "advertised_flags",
                     number_if(seen, d->advertised_flags), "connections", (int)d->connections,
                     "fast_zero", fast_zero_json(d, c), "verdicts", verdicts_json(s, d), "probes",
                     probes_json(c), "zeroes", "split", (json_int_t)c->zeroes.split, "by_writing",
                     (json_int_t)c->zeroes.by_writing, "held", (json_int_t)c->zeroes.held,
                     "repairs", (json_int_t)c->repairs, "commands", commands_json(c));
}

static void
sum_of_workers(const struct snapshot *s, const struct export *e, struct export_counters *sum)
{
    memset(sum, 0, sizeof *sum);
    for (size_t i = 0; i < s->n_reports; i++)
        for (size_t j = 0; j < s->reports[i].n_exports; j++)
            if (s->reports[i].exports[j].export == e)
                export_counters_merge(sum, &s->reports[i].exports[j].counters);
}

// One that the configuration names: shown like an empty one, unless it has been seen.
static bool
add_configured(json_t *list, const struct snapshot *s, const struct upstream_settings *upstream,
               struct bytes name, const struct policy *policy, const struct export_counters *none)
{
    char escaped[ESCAPED_NAME];
    text_escape(escaped, sizeof escaped, name);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *e = json_array_get(list, i);
        if (strcmp(json_string_value(json_object_get(e, "upstream")), upstream->name) == 0 &&
            strcmp(json_string_value(json_object_get(e, "export")), escaped) == 0)
            return true;
    }
    struct export_description d = {.policy = policy->zero.policy};
    snprintf(d.upstream, sizeof d.upstream, "%s", upstream->name);
    snprintf(d.name, sizeof d.name, "%s", escaped);
    return json_array_append_new(list, export_json(s, &d, none, false)) == 0;
}

static bool
add_all_configured(json_t *list, const struct snapshot *s, const struct export_counters *none)
{
    const struct settings *set = s->settings;
    bool good = true;
    for (unsigned i = 0; good && i < set->n_exports; i++) {
        const struct export_settings *e = &set->exports[i];
        good = add_configured(list, s, e->upstream, e->upstream_name, &e->policy, none);
    }
    for (unsigned i = 0; good && i < set->n_upstreams; i++) {
        const struct upstream_settings *u = &set->upstreams[i];
        if (u->uri.export_len)
            good = add_configured(list, s, u, bytes_of(u->uri.export, u->uri.export_len),
                                  &u->policy, none);
    }
    return good;
}

json_t *
snapshot_exports_json(const struct snapshot *s)
{
    json_t *list = json_array();
    struct export_counters *sum = calloc(1, sizeof *sum); // 50 KiB: not for a stack
    bool good = list && sum;
    for (size_t i = 0; good && i < s->n_exports; i++) {
        sum_of_workers(s, s->exports[i].export, sum);
        good = json_array_append_new(
                   list, export_json(s, &s->exports[i], sum, s->exports[i].export)) == 0;
    }
    if (good) {
        memset(sum, 0, sizeof *sum);
        good = add_all_configured(list, s, sum);
    }
    free(sum);
    if (good)
        return list;
    json_decref(list);
    return NULL;
}
