// SPDX-License-Identifier: BSD-3-Clause
// nbdzero-probe: what is made of a measurement: words, verdicts by size, JSON, a picture's script.
#include "curve.h"
#include "plot.h"
#include "report.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MIB (1u << 20)

// A server with these costs: ms a request, ms a MiB.
struct costs {
    double write_a, write_b, zero_a, zero_b;
};

static nstime
cost(double a, double b, uint64_t n)
{
    return (nstime)((a + b * (double)n / MIB) * NS_PER_MS);
}

static void
run_probe(struct probe *p, const struct zero_rules *rules, const struct costs *c, nstime *now,
          uint64_t length)
{
    probe_begin(p, PROBE_SCRATCH, rules, (struct range){0, length}, 0, false, *now);
    probe_be_thorough(p);
    for (;;) {
        struct probe_step s = probe_next(p, *now);
        if (s.want == PROBE_WANT_FINISH)
            return;
        struct probe_outcome o = {.clean = true, .took = NS_PER_US};
        if (s.want == PROBE_WANT_WRITE)
            o.took = cost(c->write_a, c->write_b, s.length);
        else if (s.want == PROBE_WANT_ZERO)
            o.took = cost(c->zero_a, c->zero_b, s.length);
        *now += o.took;
        probe_report(p, &o, *now);
    }
}

static struct arguments asked = {.uri = "nbd://h/e",
                                 .mode = ASK_SCRATCH,
                                 .ratio = 0.30,
                                 .sizes = {65536, MIB, 16 * MIB},
                                 .n_sizes = 3};

static void
measured(struct result *r, const struct costs *c, unsigned runs, uint64_t length)
{
    *r = (struct result){.asked = &asked, .n_classes = 1, .ended = NS_PER_SEC};
    r->facts.export = (struct upstream_export){.known = true, .size = 100 * MIB};
    r->rules = (struct zero_rules){.policy = ZERO_MEASURE,
                                   .ratio = 0.30,
                                   .probe = true,
                                   .probe_time = 60 * NS_PER_SEC,
                                   .probe_bytes = UINT64_C(1) << 30,
                                   .max_zero = 32 * MIB};
    struct result_class *k = &r->classes[0];
    zero_class_begin(&k->class);
    for (; k->n_runs < runs; k->n_runs++) {
        struct result_run *run = &k->runs[k->n_runs];
        run_probe(&run->probe, &r->rules, c, &r->ended, length);
        run->finding = probe_finding(&run->probe);
        zero_class_learn(&k->class, &r->rules, &run->finding, r->ended);
    }
}

static const struct costs fast = {1, 4, 1, 0}, slow = {1, 4, 1, 4}, fixed = {0.1, 4, 20, 0.01};

static void
expect_words(const struct costs *c, unsigned runs, uint64_t length, const char *headline,
             const char *why)
{
    static struct result r;
    char text[RESULT_WORDS];
    measured(&r, c, runs, length);
    result_headline(&r, &r.classes[0], text, sizeof text);
    cr_expect(strncmp(text, headline, strlen(headline)) == 0, "%s, not %s", text, headline);
    result_why(&r, &r.classes[0], text, sizeof text);
    cr_expect(strstr(text, why), "%s", text);
}

Test(probe_result, words)
{
    expect_words(&fast, 2, 64 * MIB, "fast", "less than 0.01 of a written one, its FLUSH included");
    expect_words(&slow, 1, 64 * MIB, "slow", "1.00 of a written one: it is being written");
    expect_words(&fixed, 2, 64 * MIB, "fast from 5", "of a written one");
    expect_words(&(struct costs){1, 4, 1, 2.4}, 1, 64 * MIB, "slow", "fast is below 0.30");
    expect_words(&(struct costs){50, 0.01, 50, 0}, 1, 64 * MIB, "slow", "hardly longer");
    expect_words(&fast, 1, 2 * MIB, "unknown", "too small a range, to measure 4M");
}

Test(probe_result, one_fast_finding_is_no_verdict)
{
    static struct result r;
    measured(&r, &fast, 1, 64 * MIB);
    cr_expect_eq(result_judge(&r, &r.classes[0], 16 * MIB), ZERO_UNKNOWN);
    measured(&r, &fast, 2, 64 * MIB);
    cr_expect_eq(result_judge(&r, &r.classes[0], 16 * MIB), ZERO_FAST);
}

