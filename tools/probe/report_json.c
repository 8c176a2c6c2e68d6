// SPDX-License-Identifier: BSD-3-Clause
#include "report.h"
#include "votes.h"

#include <base/text.h>
#include <string.h>
#include <wire/names.h>

static json_t *
names_json(const char *words)
{
    json_t *list = json_array();
    for (size_t len; *words; words += len + (words[len] == ' ')) {
        len = strcspn(words, " ");
        json_array_append_new(list, json_stringn(words, len));
    }
    return list;
}

// Escaped where it is no UTF-8: what was measured must not be lost for a file name.
static json_t *
text_or_null(const char *text)
{
    char escaped[2048];
    json_t *j = *text ? json_string(text) : json_null();
    return j ? j : json_string(text_escape(escaped, sizeof escaped, bytes_str(text)));
}

static json_t *
tls_json(const struct server_facts *f)
{
    if (!*f->tls_version)
        return json_null();
    return json_pack("{s:s, s:s, s:o}", "version", f->tls_version, "cipher", f->tls_cipher, "peer",
                     text_or_null(f->tls_peer));
}

static json_t *
facts_json(const struct server_facts *f)
{
    static const char *const styles[] = {[UPSTREAM_FIXED] = "fixed newstyle",
                                         [UPSTREAM_NEWSTYLE] = "newstyle",
                                         [UPSTREAM_OLDSTYLE] = "oldstyle"};
    char flags[200];
    const struct upstream_export *e = &f->export;
    if (!e->known)
        return json_null();
    json_t *contexts = json_array();
    for (unsigned i = 0; i < f->n_contexts; i++)
        json_array_append_new(contexts, json_string(f->contexts[i]));
    json_t *sizes = json_null();
    if (e->has_block_size)
        sizes = json_pack("{s:I, s:I, s:I}", "minimum", (json_int_t)e->minimum, "preferred",
                          (json_int_t)e->preferred, "maximum", (json_int_t)e->maximum);
    return json_pack(
        "{s:s, s:s, s:o, s:o, s:o, s:I, s:i, s:o, s:b, s:o, s:o}", "style", styles[f->style],
        "format", wire_format_name(f->format), "tls", tls_json(f), "name", text_or_null(f->name),
        "description", text_or_null(f->description), "size", (json_int_t)e->size, "upstream_flags",
        (int)e->flags, "flags",
        names_json(result_flags(e->flags & (uint16_t)~NBD_FLAG_HAS_FLAGS, flags, sizeof flags)),
        "upstream_advertised", (e->flags & NBD_FLAG_SEND_FAST_ZERO) != 0, "block_size", sizes,
        "contexts", contexts);
}

// verdicts[] as nbdzero-stat json has them -----------------------------------------------------

static json_int_t
bytes_to(const struct result *r, const struct zero_row *row)
{
    bool no_end = row->bytes_to == UINT64_MAX;
    return (json_int_t)(no_end ? r->facts.export.size : row->bytes_to);
}

static json_t *
verdict_json(const struct result *r, const struct result_class *c, const struct zero_row *row)
{
    const char *source = zero_source_name(row->source);
    nstime age = r->ended > row->since ? r->ended - row->since : 0;
    return json_pack(
        "{s:b, s:I, s:I, s:s, s:s?, s:o, s:o, s:i}", "no_hole", (int)c->no_hole, "bytes_from",
        (json_int_t)row->bytes_from, "bytes_to", bytes_to(r, row), "verdict",
        zero_verdict_name(row->verdict), "source", *source ? source : NULL, "age_s",
        row->since ? json_integer((json_int_t)(age / NS_PER_SEC)) : json_null(), "ratio",
        row->ratio >= 0 ? json_real(row->ratio) : json_null(), "samples", (int)row->samples);
}

static json_t *
verdicts_json(const struct result *r)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < r->n_classes; i++) {
        struct zero_class copy = r->classes[i].class; // it may forget what has run out
        struct zero_row rows[ZERO_ROWS];
        unsigned n = zero_class_rows(&copy, &r->rules, r->ended, rows, ZERO_ROWS);
        for (unsigned j = 0; j < n; j++)
            json_array_append_new(list, verdict_json(r, &r->classes[i], &rows[j]));
    }
    return list;
}

// What was measured -------------------------------------------------------------------------

