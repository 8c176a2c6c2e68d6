// SPDX-License-Identifier: BSD-3-Clause
// What real servers' traffic cost (traces/, recorded by record_traces), learnt from as session does
// (session/learning.c): never a fast verdict, fast ones taken away where zeroing is slow and only
// there, liars found out and honest servers believed.
#include <criterion/criterion.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zero/native.h>
#include <zero/traffic.h>

#define RECORDS_MOST 1000u
#define JUDGE_EVERY  4u
#define MIB          (UINT64_C(1) << 20)

static const struct zero_rules rules = {
    .policy = ZERO_MEASURE, .ratio = 0.30, .max_zero = 32 * MIB};

struct record {
    nstime at, took;
    char op;
    uint64_t n;
    bool alone;
};

struct trace {
    char name[128], truth[2][8], native[16];
    struct record list[RECORDS_MOST];
    unsigned n;
};

// Reading ---------------------------------------------------------------------------------

static void
read_line(struct trace *t, const char *line)
{
    unsigned long at, took, n;
    int alone;
    char op;
    if (*line == '#') {
        sscanf(line, "# truth: %7s %7s", t->truth[0], t->truth[1]);
        sscanf(line, "# native: %15s", t->native);
        return;
    }
    cr_assert_eq(sscanf(line, "%lu %lu %c %lu %d", &at, &took, &op, &n, &alone), 5, "%s: %s",
                 t->name, line);
    cr_assert(strchr("wznfF", op) && t->n < RECORDS_MOST, "%s: %s", t->name, line);
    t->list[t->n++] = (struct record){at * NS_PER_US, took * NS_PER_US, op, n, alone};
}

static void
read_trace(struct trace *t, const char *name)
{
    char path[512], line[256];
    memset(t, 0, sizeof *t);
    snprintf(t->name, sizeof t->name, "%s", name);
    snprintf(path, sizeof path, "%s/%s", TRACES, name);
    FILE *f = fopen(path, "r");
    cr_assert(f, "%s", path);
    while (fgets(line, sizeof line, f))
        read_line(t, line);
    fclose(f);
    cr_assert(t->n > 100 && (*t->truth[0] || *t->native), "%s: no trace", name);
}

static int
is_trace(const struct dirent *d)
{
    const char *end = strrchr(d->d_name, '.');
    return end && strcmp(end, ".trace") == 0;
}

static unsigned
each_trace(void (*check)(const struct trace *t))
{
    static struct trace t;
    struct dirent **names;
    int n = scandir(TRACES, &names, is_trace, alphasort);
    for (int i = 0; i < n; i++) {
        read_trace(&t, names[i]->d_name);
        check(&t);
        free(names[i]);
    }
    free(names);
    return (unsigned)n;
}

// Learning --------------------------------------------------------------------------------

struct learner {
    struct traffic traffic;
    struct zero_class classes[2];
    struct zero_native native;
    struct traffic_unflushed unflushed;
    unsigned operations;
    unsigned changed[2]; // the operation at which the verdict became another one; 0: never
    unsigned successes, found_out;
};

static enum traffic_op
operation(char op)
{
    return op == 'w' ? TRAFFIC_WRITE : op == 'n' ? TRAFFIC_ZERO_NO_HOLE : TRAFFIC_ZERO;
}

static void
flushed(struct learner *l, const struct record *r)
{
    enum traffic_op op;
    uint64_t n;
    if (traffic_flushed(&l->unflushed, r->alone, &op, &n))
        traffic_saw_flush(&l->traffic, op, n, r->took, r->at);
}

static void
judge(struct learner *l, nstime now)
{
    for (int no_hole = 0; no_hole < 2; no_hole++) {
        struct zero_class *c = &l->classes[no_hole];
        struct zero_model m;
        unsigned samples = 0;
        enum zero_verdict before = c->verdict;
        enum traffic_says says = traffic_judge(&l->traffic, no_hole, &rules, now, &m, &samples);
        zero_class_traffic(c, says, &m, samples, now);
        if (c->verdict != before && !l->changed[no_hole])
            l->changed[no_hole] = l->operations;
    }
}

static void
succeeded(struct learner *l, const struct record *r)
{
    double write;
    l->successes++;
    if (traffic_write_time(&l->traffic, r->n, r->at, &write) &&
        zero_native_succeeded(&l->native, (double)r->took, write, r->at) && !l->found_out)
        l->found_out = l->successes;
}

static void
learn(struct learner *l, const struct record *r)
{
    if (r->op == 'f') {
        flushed(l, r);
        return;
    }
    traffic_changed(&l->unflushed, operation(r->op), r->n);
    if (r->alone && r->n >= TRAFFIC_FROM) {
        traffic_saw(&l->traffic, operation(r->op), r->n, r->took, r->at);
        if (++l->operations % JUDGE_EVERY == 0)
            judge(l, r->at);
    }
    if (r->op == 'F' && r->alone)
        succeeded(l, r);
}

static void
begin(struct learner *l)
{
    memset(l, 0, sizeof *l);
    zero_class_begin(&l->classes[0]);
    zero_class_begin(&l->classes[1]);
    zero_native_begin(&l->native);
}