// A disturbance at 1 MiB that nothing larger confirms.
Test(probe_result, contradicted)
{
    static struct result r;
    measured(&r, &fast, 1, 64 * MIB);
    struct probe p = r.classes[0].runs[0].probe;
    cr_expect_eq(result_contradicted(&p), 0, "it is not slow");
    p.verdict = ZERO_SLOW;
    p.decided_level = 1;
    cr_expect_eq(result_contradicted(&p), 64 * MIB);
    p.levels[4].n = 0;
    cr_expect_eq(result_contradicted(&p), 16 * MIB);
    p.decided_level = 3;
    cr_expect_eq(result_contradicted(&p), 0, "nothing larger");
    measured(&r, &slow, 1, 64 * MIB);
    cr_expect_eq(result_contradicted(&r.classes[0].runs[0].probe), 0);
}

// As the daemon's class says, size by size.
Test(probe_result, judges_as_the_daemon)
{
    static struct result r;
    measured(&r, &fixed, 2, 64 * MIB);
    struct result_class *c = &r.classes[0];
    uint64_t from = result_fast_from(&r, c);
    cr_expect(from > 4 * MIB && from < 6 * MIB, "%llu", (unsigned long long)from);
    for (uint64_t n = 512; n < UINT64_C(1) << 32; n = n * 3 / 2) {
        bool forward = zero_class_judge(&c->class, &r.rules, n, r.ended) == ZERO_FORWARD;
        cr_expect_eq(result_judge(&r, c, n), forward ? ZERO_FAST : ZERO_SLOW);
        cr_expect_eq(forward, n >= from, "%llu", (unsigned long long)n);
    }
}

Test(probe_result, levels_are_medians)
{
    struct probe p = {.mode = PROBE_RESTORE};
    nstime took[] = {3000, 1000, 2000};
    p.levels[1].n = 3;
    memcpy(p.levels[1].took[PROBE_OP_ZERO], took, sizeof took);
    struct result_level l = result_level(&p, 1);
    cr_expect(l.size == MIB && l.samples == 3 && !l.compared);
    cr_expect_float_eq(l.zero, 2000, 1e-9);
    p.levels[1].n = 2;
    cr_expect_float_eq(result_level(&p, 1).zero, 2000, 1e-9);
    cr_expect_float_eq(result_level(&p, 2).zero, 0, 1e-9);
}

static void
expect_line(const struct curve_point *p, unsigned n, double a, double b)
{
    struct zero_cost c = curve_line(p, n);
    cr_expect_float_eq(c.a, a, 1e-6 * a + 1e-9, "a %g", c.a);
    cr_expect_float_eq(c.b, b, 1e-6 * b + 1e-9, "b %g", c.b);
}

Test(probe_fit, lines)
{
    struct curve_point exact[5], falls[] = {{1, 10}, {2, 5}}, steep[] = {{1, 1}, {2, 3}};
    for (unsigned i = 0; i < 5; i++) {
        exact[i].n = probe_level_size(i);
        exact[i].t = 1234 + 0.5 * exact[i].n;
    }
    expect_line(exact, 5, 1234, 0.5);
    expect_line(exact, 2, 1234, 0.5);
    expect_line(exact, 1, exact[0].t, 0);
    expect_line(exact, 0, 0, 0);
    expect_line((struct curve_point[]){{1, 0}, {2, 0}}, 2, 0, 0); // a clock that stands still
    struct zero_cost c = curve_line(falls, 2);
    cr_expect(c.b == 0 && c.a > 5 && c.a < 10);
    c = curve_line(steep, 2);
    cr_expect(c.a == 0 && c.b > 1 && c.b < 1.5);
}

// Around any line, twice as much and half as much leave it where it is; and however wild the times,
// it stays among them.
Test(probe_fit, errors_are_relative)
{
    struct curve_point p[10];
    unsigned seed = 1;
    for (unsigned i = 0; i < 10; i++) {
        p[i].n = probe_level_size(i / 2);
        p[i].t = (2e4 + 0.5 * p[i].n) * (i % 2 ? 2 : 0.5);
    }
    expect_line(p, 10, 2e4, 0.5);
    for (unsigned run = 0; run < 1000; run++) {
        double least = 1e300, most = 0;
        for (unsigned i = 0; i < 5; i++) {
            p[i].n = probe_level_size(i);
            p[i].t = 1e3 * exp((double)(rand_r(&seed) % 1000) / 80);
            least = fmin(least, p[i].t);
            most = fmax(most, p[i].t);
        }
        struct zero_cost c = curve_line(p, 5);
        cr_assert(c.a >= 0 && c.b >= 0 && isfinite(c.a + c.b), "run %u", run);
        cr_assert(c.a + c.b * p[0].n < 3 * most && c.a + c.b * p[4].n > least / 3, "run %u", run);
    }
}

