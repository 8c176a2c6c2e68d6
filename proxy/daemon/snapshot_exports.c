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

// A row without an end reaches as far as requests can.
static json_t *
bytes_to(const struct zero_row *row, const struct export_description *d)
{
    uint64_t to = row->bytes_to;
    if (to > INT64_MAX && !d->serial)
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
number_if(bool known, uint64_t number)
{
    return known ? json_integer((json_int_t)number) : json_null();
}

// `seen`: size and flags are known.
static json_t *
export_json(const struct snapshot *s, const struct export_description *d,
            const struct export_counters *c, bool seen)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:i, s:o, s:o, s:o, s:o, s:{s:I, s:I, s:I}, s:I,"
                     " s:I, s:o, s:o, s:o}",
                     "upstream", snapshot_text(d->upstream), "export", snapshot_text(d->name),
                     "size", number_if(seen, d->size), "upstream_flags",
                     number_if(seen, d->upstream_flags), "advertised_flags",
                     number_if(seen, d->advertised_flags), "connections", (int)d->connections,
                     "fast_zero", fast_zero_json(d, c), "verdicts", verdicts_json(s, d), "probes",
                     counts_probes_json(c), "learning", counts_learning_json(c, d->demotions),
                     "zeroes", "split", (json_int_t)c->zeroes.split, "by_writing",
                     (json_int_t)c->zeroes.by_writing, "held", (json_int_t)c->zeroes.held,
                     "repairs", (json_int_t)c->repairs, "translations", (json_int_t)c->translations,
                     "request_endings", counts_endings_json(c), "errors", counts_errors_json(c),
                     "commands", counts_commands_json(c));
}

// Registry and reports mostly have the same order: looks where the last one was found first.
static const struct export_part *
find_part(const struct worker_report *r, uint64_t e, size_t *hint)
{
    for (size_t i = 0; i < r->n_exports; i++) {
        size_t at = (*hint + i) % r->n_exports;
        if (r->exports[at].export == e) {
            *hint = at + 1;
            return &r->exports[at];
        }
    }
    return NULL;
}

static void
add_part(struct export_counters *sum, const struct worker_report *r, const struct export_part *p)
{
    export_counters_merge(sum, &p->counters);
    for (unsigned i = 0; i < COUNTED_COMMANDS; i++)
        if (p->used[i])
            histogram_merge_packed(&sum->latency[i], r->packed + p->latency[i]);
}

static void
clear(struct export_counters *sum)
{
    struct histogram *latency = sum->latency;
    for (unsigned i = 0; i < COUNTED_COMMANDS; i++)
        histogram_clear(&latency[i]);
    *sum = (struct export_counters){.latency = latency};
}

// `hints`: one for each report.
static void
sum_of_workers(const struct snapshot *s, uint64_t e, size_t *hints, struct export_counters *sum)
{
    clear(sum);
    for (size_t i = 0; i < s->n_reports; i++) {
        const struct export_part *p = find_part(&s->reports[i], e, &hints[i]);
        if (p)
            add_part(sum, &s->reports[i], p);
    }
}

// What is shown so far, and under which names.
struct shown {
    json_t *list, *names;
};

static const char *
key_of(const struct export_description *d, char *buf, size_t cap)
{
    snprintf(buf, cap, "%s/%s", d->upstream, d->name); // no section's name has a slash
    return buf;
}

static bool
add(struct shown *shown, const struct snapshot *s, const struct export_description *d,
    const struct export_counters *c)
{
    char key[sizeof d->upstream + ESCAPED_NAME + 1];
    // One whose name has bytes that are no UTF-8 is only not found again.
    (void)json_object_set_new(shown->names, key_of(d, key, sizeof key), json_true());
    return json_array_append_new(shown->list, export_json(s, d, c, d->serial)) == 0;
}

// One that the configuration names: shown like an empty one, unless it has been seen.
static bool
add_configured(struct shown *shown, const struct snapshot *s,
               const struct upstream_settings *upstream, struct bytes name,
               const struct policy *policy, const struct export_counters *none)
{
    struct export_description d = {.policy = policy->zero.policy};
    snprintf(d.upstream, sizeof d.upstream, "%s", upstream->name);
    char key[sizeof d.upstream + ESCAPED_NAME + 1];
    text_escape(d.name, sizeof d.name, name);
    return json_object_get(shown->names, key_of(&d, key, sizeof key)) || add(shown, s, &d, none);
}

static bool
add_all_configured(struct shown *shown, const struct snapshot *s,
                   const struct export_counters *none)
{
    const struct settings *set = s->settings;
    bool good = true;
    for (unsigned i = 0; good && i < set->n_exports; i++) {
        const struct export_settings *e = &set->exports[i];
        good = add_configured(shown, s, e->upstream, e->upstream_name, &e->policy, none);
    }
    for (unsigned i = 0; good && i < set->n_upstreams; i++) {
        const struct upstream_settings *u = &set->upstreams[i];
        if (u->uri.export_len)
            good = add_configured(shown, s, u, bytes_of(u->uri.export, u->uri.export_len),
                                  &u->policy, none);
    }
    return good;
}

static bool
add_all(struct shown *shown, const struct snapshot *s, struct export_counters *sum)
{
    size_t *hints = calloc(s->n_reports + 1, sizeof *hints);
    bool good = hints;
    for (size_t i = 0; good && i < s->n_exports; i++) {
        sum_of_workers(s, s->exports[i].serial, hints, sum);
        good = add(shown, s, &s->exports[i], sum);
    }
    free(hints);
    clear(sum);
    return good && add_all_configured(shown, s, sum);
}

json_t *
snapshot_exports_json(const struct snapshot *s)
{
    struct shown shown = {json_array(), json_object()};
    struct export_counters sum = {
        .latency = calloc(COUNTED_COMMANDS, sizeof *sum.latency)}; // 100 KiB: not for a stack
    bool good = shown.list && shown.names && sum.latency && add_all(&shown, s, &sum);
    free(sum.latency);
    json_decref(shown.names);
    if (good)
        return shown.list;
    json_decref(shown.list);
    return NULL;
}