static void
make_fast(struct zero_class *c)
{
    const struct zero_finding fast = {
        .verdict = ZERO_FAST,
        .has_model = true,
        .model = {.write = {.b = 1}, .zero = {.b = 0.01}, .ratio = 0.01},
        .samples = 9};
    zero_class_learn(c, &rules, &fast, 1);
    zero_class_learn(c, &rules, &fast, 2);
    cr_assert_eq(c->verdict, ZERO_FAST);
}

// Measured ones ---------------------------------------------------------------------------

static void
from_nothing(const struct trace *t)
{
    static struct learner l;
    begin(&l);
    for (unsigned i = 0; i < t->n; i++) {
        learn(&l, &t->list[i]);
        for (int no_hole = 0; no_hole < 2; no_hole++) {
            enum zero_verdict v = l.classes[no_hole].verdict;
            cr_assert_neq(v, ZERO_FAST, "%s: traffic alone made fast", t->name);
            cr_assert(v != ZERO_SLOW || strcmp(t->truth[no_hole], "fast") != 0,
                      "%s, class %d: slow, of what is fast", t->name, no_hole);
        }
    }
}

Test(traces, never_make_fast_nor_call_a_fast_one_slow)
{
    cr_assert_geq(each_trace(from_nothing), 20);
}

static void
from_fast(const struct trace *t)
{
    static struct learner l;
    begin(&l);
    make_fast(&l.classes[0]);
    make_fast(&l.classes[1]);
    for (unsigned i = 0; i < t->n; i++)
        learn(&l, &t->list[i]);
    for (int no_hole = 0; no_hole < 2; no_hole++) {
        if (strcmp(t->truth[no_hole], "fast") == 0)
            cr_expect_eq(l.changed[no_hole], 0, "%s, class %d: a true fast is lost", t->name,
                         no_hole);
        if (strcmp(t->truth[no_hole], "slow") == 0)
            cr_expect(l.changed[no_hole] && l.changed[no_hole] <= 60,
                      "%s, class %d: a wrong fast stays (%u)", t->name, no_hole,
                      l.changed[no_hole]);
    }
}

Test(traces, take_fast_away_where_zeroing_is_slow)
{
    cr_assert_geq(each_trace(from_fast), 20);
}

// Two halves of a trace, or every other request of it, tell the same story.
static void
thinned(const struct trace *t)
{
    static struct learner l;
    for (unsigned phase = 0; phase < 2; phase++) {
        begin(&l);
        for (unsigned i = 0; i < t->n; i++)
            if (t->list[i].op == 'f' || i % 2 == phase)
                learn(&l, &t->list[i]);
        for (int no_hole = 0; no_hole < 2; no_hole++)
            cr_expect(!l.changed[no_hole] || strcmp(t->truth[no_hole], "fast") != 0,
                      "%s, class %d, phase %u: slow, of what is fast", t->name, no_hole, phase);
    }
}

Test(traces, half_of_a_trace_blames_nobody_wrongly)
{
    each_trace(thinned);
}

// Upstreams that advertise it themselves --------------------------------------------------

static unsigned natives;

static void
believed_or_not(const struct trace *t)
{
    static struct learner l;
    if (!*t->native)
        return;
    natives++;
    begin(&l);
    for (unsigned i = 0; i < t->n; i++)
        learn(&l, &t->list[i]);
    cr_assert_geq(l.successes, 8, "%s: too few fast zeroes", t->name);
    if (strcmp(t->native, "liar") == 0)
        cr_expect(l.found_out && l.found_out <= l.successes, "%s: not found out", t->name);
    else
        cr_expect_eq(l.found_out, 0, "%s: accused after %u successes", t->name, l.found_out);
}

Test(traces, liars_are_found_out_and_honest_ones_are_not)
{
    each_trace(believed_or_not);
    cr_assert_eq(natives, 5);
}

// Any traffic at all ----------------------------------------------------------------------

static uint64_t state;

static uint64_t
dice(uint64_t n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % n;
}

// Invented requests: any order, any length, any time from a microsecond to ten seconds.
static void
invent(struct trace *t, uint64_t seed)
{
    static const char ops[] = {'w', 'z', 'n', 'f', 'F'};
    nstime at = NS_PER_SEC;
    memset(t, 0, sizeof *t);
    state = seed;
    for (t->n = 0; t->n < 400; t->n++) {
        nstime took = (nstime)pow(10, 3 + (double)dice(7000) / 1000);
        at += took + dice(NS_PER_SEC);
        t->list[t->n] = (struct record){at, took, ops[dice(5)], (1 + dice(512)) << 16, dice(8) > 0};
    }
}

Test(traces, no_traffic_makes_fast)
{
    static struct trace t;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        invent(&t, seed);
        snprintf(t.name, sizeof t.name, "seed %lu", (unsigned long)seed);
        from_nothing(&t);
    }
}

// A storage that is slower by any factor, in all it does, is judged the same.
Test(traces, only_ratios_count)
{
    static struct trace t, scaled;
    static struct learner a, b;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        invent(&t, seed);
        scaled = t;
        for (unsigned i = 0; i < t.n; i++)
            scaled.list[i].took *= 4;
        begin(&a);
        begin(&b);
        for (unsigned i = 0; i < t.n; i++) {
            learn(&a, &t.list[i]);
            learn(&b, &scaled.list[i]);
        }
        for (int no_hole = 0; no_hole < 2; no_hole++)
            cr_assert_eq(a.changed[no_hole], b.changed[no_hole], "seed %lu", (unsigned long)seed);
    }
}