static json_t *
level_json(const struct result_level *l)
{
    json_t *o = json_pack("{s:I, s:i, s:f, s:f, s:f, s:f}", "size", (json_int_t)l->size, "samples",
                          (int)l->samples, "write_us", l->write / 1e3, "write_flush_us",
                          l->flush_write / 1e3, "zero_us", l->zero / 1e3, "zero_flush_us",
                          l->flush_zero / 1e3);
    bool told = l->compared && l->contrast.steep;
    json_object_set_new(o, "slope", told ? json_real(l->contrast.s) : json_null());
    json_object_set_new(o, "flush_slope",
                        told && l->contrast.has_fs ? json_real(l->contrast.fs) : json_null());
    return o;
}

static json_t *
levels_json(const struct probe *p)
{
    json_t *list = json_array();
    for (unsigned level = 0; level < probe_levels(p); level++) {
        struct result_level l = result_level(p, level);
        if (l.samples)
            json_array_append_new(list, level_json(&l));
    }
    return list;
}

static json_t *
cost_json(const struct zero_cost *c)
{
    return json_pack("{s:f, s:f}", "request_us", c->a / 1e3, "byte_ns", c->b);
}

static json_t *
model_json(const struct zero_model *m)
{
    return json_pack("{s:o, s:o, s:o}", "write", cost_json(&m->write), "zero", cost_json(&m->zero),
                     "ratio", m->ratio >= 0 ? json_real(m->ratio) : json_null());
}

static json_t *
sizes_json(const struct result *r, const struct result_class *c)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < r->asked->n_sizes; i++) {
        uint64_t n = r->asked->sizes[i];
        json_array_append_new(list, json_pack("{s:I, s:s}", "size", (json_int_t)n, "verdict",
                                              zero_verdict_name(result_judge(r, c, n))));
    }
    return list;
}

static json_t *
class_json(const struct result *r, const struct result_class *c)
{
    char why[RESULT_WORDS];
    uint64_t written = 0;
    for (unsigned i = 0; i < c->n_runs; i++)
        written += c->runs[i].probe.written;
    const struct probe *p = &votes_shown(c)->probe;
    nstime decided = p->decided ? p->decided - p->began : 0;
    struct zero_model line = result_fit(p);
    uint32_t doubt = result_contradicted(p);
    json_t *fit = p->levels[1].n ? model_json(&line) : json_null(); // a line needs two levels
    return json_pack("{s:b, s:s, s:s, s:o, s:I, s:o, s:i, s:{s:i, s:i}, s:I, s:o, s:o, s:o, s:o}",
                     "no_hole", (int)c->no_hole, "verdict", zero_verdict_name(c->class.verdict),
                     "why", result_why(r, c, why, sizeof why), "contradicted_by",
                     doubt ? json_integer(doubt) : json_null(), "time_ms",
                     (json_int_t)(c->took / NS_PER_MS), "decided_ms",
                     decided ? json_real((double)decided / NS_PER_MS) : json_null(), "runs",
                     (int)c->n_runs, "votes", "fast", (int)votes_for(c, ZERO_FAST), "slow",
                     (int)votes_for(c, ZERO_SLOW), "bytes", (json_int_t)written, "model",
                     c->class.has_model ? model_json(&c->class.model) : json_null(), "fit", fit,
                     "levels", levels_json(p), "sizes", sizes_json(r, c));
}

static json_t *
range_json(const struct range *r)
{
    return json_pack("{s:I, s:I}", "offset", (json_int_t)r->offset, "length",
                     (json_int_t)r->length);
}

json_t *
report_json(const struct result *r)
{
    static const char *const modes[] = {
        [ASK_READ_ONLY] = "read-only", [ASK_IN_PLACE] = "in-place", [ASK_SCRATCH] = "scratch"};
    json_t *classes = json_array();
    for (unsigned i = 0; i < r->n_classes; i++)
        json_array_append_new(classes, class_json(r, &r->classes[i]));
    json_t *damage = json_null();
    if (r->damaged) {
        damage = range_json(&r->damage);
        json_object_set_new(damage, "rescue", text_or_null(r->rescue));
    }
    return json_pack("{s:s, s:o, s:s, s:o, s:f, s:o, s:o, s:o, s:o, s:o}", "version",
                     NBDZERO_VERSION, "uri", text_or_null(r->asked->uri), "mode",
                     modes[r->asked->mode], "export", facts_json(&r->facts), "fast_zero_ratio",
                     r->rules.ratio, "range", r->range.length ? range_json(&r->range) : json_null(),
                     "verdicts", verdicts_json(r), "classes", classes, "altered", damage, "error",
                     text_or_null(r->trouble));
}
