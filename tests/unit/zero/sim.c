// SPDX-License-Identifier: BSD-3-Clause
#include "sim.h"
#include <criterion/criterion.h>
#include <string.h>

uint64_t
sim_random(struct sim *s)
{
    s->random ^= s->random >> 12;
    s->random ^= s->random << 25;
    s->random ^= s->random >> 27;
    return s->random * UINT64_C(2685821657736338717);
}

static double
uniform(struct sim *s)
{
    return (double)(sim_random(s) >> 11) / (double)(UINT64_C(1) << 53);
}

void
sim_begin(struct sim *s, const struct sim_truth *t, uint64_t seed)
{
    memset(s, 0, sizeof *s);
    s->t = t;
    s->rules = (struct zero_rules){.policy = ZERO_MEASURE,
                                   .ratio = 0.30,
                                   .probe = true,
                                   .probe_time = NS_PER_SEC,
                                   .probe_bytes = 32 * MIB,
                                   .max_zero = 32 * MIB};
    s->now = 1000 * NS_PER_SEC;
    s->random = seed * 2654435761u + 1;
    s->has_status = true;
    s->error = 5;
    for (unsigned u = 0; u < SIM_UNITS; u++)
        s->disk[u] = s->durable[u] = s->original[u] = (uint8_t)(1 + u % 251);
}

void
sim_hole(struct sim *s, unsigned from, unsigned to)
{
    for (unsigned u = from; u < to; u++) {
        s->hole[u] = true;
        s->disk[u] = s->durable[u] = s->original[u] = 0;
    }
}

static double
cost(const struct sim_cost *c, double n)
{
    double steps = c->step_bytes ? (double)(((uint64_t)n + c->step_bytes - 1) / c->step_bytes) : 0;
    return c->fix + steps * c->step + n * c->per_byte;
}

nstime
sim_zero_time(struct sim *s, uint64_t n)
{
    return (nstime)cost(&s->t->zero, (double)n);
}

// Whole units only: everything a probe touches is aligned to them.
static void
units_of(struct range r, unsigned *from, unsigned *to)
{
    *from = (unsigned)(r.offset / SIM_UNIT);
    *to = (unsigned)(range_end(r) / SIM_UNIT);
}

static bool
should_fail(struct sim *s, enum probe_want want)
{
    if (!s->fail_at || (s->fail_only_set && want != s->fail_only))
        return false;
    s->matching++;
    return s->matching >= s->fail_at && s->matching < s->fail_at + s->fail_count;
}

static bool
all_zero(const struct sim *s, struct range r)
{
    unsigned from, to;
    units_of(r, &from, &to);
    for (unsigned u = from; u < to; u++)
        if (s->disk[u])
            return false;
    return true;
}

static bool
one_extent(const struct sim *s, struct range r)
{
    unsigned from, to;
    units_of(r, &from, &to);
    for (unsigned u = from; u < to; u++)
        if (s->hole[u])
            return false;
    return true;
}

static uint8_t
written(const struct sim *s, unsigned unit)
{
    if (s->scratch)
        return SIM_RANDOM;
    return s->buffered.length ? s->buffer[unit] : 0;
}

// Applies a WRITE or ZERO and says what that costs beyond the formula.
static double
change(struct sim *s, struct range r, bool write, enum sim_effect effect)
{
    unsigned from, to;
    units_of(r, &from, &to);
    if (effect == SIM_NOTHING)
        return 0;
    if (effect == SIM_HALF)
        to = from + (to - from) / 2;
    double extra = 0;
    for (unsigned u = from; u < to; u++) {
        if (!s->touched[u])
            extra += (s->t->first_touch + (write ? s->t->first_write : 0)) * SIM_UNIT;
        if (!write && !s->hole[u])
            extra += s->t->zero_data * SIM_UNIT;
        if (!write && s->hole[u])
            s->holes_zeroed++;
        s->touched[u] = true;
        s->dirty[u] = true;
        s->hole[u] = write ? false : s->hole[u];
        s->disk[u] = write ? written(s, u - from) : 0;
    }
    double bytes = (double)(to - from) * SIM_UNIT;
    if (write)
        s->unflushed_write += bytes;
    else
        s->unflushed_zero += bytes;
    return extra;
}

// As Linux does it: a flush that fails forgets what was dirty, and the next one says "good".
static double
flush(struct sim *s, bool fails)
{
    for (unsigned u = 0; u < SIM_UNITS; u++) {
        if (s->dirty[u] && !fails)
            s->durable[u] = s->disk[u];
        s->dirty[u] = false;
    }
    double t = s->t->flush_fix + s->t->flush_write * s->unflushed_write +
               s->t->flush_zero * s->unflushed_zero;
    s->unflushed_write = s->unflushed_zero = 0;
    return t;
}

static double
with_noise(struct sim *s, double t)
{
    if (s->noise <= 0)
        return t;
    t *= 1 + s->noise * uniform(s);
    if (uniform(s) < s->noise / 5)
        t += 3.0 * NS_PER_MS * uniform(s);
    return t;
}

