// SPDX-License-Identifier: BSD-3-Clause
// One table a list of the snapshot, one row a family. All samples of a family stand together, as
// the format wants it. Names follow Prometheus' guide: base units, _total for what only grows, and
// a label only for what has few values.
#include "prometheus.h"

#include "exposition.h"
#include "prometheus_families.h"
#include "prometheus_merge.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>

// Which requests to zero are fast is a function of the size: shown for these.
static const json_int_t verdict_sizes[] = {64 << 10, 1 << 20, 16 << 20, 1 << 30};

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

// Families --------------------------------------------------------------------------------

static void
put_samples(FILE *f, const struct family *m, const json_t *item, struct labels labels)
{
    const json_t *in = m->in ? json_object_get(item, m->in) : item;
    for (unsigned i = 0; i < KEYS_MOST && m->keys[i]; i++) {
        const json_t *v = json_object_get(in, m->keys[i]);
        if (!json_is_number(v) && !json_is_boolean(v))
            continue; // not known, or not there
        struct labels l = m->label ? with(labels, m->label, m->keys[i]) : labels;
        put_name(f, m->name, &l);
        put_number(f, v, m->unit);
    }
}

static const char *
text_of(const json_t *item, const char *key)
{
    const char *text = json_string_value(json_object_get(item, key));
    return text ? text : "";
}

// By their names for people, label by label.
static struct labels
labels_of(const json_t *item, const char *const *names, unsigned n)
{
    struct labels l = {{NULL}};
    for (unsigned i = 0; i < n; i += 2)
        l = with(l, names[i], text_of(item, names[i + 1]));
    return l;
}

static void
put_list(FILE *f, const json_t *list, const struct family *families, const char *const *labels,
         unsigned n_labels)
{
    for (size_t i = 0; families[i].name; i++) {
        size_t at;
        json_t *item;
        put_help(f, families[i].name, families[i].type, families[i].help);
        json_array_foreach(list, at, item)
            put_samples(f, &families[i], item, labels_of(item, labels, n_labels));
    }
}

static const char *const export_labels[] = {"upstream", "upstream", "export", "export"};

static struct labels
labels_of_export(const json_t *e)
{
    return labels_of(e, export_labels, LENGTH(export_labels));
}

// Requests --------------------------------------------------------------------------------

static void
put_commands(FILE *f, const json_t *exports)
{
    for (size_t i = 0; of_command[i].name; i++) {
        size_t at;
        json_t *e, *command;
        const char *name;
        put_help(f, of_command[i].name, of_command[i].type, of_command[i].help);
        json_array_foreach(exports, at, e)
            json_object_foreach(json_object_get(e, "commands"), name, command)
                put_samples(f, &of_command[i], command, with(labels_of_export(e), "command", name));
    }
}

static void
put_buckets(FILE *f, const char *name, const json_t *latency, json_int_t count, struct labels l)
{
    size_t at;
    json_t *pair;
    char family[96], le[32];
    snprintf(family, sizeof family, "%s_bucket", name);
    json_array_foreach(json_object_get(latency, "buckets"), at, pair)
    {
        snprintf(le, sizeof le, "%g", json_number_value(json_array_get(pair, 0)) / 1e6);
        struct labels b = with(l, "le", le);
        put_name(f, family, &b);
        put_number(f, json_array_get(pair, 1), 0);
    }
    struct labels all = with(l, "le", "+Inf");
    put_name(f, family, &all);
    fprintf(f, "%" JSON_INTEGER_FORMAT "\n", count);
    snprintf(family, sizeof family, "%s_sum", name);
    put_name(f, family, &l);
    put_number(f, json_object_get(latency, "sum"), 1e-6);
    snprintf(family, sizeof family, "%s_count", name);
    put_name(f, family, &l);
    fprintf(f, "%" JSON_INTEGER_FORMAT "\n", count);
}

// Only of commands that an export has seen: each is two dozen series.
static void
put_latencies(FILE *f, const json_t *exports)
{
    static const char name[] = "nbdzero_request_duration_seconds";
    size_t at;
    json_t *e, *command;
    const char *key;
    put_help(f, name, "histogram",
             "From a request's header to the last byte of its reply, handed to the kernel.");
    json_array_foreach(exports, at, e)
        json_object_foreach(json_object_get(e, "commands"), key, command)
    {
        json_int_t count = json_integer_value(json_object_get(command, "count"));
        if (count > 0)
            put_buckets(f, name, json_object_get(command, "latency_us"), count,
                        with(labels_of_export(e), "command", key));
    }
}

// Verdicts --------------------------------------------------------------------------------

