// SPDX-License-Identifier: BSD-3-Clause
// Every forwarded zero re-checks the verdict that sent it: an upstream can turn slow in mid-life,
// and a fast verdict must not outlive the truth.
#include "parts.h"

#define MODEL 4.0 // a zero may cost so many times the model
#define GAIN  0.9

// The model holds minima, often under a millisecond: what a busy machine adds now and then is no
// proof. One piece must be this slow to count alone; else a whole second of them decides, in which
// zeroes were in flight for at least BUSY.
#define ALONE  (10 * NS_PER_MS)
#define WINDOW NS_PER_SEC
#define BUSY   (100 * NS_PER_MS)

void
watch_begin(struct zero_class *c)
{
    c->watch_from = 0;
    c->watch_to = 0;
    c->watch_busy = 0;
    c->watch_allowed = 0;
}

// The longest time in which a zero of n bytes is still what the verdict says: as cheap per byte as
// promised (R), or near enough to its own model. For large sizes never beyond the gain that "fast"
// stands for; small ones are mostly fixed cost, of which the model knows the minimum only.
static double
allowed(const struct zero_class *c, const struct zero_rules *r, uint64_t n)
{
    double promised = r->ratio * c->model.write.b * (double)n;
    double modelled = MODEL * zero_model_zero_time(&c->model, n, 0);
    double gain = GAIN * zero_model_write_time(&c->model, n);
    if (n > ZERO_SMALL && modelled > gain)
        modelled = gain;
    return promised > modelled ? promised : modelled;
}

// Time in which at least one zero was in flight: those that ran side by side count once, for it is
// the upstream that is judged, not the client's queue.
static void
add_to_window(struct zero_class *c, nstime took, double limit, nstime now)
{
    nstime start = took < now ? now - took : 0;
    if (c->watch_busy == 0)
        c->watch_from = c->watch_to = start;
    if (start < c->watch_to)
        start = c->watch_to;
    if (now > start)
        c->watch_busy += now - start;
    if (now > c->watch_to)
        c->watch_to = now;
    c->watch_allowed += limit;
}

// Ends the window when it is over. True: zeroes in it were slower than allowed.
static bool
window_was_slow(struct zero_class *c, nstime now)
{
    if (now < c->watch_from + WINDOW)
        return false;
    bool slow = c->watch_busy >= BUSY && (double)c->watch_busy > c->watch_allowed;
    watch_begin(c);
    return slow;
}

static void
watch(struct zero_class *c, const struct zero_rules *r, uint64_t length, nstime took, nstime now)
{
    // Behind one FAST finding, which is no verdict yet, its own request is watched already.
    if (!c->has_model || (c->verdict != ZERO_FAST && c->agreeing == 0))
        return;
    double limit = allowed(c, r, length);
    bool agrees = (double)took <= limit;
    add_to_window(c, took, limit, now);
    if ((!agrees && took > ALONE) || window_was_slow(c, now))
        class_doubt(c);
    else if (agrees && c->verdict == ZERO_FAST)
        c->until = now + CLASS_FAST_FOR;
}

void
zero_class_zeroed(struct zero_class *c, const struct zero_rules *r, uint64_t length, nstime took,
                  nstime now)
{
    class_settle(c, now);
    struct zero_cell *cell = cell_of(c, length);
    if (cell && cell->verdict == ZERO_FAST)
        cell_zeroed(cell, took);
    else
        watch(c, r, length, took, now);
}
