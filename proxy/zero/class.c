// SPDX-License-Identifier: BSD-3-Clause
// What is believed about a class, for how long, and what follows for a request (docs/zeroing.md,
// "Who decides" 5 to 7 and "Believing").
#include "parts.h"
#include <string.h>

#define FAST_AGREEING 2u                // one FAST may be an accident; two make a verdict
#define DEAR_AGREEING 2u                // so may be zeroes that cost more than writing
#define WEIGHED_FROM  9u                // samples: with fewer only small chunks have been looked at
#define AFTER_ERROR   (30 * NS_PER_MIN) // no probe after one that met an error
#define HOUR          (60 * NS_PER_MIN)
#define FLUSH_EVERY   NS_PER_MIN
#define FAST_AHEAD    NS_PER_MIN // a verdict is measured anew so long before it ends

nstime
class_double(nstime *limit, nstime most)
{
    nstime this_time = *limit;
    *limit = this_time < most / 2 ? this_time * 2 : most;
    return this_time;
}

void
zero_class_begin(struct zero_class *c)
{
    memset(c, 0, sizeof *c);
    c->refuse_for = CLASS_SLOW_FIRST;
    for (unsigned i = 0; i < ZERO_CELLS; i++)
        cell_begin(&c->cells[i]);
}

void
zero_class_forget(struct zero_class *c)
{
    struct zero_class old = *c;
    zero_class_begin(c);
    memcpy(c->probes, old.probes, sizeof c->probes);
    c->next_probe = old.next_probe;
    c->no_probe_before = old.no_probe_before;
}

void
class_doubt(struct zero_class *c)
{
    c->verdict = ZERO_UNKNOWN;
    c->source = ZERO_FROM_NOTHING;
    c->agreeing = 0;
    watch_begin(c);
}

void
class_settle(struct zero_class *c, nstime now)
{
    if (c->verdict != ZERO_UNKNOWN && c->until && now >= c->until)
        class_doubt(c);
}

// `until` 0: for ever.
static void
believe(struct zero_class *c, enum zero_verdict verdict, enum zero_source source, nstime until,
        nstime now)
{
    c->verdict = verdict;
    c->source = source;
    c->since = now;
    c->until = until;
}

static bool
may_probe(const struct zero_class *c, const struct zero_rules *r, uint64_t length, nstime now)
{
    nstime oldest = c->probes[c->next_probe];
    return r->probe && length >= ZERO_PROBE_FROM && now >= c->no_probe_before &&
           (oldest == 0 || now >= oldest + HOUR);
}

static enum zero_advice
judge_small(struct zero_class *c, struct zero_cell *cell, const struct zero_rules *r,
            uint64_t length, nstime now)
{
    cell_settle(cell, now);
    // Its own verdict is the better witness: it was measured at this very size.
    if (cell->verdict == ZERO_UNKNOWN) {
        if (c->verdict == ZERO_SLOW)
            return ZERO_REFUSE;
        if (c->verdict == ZERO_FAST)
            return zero_model_fast(&c->model, r, length) ? ZERO_FORWARD : ZERO_REFUSE;
        if (!r->probe)
            return ZERO_REFUSE;
        if (cell_may_sample(cell, now))
            return ZERO_SAMPLE;
    }
    return cell->verdict == ZERO_FAST ? ZERO_FORWARD : ZERO_REFUSE;
}

enum zero_advice
zero_class_judge(struct zero_class *c, const struct zero_rules *r, uint64_t length, nstime now)
{
    class_settle(c, now);
    struct zero_cell *cell = cell_of(c, length);
    if (cell)
        return judge_small(c, cell, r, length, now);
    switch (c->verdict) {
    case ZERO_FAST: return zero_model_fast(&c->model, r, length) ? ZERO_FORWARD : ZERO_REFUSE;
    case ZERO_SLOW: return ZERO_REFUSE;
    case ZERO_UNKNOWN: break;
    }
    return may_probe(c, r, length, now) ? ZERO_PROBE : ZERO_REFUSE;
}

bool
zero_class_wants_teaching(struct zero_class *c, const struct zero_rules *r, uint64_t length,
                          nstime now)
{
    class_settle(c, now);
    bool doubtful = r->cheapest && c->verdict == ZERO_SLOW && c->dear < DEAR_AGREEING &&
                    c->cheap < DEAR_AGREEING;
    return r->policy == ZERO_MEASURE && (c->verdict == ZERO_UNKNOWN || doubtful) &&
           may_probe(c, r, length, now);
}

