// SPDX-License-Identifier: BSD-3-Clause
#include "checks.h"
#include "report.h"
#include "votes.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <table.h>
#include <units.h>
#include <wire/names.h>

#define MIB (1u << 20)

static struct units_text
time_text(double ns)
{
    struct units_text t;
    result_time(ns, t.s, sizeof t.s);
    return t;
}

// What the server says ----------------------------------------------------------------------

static void
print_block_size(const struct upstream_export *e)
{
    if (e->has_block_size)
        printf("Block size    minimum %s, preferred %s, maximum %s\n", units_size(e->minimum).s,
               units_size(e->preferred).s, units_size(e->maximum).s);
    else
        puts("Block size    not told");
}

static void
print_contexts(const struct server_facts *f)
{
    printf("Contexts     ");
    for (unsigned i = 0; i < f->n_contexts; i++)
        printf(" %s", f->contexts[i]);
    if (f->contexts_left)
        printf(" and %u more", f->contexts_left);
    puts(f->n_contexts ? "" : " none");
}

static void
print_facts(const struct result *r)
{
    static const char *const styles[] = {[UPSTREAM_FIXED] = "fixed newstyle",
                                         [UPSTREAM_NEWSTYLE] = "newstyle, not fixed",
                                         [UPSTREAM_OLDSTYLE] = "oldstyle"};
    const struct server_facts *f = &r->facts;
    char flags[200];
    printf("Server        %s, %s replies\n", styles[f->style], wire_format_name(f->format));
    if (*f->tls_version)
        printf("TLS           %s, %s, peer %s\n", f->tls_version, f->tls_cipher,
               *f->tls_peer ? f->tls_peer : "not named");
    if (*f->name)
        printf("Name          %s\n", f->name);
    if (f->has_description)
        printf("Description   %s\n", f->description);
    printf("Size          %" PRIu64 " (%s)\n", f->export.size, units_size(f->export.size).s);
    printf("Flags         %s\n", result_flags(f->export.flags, flags, sizeof flags));
    print_block_size(&f->export);
    print_contexts(f);
    bool own = f->export.flags & NBD_FLAG_SEND_FAST_ZERO;
    printf("Fast zeroes   %s\n",
           own ? "advertised: nbdzero-proxy passes them on and measures nothing"
               : "not advertised: nbdzero-proxy measures them");
}

static void
print_plan(const struct result *r)
{
    char why[400];
    struct arguments would = {.mode = ASK_IN_PLACE};
    puts("");
    if (!checks_pass(&would, &r->facts, why, sizeof why)) {
        printf("Not to be measured: %s.\n", why);
        return;
    }
    puts("Nothing was written, and nothing measured. --in-place would rewrite up to 96M with what "
         "is\n"
         "there, for each class and measurement. --scratch OFFSET:LENGTH would leave random\n"
         "bytes in that range.");
}

// What was measured -------------------------------------------------------------------------

static void
print_levels(const struct probe *p)
{
    static const struct column columns[] = {
        {"SIZE", RIGHT, 0}, {"SAMPLES", RIGHT, 0}, {"WRITE", RIGHT, 0},   {"+ FLUSH", RIGHT, 0},
        {"ZERO", RIGHT, 0}, {"+ FLUSH", RIGHT, 0}, {"PER BYTE", RIGHT, 0}};
    struct table t;
    table_begin(&t, columns, sizeof columns / sizeof columns[0]);
    for (unsigned level = 0; level < probe_levels(p); level++) {
        struct result_level l = result_level(p, level);
        if (!l.samples)
            continue;
        table_cell(&t, "%s", units_size(l.size).s);
        table_cell(&t, "%u", l.samples);
        table_cell(&t, "%s", time_text(l.write).s);
        table_cell(&t, "%s", time_text(l.flush_write).s);
        table_cell(&t, "%s", time_text(l.zero).s);
        table_cell(&t, "%s", time_text(l.flush_zero).s);
        if (l.compared && l.contrast.steep)
            table_cell(&t, "%.3f", l.contrast.s);
        else
            table_cell(&t, "-");
    }
    table_end(&t, table_width());
}

static void
print_fit(const struct zero_model *m)
{
    printf("Fit: a write %s and %s a MiB, a zero %s and %s a MiB, each with its FLUSH",
           time_text(m->write.a).s, time_text(m->write.b * MIB).s, time_text(m->zero.a).s,
           time_text(m->zero.b * MIB).s);
    if (m->ratio >= 0)
        printf(":\n     over all sizes a zeroed byte costs %.3f of a written one", m->ratio);
    puts(".");
}

static void
print_sizes(const struct result *r, const struct result_class *c)
{
    static const struct column columns[] = {
        {"REQUEST", RIGHT, 0}, {"VERDICT", LEFT, 0}, {"WRITE", RIGHT, 0}, {"ZERO", RIGHT, 0}};
    const struct zero_model fit = result_fit(&votes_shown(c)->probe), *m = &fit;
    struct table t;
    table_begin(&t, columns, sizeof columns / sizeof columns[0]);
    for (unsigned i = 0; i < r->asked->n_sizes; i++) {
        uint64_t n = r->asked->sizes[i];
        table_cell(&t, "%s", units_size(n).s);
        table_cell(&t, "%s", zero_verdict_name(result_judge(r, c, n)));
        table_cell(&t, "%s", time_text(zero_model_write_time(m, n)).s);
        table_cell(&t, "%s", time_text(zero_model_zero_time(m, n, r->rules.max_zero)).s);
    }
    table_end(&t, table_width());
}

// What a client of the proxy may have to wait for the same.
#define PROBE_TIME_USUAL NS_PER_SEC

static void
print_effort(const struct result *r, const struct result_class *c)
{
    const struct probe *p = &votes_shown(c)->probe;
    uint64_t written = 0;
    for (unsigned i = 0; i < c->n_runs; i++)
        written += c->runs[i].probe.written;
    nstime decided = p->decided ? p->decided - p->began : 0;
    printf("\n%s written in %s%s%s.\n", units_size(written).s, time_text((double)c->took).s,
           decided ? "; the verdict stood after " : "",
           decided ? time_text((double)decided).s : "");
    if (r->asked->mode == ASK_IN_PLACE && decided > PROBE_TIME_USUAL)
        puts("nbdzero-proxy needs that much probe-time to find it out, too.");
}

static void
print_class(const struct result *r, const struct result_class *c)
{
    char why[RESULT_WORDS], headline[80];
    const struct probe *p = &votes_shown(c)->probe;
    printf("\n%s: %s\n", c->no_hole ? "NO_HOLE" : "Holes allowed",
           result_headline(r, c, headline, sizeof headline));
    printf("Because %s.\n\n", result_why(r, c, why, sizeof why));
    print_levels(p);
    print_effort(r, c);
    if (result_contradicted(p))
        printf("But what was measured at %s says fast: something may have disturbed it.\n",
               units_size(result_contradicted(p)).s);
    if (p->levels[1].n) { // a line needs two levels
        struct zero_model fit = result_fit(p);
        puts("");
        print_fit(&fit);
        puts("");
        print_sizes(r, c);
    }
}

void
report_tables(const struct result *r)
{
    if (r->facts.export.known)
        print_facts(r);
    if (r->asked->mode == ASK_READ_ONLY && r->facts.export.known)
        print_plan(r);
    for (unsigned i = 0; i < r->n_classes; i++)
        print_class(r, &r->classes[i]);
}