static double
do_write(struct sim *s, struct range r, bool fails)
{
    s->writes++;
    s->last_write_start = s->now;
    if (fails && !s->first_write_failure)
        s->first_write_failure = s->now;
    if (!fails)
        s->bytes_written += r.length;
    return cost(&s->t->write, (double)r.length) + change(s, r, true, fails ? s->effect : SIM_ALL);
}

// 64 MiB are more than one message: the caller splits them.
static double
zero_cost(const struct sim *s, uint64_t n)
{
    uint64_t pieces = s->scratch ? (n + s->rules.max_zero - 1) / s->rules.max_zero : 1;
    return (double)pieces * cost(&s->t->zero, (double)n / (double)pieces);
}

static double
do_zero(struct sim *s, struct range r, bool fails)
{
    s->zeroes++;
    s->zeroed = r;
    enum sim_effect effect = fails ? s->effect : s->zero_lies ? SIM_NOTHING : SIM_ALL;
    return zero_cost(s, r.length) + change(s, r, false, effect);
}

static double
do_read(struct sim *s, struct range r, bool fails, struct probe_outcome *o)
{
    unsigned from, to;
    units_of(r, &from, &to);
    memcpy(s->buffer, s->disk + from, to - from);
    s->buffered = r;
    o->no = all_zero(s, r);
    return cost(&s->t->read, (double)r.length);
}

static double
do_flush(struct sim *s, bool fails, struct probe_step step, struct probe_outcome *o)
{
    s->flushes++;
    if (fails)
        s->flush_failed = true;
    double t = flush(s, fails);
    if (s->first_flush_done)
        return t;
    s->first_flush_done = true;
    cr_assert_eq(step.deadline, s->now + 100 * NS_PER_MS);
    if (s->slow_first_flush > 100 * NS_PER_MS)
        o->error = PROBE_LATE;
    return (double)(o->error ? 100 * NS_PER_MS : s->slow_first_flush) + t;
}

static double
do_guard(struct sim *s, struct probe_step step, struct range r, struct probe_outcome *o)
{
    cr_assert(!s->is_guarded, "one chunk is guarded at a time");
    cr_assert_eq(step.deadline, s->now + 50 * NS_PER_MS);
    s->guards++;
    s->is_guarded = true; // some workers may have set it even when it is late
    s->guarded = r;
    if (s->slow_guard > 50 * NS_PER_MS)
        o->error = PROBE_LATE;
    return (double)(o->error ? 50 * NS_PER_MS : s->slow_guard);
}

static double
perform(struct sim *s, struct probe_step step, bool fails, struct probe_outcome *o)
{
    struct range r = {.offset = step.offset, .length = step.length};
    switch (step.want) {
    case PROBE_WANT_GUARD: return do_guard(s, step, r, o);
    case PROBE_WANT_STATUS: o->no = !one_extent(s, r); return s->t->read.fix;
    case PROBE_WANT_READ: return do_read(s, r, fails, o);
    case PROBE_WANT_ZERO: return do_zero(s, r, fails);
    case PROBE_WANT_CHECK:
        s->checks++;
        o->no = !all_zero(s, r);
        return cost(&s->t->read, (double)r.length);
    case PROBE_WANT_WRITE: return do_write(s, r, fails);
    case PROBE_WANT_FLUSH: return do_flush(s, fails, step, o);
    case PROBE_WANT_UNGUARD: s->is_guarded = false; return 0;
    case PROBE_WANT_WAIT:
        cr_assert_gt(step.deadline, s->now);
        return (double)(step.deadline - s->now);
    case PROBE_WANT_FINISH: break;
    }
    cr_assert_fail("asked for step %d", (int)step.want);
    return 0;
}

static bool
touches_disk(enum probe_want w)
{
    return w == PROBE_WANT_READ || w == PROBE_WANT_ZERO || w == PROBE_WANT_CHECK ||
           w == PROBE_WANT_WRITE || w == PROBE_WANT_STATUS;
}

// What must hold of every single step.
static void
watch_step(const struct sim *s, const struct probe *p, struct probe_step step, const char *what)
{
    if (!touches_disk(step.want))
        return;
    struct range r = {.offset = step.offset, .length = step.length};
    cr_assert(range_contains(p->range, r), "%s: outside the request", what);
    cr_assert_eq(r.offset % SIM_UNIT, 0, "%s: not aligned", what);
    cr_assert_leq(r.length, s->scratch ? PROBE_LARGEST_SCRATCH : PROBE_LARGEST_CHUNK);
    if (p->mode == PROBE_TEACH) {
        cr_assert(step.want == PROBE_WANT_ZERO || step.want == PROBE_WANT_WRITE,
                  "%s: TEACH has nothing to read", what);
        return;
    }
    cr_assert(s->is_guarded && range_contains(s->guarded, r), "%s: not guarded", what);
    if (s->preferred)
        cr_assert(step.want == PROBE_WANT_CHECK || r.offset % s->preferred == 0);
    if (s->scratch)
        cr_assert(step.want != PROBE_WANT_READ && step.want != PROBE_WANT_STATUS);
    else if (step.want == PROBE_WANT_ZERO || step.want == PROBE_WANT_WRITE)
        cr_assert(r.offset == s->buffered.offset && r.length == s->buffered.length,
                  "%s: step %d of a chunk that is not in the buffer", what, (int)step.want);
}