Test(probe_result, fit_is_of_all_levels)
{
    static struct result r;
    measured(&r, &fixed, 1, 64 * MIB);
    struct zero_model m = result_fit(&r.classes[0].runs[0].probe);
    cr_expect_float_eq(m.write.a, 0.1e6 + 1e3, 1e3);
    cr_expect_float_eq(m.write.b * MIB, 4e6, 1e3);
    cr_expect_float_eq(m.zero.a, 20e6, 1e4);
    cr_expect_float_eq(m.ratio, 0.01 / 4, 1e-4);
}

Test(probe_result, times)
{
    static const struct {
        double ns;
        const char *text;
    } cases[] = {{0, "0.00 us"},         {1234, "1.23 us"},    {99949, "99.9 us"},
                 {99950, "100 us"},      {999600, "1.00 ms"},  {1.5e9, "1.50 s"},
                 {123.4 * 1e9, "123 s"}, {12345678, "12.3 ms"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[40];
        cr_expect_str_eq(result_time(cases[i].ns, text, sizeof text), cases[i].text);
    }
}

Test(probe_result, flags)
{
    char text[200];
    cr_expect_str_eq(result_flags(NBD_FLAG_HAS_FLAGS, text, sizeof text), "none");
    cr_expect_str_eq(result_flags(NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FAST_ZERO, text, sizeof text),
                     "FLUSH FAST_ZERO");
    result_flags(0xffff, text, sizeof text);
    cr_expect_lt(strlen(text), sizeof text - 1);
}

Test(probe_result, progress_grows_to_one)
{
    static struct result r;
    measured(&r, &slow, 1, 64 * MIB);
    struct probe p = r.classes[0].runs[0].probe;
    cr_expect_float_eq(report_share(&(struct probe){.mode = PROBE_SCRATCH}), 0, 1e-9);
    double share = report_share(&p);
    cr_expect(share > 0.8 && share <= 1, "%f", share);
}

Test(probe_report, json)
{
    static struct result r;
    measured(&r, &fixed, 2, 64 * MIB);
    snprintf(r.facts.description, sizeof r.facts.description, "\\xff odd \"text\"");
    json_t *json = report_json(&r);
    cr_assert(json);
    json_t *verdicts = json_object_get(json, "verdicts");
    cr_assert_eq(json_array_size(verdicts), 2);
    json_t *row = json_array_get(verdicts, 1);
    cr_expect_str_eq(json_string_value(json_object_get(row, "verdict")), "fast");
    cr_expect_str_eq(json_string_value(json_object_get(row, "source")), "probe");
    cr_expect_eq(json_integer_value(json_object_get(row, "bytes_to")), 100 * MIB);
    json_t *class = json_array_get(json_object_get(json, "classes"), 0);
    cr_expect_eq(json_array_size(json_object_get(class, "levels")), PROBE_LEVELS);
    cr_expect_eq(json_array_size(json_object_get(class, "sizes")), 3);
    cr_expect(json_is_null(json_object_get(json, "altered")));
    json_decref(json);
}

Test(probe_report, json_of_nothing)
{
    static struct result r;
    r = (struct result){.asked = &asked, .trouble = "no server", .damaged = true};
    json_t *json = report_json(&r);
    cr_assert(json);
    cr_expect(json_is_null(json_object_get(json, "export")));
    cr_expect_str_eq(json_string_value(json_object_get(json, "error")), "no server");
    cr_expect(json_is_null(json_object_get(json_object_get(json, "altered"), "rescue")));
    json_decref(json);
}

// A name that wants to be a command.
Test(probe_report, script_is_not_to_be_tricked)
{
    static struct result r;
    struct arguments hostile = asked;
    char *script = NULL;
    size_t len = 0;
    hostile.uri = "nbd://h/\"`touch /tmp/x`\\\"\n!reboot @m {$x} system('x')";
    measured(&r, &fixed, 2, 64 * MIB);
    r.asked = &hostile;
    FILE *f = open_memstream(&script, &len);
    plot_script(f, &r);
    fclose(f);
    cr_expect(!strpbrk(script, "`@{}!"), "%s", script);
    cr_expect(strstr(script, "nbd://h/??touch /tmp/x?????reboot"), "%s", script);
    cr_expect(strstr(script, "fast from 5"), "%s", script);
    cr_expect(!strstr(script, "nan"));
    free(script);
}