static const char *
verdict_of(const json_t *rows, bool no_hole, json_int_t size)
{
    size_t at;
    json_t *row;
    json_array_foreach(rows, at, row)
    {
        const json_t *to = json_object_get(row, "bytes_to"); // null: as far as there is anything
        if (json_is_true(json_object_get(row, "no_hole")) == no_hole &&
            json_integer_value(json_object_get(row, "bytes_from")) <= size &&
            (json_is_null(to) || size <= json_integer_value(to)))
            return text_of(row, "verdict");
    }
    return "unknown";
}

// Nothing where nobody knows.
static void
put_verdict(FILE *f, const char *name, const json_t *e, bool no_hole, json_int_t size)
{
    char text[32];
    const char *verdict = verdict_of(json_object_get(e, "verdicts"), no_hole, size);
    if (strcmp(verdict, "unknown") == 0)
        return;
    snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT, size);
    struct labels l =
        with(with(labels_of_export(e), "no_hole", no_hole ? "true" : "false"), "size_bytes", text);
    put_name(f, name, &l);
    fprintf(f, "%d\n", strcmp(verdict, "fast") == 0);
}

static void
put_verdicts(FILE *f, const json_t *exports)
{
    static const char name[] = "nbdzero_zeroing_is_fast";
    size_t at;
    json_t *e;
    put_help(f, name, GAUGE, "1 where zeroing so many bytes is fast, 0 where it is slow.");
    json_array_foreach(exports, at, e)
    {
        for (int no_hole = 0; no_hole < 2; no_hole++)
            for (size_t i = 0; i < LENGTH(verdict_sizes); i++)
                put_verdict(f, name, e, no_hole, verdict_sizes[i]);
    }
}

// All of it -------------------------------------------------------------------------------

static void
put_process(FILE *f, const json_t *s)
{
    struct labels version = with((struct labels){{NULL}}, "version", text_of(s, "version"));
    put_help(f, "nbdzero_build_info", GAUGE, "1, with the version.");
    put_name(f, "nbdzero_build_info", &version);
    fputs("1\n", f);
    for (size_t i = 0; of_process[i].name; i++) {
        put_help(f, of_process[i].name, of_process[i].type, of_process[i].help);
        put_samples(f, &of_process[i], s, (struct labels){{NULL}});
    }
}

static void
put_named(FILE *f, const json_t *exports, const struct named *n)
{
    size_t at;
    json_t *e, *count;
    const char *key;
    put_help(f, n->name, COUNTER, n->help);
    json_array_foreach(exports, at, e)
    {
        json_t *in = n->in ? json_object_get(e, n->in) : e;
        json_object_foreach(json_object_get(in, n->object), key, count)
        {
            struct labels l = with(labels_of_export(e), n->label, key);
            put_name(f, n->name, &l);
            put_number(f, count, 0);
        }
    }
}

static void
put_endings(FILE *f, const json_t *s)
{
    static const char name[] = "nbdzero_session_endings_total";
    const char *ending;
    json_t *count;
    put_help(f, name, COUNTER, "Sessions that have ended, by the way they did.");
    json_object_foreach(json_object_get(s, "endings"), ending, count)
    {
        struct labels l = with((struct labels){{NULL}}, "ending", ending);
        put_name(f, name, &l);
        put_number(f, count, 0);
    }
}

char *
prometheus_text(const json_t *snapshot, size_t *len)
{
    static const char *const by_listener[] = {"listener", "name"};
    static const char *const by_upstream[] = {"upstream", "name"};
    static const char *const by_certificate[] = {"owner", "owner", "file", "file"};
    char *text = NULL;
    json_t *exports = prometheus_distinct_exports(json_object_get(snapshot, "exports"));
    FILE *f = exports ? open_memstream(&text, len) : NULL;
    if (!f) {
        json_decref(exports);
        return NULL;
    }
    (void)__fsetlocking(f, FSETLOCKING_BYCALLER); // nobody else has it
    put_process(f, snapshot);
    put_endings(f, snapshot);
    put_list(f, json_object_get(snapshot, "listeners"), of_listener, by_listener,
             LENGTH(by_listener));
    put_list(f, json_object_get(snapshot, "upstreams"), of_upstream, by_upstream,
             LENGTH(by_upstream));
    put_list(f, json_object_get(snapshot, "certificates"), of_certificate, by_certificate,
             LENGTH(by_certificate));
    put_list(f, exports, of_export, export_labels, LENGTH(export_labels));
    for (size_t i = 0; of_names[i].name; i++)
        put_named(f, exports, &of_names[i]);
    put_commands(f, exports);
    put_latencies(f, exports);
    put_verdicts(f, exports);
    json_decref(exports);
    bool bad = ferror(f);
    if (fclose(f) != 0 || bad) {
        free(text);
        return NULL;
    }
    return text;
}
