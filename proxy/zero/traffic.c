// SPDX-License-Identifier: BSD-3-Clause
#include <zero/traffic.h>

#include <math.h>
#include <string.h>

#define FRESH        (10 * NS_PER_MIN) // a storage may be another one after that
#define ENOUGH       8u                // operations of a kind
#define ENOUGH_FLUSH 3u                // FLUSHes behind them
#define SLOW_ABOVE   0.25              // s > R + this is slow: as the probe has it

void
traffic_forget(struct traffic *t)
{
    memset(t, 0, sizeof *t);
}

static void
keep(struct traffic_series *s, uint64_t n, nstime took, nstime now)
{
    s->v[s->next] = (struct traffic_sample){.n = n, .took = took, .at = now};
    s->next = (s->next + 1) % FIT_POINTS;
    if (s->count < FIT_POINTS)
        s->count++;
}

void
traffic_saw(struct traffic *t, enum traffic_op op, uint64_t n, nstime took, nstime now)
{
    if (n >= TRAFFIC_FROM)
        keep(&t->ops[op], n, took, now);
}

void
traffic_saw_flush(struct traffic *t, enum traffic_op op, uint64_t n, nstime took, nstime now)
{
    if (n >= TRAFFIC_FROM)
        keep(&t->flushes[op], n, took, now);
}

void
traffic_changed(struct traffic_unflushed *u, enum traffic_op op, uint64_t n)
{
    u->bytes[op] += n;
}

void
traffic_muddled(struct traffic_unflushed *u)
{
    u->muddled = true;
}

bool
traffic_flushed(struct traffic_unflushed *u, bool alone, enum traffic_op *op, uint64_t *n)
{
    unsigned kinds = 0;
    for (unsigned i = 0; i < TRAFFIC_OPS; i++) {
        if (!u->bytes[i])
            continue;
        kinds++;
        *op = (enum traffic_op)i;
        *n = u->bytes[i];
    }
    bool tells = alone && !u->muddled && kinds == 1;
    // What was in flight beside it may not have been in it.
    *u = (struct traffic_unflushed){.muddled = !alone};
    return tells;
}

static unsigned
fresh_points(const struct traffic_series *s, nstime now, struct fit_point *p)
{
    unsigned n = 0;
    for (unsigned i = 0; i < s->count; i++)
        if (now - s->v[i].at <= FRESH)
            p[n++] = (struct fit_point){.n = (double)s->v[i].n, .t = (double)s->v[i].took};
    return n;
}

// What a byte costs, and by how much that may be wrong.
struct price {
    double a, b, doubt;
    unsigned samples;
};

// Where all were about as long, fixed cost and cost per byte cannot be told apart: `fixed` is what
// is known of the former, and all else is put on the bytes.
static struct price
per_byte(struct fit_point *p, unsigned n, double fixed)
{
    double v[FIT_POINTS];
    for (unsigned i = 0; i < n; i++)
        v[i] = fmax(p[i].t - fixed, 0) / p[i].n;
    struct price price = {.a = fixed, .b = fit_median(v, n), .samples = n};
    for (unsigned i = 0; i < n; i++)
        v[i] = fabs(fmax(p[i].t - fixed, 0) / p[i].n - price.b);
    price.doubt = fit_median(v, n);
    return price;
}

static double
typical_length(const struct fit_point *p, unsigned n)
{
    double v[FIT_POINTS];
    for (unsigned i = 0; i < n; i++)
        v[i] = p[i].n;
    return fit_median(v, n);
}

static struct price
price_of(const struct traffic_series *s, unsigned enough, double fixed, nstime now)
{
    struct fit_point p[FIT_POINTS];
    struct fit f;
    unsigned n = fresh_points(s, now, p);
    if (n < enough)
        return (struct price){0};
    if (!fit_line(p, n, &f))
        return per_byte(p, n, fixed);
    return (struct price){
        .a = f.a, .b = f.b, .doubt = f.spread / typical_length(p, n), .samples = n};
}

// Of an operation and the FLUSH behind it.
static struct price
sum(struct price op, struct price flush)
{
    return (struct price){
        .a = op.a + flush.a, .b = op.b + flush.b, .doubt = op.doubt + flush.doubt, op.samples};
}

// Without its FLUSH a WRITE looks cheaper than it is, and zeroes dearer: then nothing is said.
static bool
price_of_writing(const struct traffic *t, nstime now, struct price *total, double *flush_fixed)
{
    struct price op = price_of(&t->ops[TRAFFIC_WRITE], ENOUGH, 0, now);
    struct price flush = price_of(&t->flushes[TRAFFIC_WRITE], ENOUGH_FLUSH, 0, now);
    *total = sum(op, flush);
    *flush_fixed = flush.a;
    return op.samples && flush.samples && total->b > 0;
}

bool
traffic_write_time(const struct traffic *t, uint64_t n, nstime now, double *ns)
{
    struct price w;
    double flush_fixed;
    if (!price_of_writing(t, now, &w, &flush_fixed))
        return false;
    *ns = w.a + w.b * (double)n;
    return true;
}

enum traffic_says
traffic_judge(const struct traffic *t, bool no_hole, const struct zero_rules *r, nstime now,
              struct zero_model *model, unsigned *samples)
{
    enum traffic_op zeroes = no_hole ? TRAFFIC_ZERO_NO_HOLE : TRAFFIC_ZERO;
    struct price w;
    double flush_fixed;
    if (!price_of_writing(t, now, &w, &flush_fixed))
        return TRAFFIC_NOTHING;
    struct price op = price_of(&t->ops[zeroes], ENOUGH, 0, now);
    if (!op.samples)
        return TRAFFIC_NOTHING;
    // A FLUSH of zeroes that was never seen counts as free: that errs towards fast.
    struct price z = sum(op, price_of(&t->flushes[zeroes], ENOUGH_FLUSH, flush_fixed, now));
    // The least that the ratio can be: zeroes as cheap, and writes as dear, as half of the samples
    // allow.
    double least = fmax(z.b - z.doubt, 0) / (w.b + w.doubt);
    if (least <= r->ratio)
        return TRAFFIC_NOTHING;
    *model = (struct zero_model){
        .write = {.a = w.a, .b = w.b}, .zero = {.a = z.a, .b = z.b}, .ratio = z.b / w.b};
    *samples = op.samples + w.samples;
    return least > r->ratio + SLOW_ABOVE ? TRAFFIC_SLOW : TRAFFIC_NOT_FAST;
}