static void
check_contents(const struct sim *s, const struct probe *p, const char *what)
{
    for (unsigned u = 0; u < SIM_UNITS; u++) {
        struct range unit = {.offset = u * (uint64_t)SIM_UNIT, .length = SIM_UNIT};
        if (p->ending == PROBE_DAMAGED && range_overlaps(unit, p->damaged))
            continue;
        cr_assert_eq(s->disk[u], s->original[u], "%s: unit %u altered, ending %d", what, u,
                     (int)p->ending);
        cr_assert_eq(s->durable[u], s->original[u], "%s: unit %u not durable, ending %d", what, u,
                     (int)p->ending);
    }
}

// What was not given to us is as it was.
static void
check_scratch(const struct sim *s, const struct probe *p, const char *what)
{
    cr_assert_neq(p->ending, PROBE_DAMAGED, "%s: there is nothing to damage", what);
    for (unsigned u = 0; u < SIM_UNITS; u++) {
        struct range unit = {.offset = u * (uint64_t)SIM_UNIT, .length = SIM_UNIT};
        if (!range_overlaps(unit, p->range))
            cr_assert_eq(s->disk[u], s->original[u], "%s: unit %u altered", what, u);
    }
}

static void
check_end(const struct sim *s, const struct probe *p, const char *what)
{
    struct zero_finding f = probe_finding(p);
    if (p->mode == PROBE_RESTORE)
        check_contents(s, p, what);
    if (p->ending == PROBE_PROCEED)
        cr_assert_eq(f.verdict, ZERO_FAST, "%s", what);
    if (p->mode == PROBE_SCRATCH)
        check_scratch(s, p, what);
    if (p->ending == PROBE_DAMAGED)
        cr_assert(range_contains(p->range, p->damaged) && p->damaged.length, "%s", what);
    if (f.error || p->aborted)
        cr_assert(f.verdict == ZERO_UNKNOWN && !f.has_model, "%s: learnt from an error", what);
    cr_assert(p->ending != PROBE_PROCEED || (!f.error && !p->aborted), "%s", what);
    cr_assert_eq(p->flush_owed, s->flush_failed, "%s: a failed flush is owed, no other", what);
    if (!f.error)
        cr_assert_leq(s->bytes_written, s->rules.probe_bytes, "%s: wrote too much", what);
}

static bool
interrupted(struct sim *s, struct probe *p)
{
    if (s->ops == s->abort_at)
        probe_abort(p);
    if (s->ops == s->gone_at)
        probe_client_gone(p, s->now);
    if (s->ops != s->lost_at)
        return false;
    probe_lost(p); // with the operation still out: it may have been done
    return true;
}

static void
one_step(struct sim *s, struct probe *p, struct probe_step step)
{
    bool must_succeed = step.want == PROBE_WANT_UNGUARD || step.want == PROBE_WANT_WAIT;
    bool fails = !must_succeed && should_fail(s, step.want);
    struct probe_outcome o = {.error = fails ? s->error : 0, .clean = true};
    double t = with_noise(s, perform(s, step, fails, &o));
    if (s->ops == s->slow_at)
        t += (double)s->slow_by;
    if (s->unclean_every && s->ops % s->unclean_every == 0) {
        o.clean = false;
        t += 30.0 * NS_PER_MS;
    }
    o.took = (nstime)t;
    s->now += o.took;
    if (interrupted(s, p))
        return;
    probe_report(p, &o, s->now);
}

void
sim_run(struct sim *s, struct probe *p, enum probe_mode mode, struct range range, const char *what)
{
    s->scratch = mode == PROBE_SCRATCH;
    probe_begin(p, mode, &s->rules, range, s->preferred, s->has_status, s->now);
    if (s->thorough)
        probe_be_thorough(p);
    for (unsigned limit = 0;; limit++) {
        cr_assert_lt(limit, 5000, "%s: it does not end", what);
        struct probe_step step = probe_next(p, s->now), again = probe_next(p, s->now);
        cr_assert_eq(memcmp(&step, &again, sizeof step), 0, "%s: not idempotent", what);
        if (step.want == PROBE_WANT_FINISH)
            break;
        s->ops++;
        watch_step(s, p, step, what);
        one_step(s, p, step);
    }
    if (!(s->lost_at && s->ops == s->lost_at))
        cr_assert(!s->is_guarded, "%s: the guard stays", what);
    check_end(s, p, what);
}