bool
zero_class_write_is_cheaper(struct zero_class *c, const struct zero_rules *r, uint64_t length,
                            nstime now)
{
    class_settle(c, now);
    const struct zero_cell *cell = cell_of(c, length);
    if (cell && cell->write > 0) // measured at this very size
        return zero_model_write_is_cheaper(
            &(struct zero_model){.write.a = cell->write, .zero.a = cell->zero}, length, 0);
    return c->has_model && c->dear >= DEAR_AGREEING &&
           zero_model_write_is_cheaper(&c->model, length, r->max_zero);
}

void
zero_class_probe_begins(struct zero_class *c, nstime now)
{
    c->probes[c->next_probe] = now ? now : 1; // 0 is "none"
    c->next_probe = (c->next_probe + 1) % ZERO_PROBES_AN_HOUR;
}

// Of requests as long as one that carries a probe, in one piece.
static void
weigh(struct zero_class *c, const struct zero_model *model)
{
    bool dear = zero_model_write_is_cheaper(model, ZERO_PROBE_FROM, 0);
    c->dear = dear ? c->dear + 1 : 0;
    c->cheap = dear ? 0 : c->cheap + 1;
}

static void
learn_slow(struct zero_class *c, const struct zero_finding *f, enum zero_source source, nstime now)
{
    c->agreeing = 0;
    c->has_model = f->has_model;
    c->model = f->model;
    c->samples = f->samples;
    watch_begin(c);
    believe(c, ZERO_SLOW, source, now + class_double(&c->refuse_for, CLASS_SLOW_MOST), now);
}

static void
learn_fast(struct zero_class *c, const struct zero_finding *f, nstime now)
{
    // A SLOW that came in between is believed until it ends: in doubt, slow.
    if (c->verdict == ZERO_SLOW || !f->has_model)
        return;
    c->has_model = true;
    c->model = f->model;
    c->samples = f->samples;
    c->agreeing++;
    watch_begin(c);
    if (c->agreeing < FAST_AGREEING)
        return;
    believe(c, ZERO_FAST, ZERO_FROM_PROBE, now + CLASS_FAST_FOR, now);
    c->refuse_for = CLASS_SLOW_FIRST;
    c->next_flush = now + FLUSH_EVERY;
}

void
zero_class_learn(struct zero_class *c, const struct zero_rules *r, const struct zero_finding *f,
                 nstime now)
{
    class_settle(c, now);
    if (f->has_model && f->samples >= WEIGHED_FROM)
        weigh(c, &f->model);
    if (f->error)
        c->no_probe_before = now + AFTER_ERROR;
    else if (f->verdict == ZERO_SLOW)
        learn_slow(c, f, ZERO_FROM_PROBE, now);
    else if (f->verdict == ZERO_FAST)
        learn_fast(c, f, now);
}

nstime
zero_class_due(struct zero_class *c, nstime now)
{
    class_settle(c, now);
    if (c->verdict == ZERO_UNKNOWN)
        return c->no_probe_before > now ? c->no_probe_before : now;
    nstime early = c->verdict == ZERO_FAST ? FAST_AHEAD : 0;
    return c->until && c->until < now + early ? now : c->until ? c->until - early : 0;
}

void
zero_class_borrow(struct zero_class *c, const struct zero_class *from)
{
    if (from->verdict == ZERO_UNKNOWN || (c->verdict != ZERO_UNKNOWN && c->since >= from->since))
        return;
    c->has_model = from->has_model;
    c->model = from->model;
    c->samples = from->samples;
    c->agreeing = from->agreeing;
    c->dear = from->dear;
    c->cheap = from->cheap;
    c->refuse_for = from->refuse_for;
    c->next_flush = from->next_flush;
    watch_begin(c);
    believe(c, from->verdict, from->source, from->until, from->since);
}

void
zero_class_traffic(struct zero_class *c, enum traffic_says says, const struct zero_model *model,
                   unsigned samples, nstime now)
{
    class_settle(c, now);
    if (says == TRAFFIC_SLOW && c->verdict != ZERO_SLOW) {
        struct zero_finding f = {.has_model = true, .model = *model, .samples = samples};
        weigh(c, model);
        c->dear *= DEAR_AGREEING; // it rests on many operations
        c->cheap *= DEAR_AGREEING;
        learn_slow(c, &f, ZERO_FROM_TRAFFIC, now);
    } else if (says == TRAFFIC_NOT_FAST && c->verdict == ZERO_FAST) {
        class_doubt(c);
    }
}

bool
zero_class_wants_flush(struct zero_class *c, nstime now)
{
    class_settle(c, now);
    if (c->verdict != ZERO_FAST || now < c->next_flush)
        return false;
    c->next_flush = now + FLUSH_EVERY;
    return true;
}
