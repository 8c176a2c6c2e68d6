// SPDX-License-Identifier: BSD-3-Clause
// What is known of a class, across restarts (docs/zeroing.md, "Believing").
#include "parts.h"

#include <math.h>

bool
zero_class_save(struct zero_class *c, nstime now, struct zero_saved *out)
{
    class_settle(c, now);
    bool slow = c->verdict == ZERO_SLOW;
    *out = (struct zero_saved){
        .slow = slow,
        .slow_age = slow ? now - c->since : 0,
        .slow_left = slow ? c->until - now : 0,
        .refuse_for = c->refuse_for,
        .model = c->model,
        .has_model = c->has_model,
        .samples = c->samples,
    };
    return slow || c->has_model;
}

static bool
is_cost(struct zero_cost k)
{
    return isfinite(k.a) && isfinite(k.b) && k.a >= 0 && k.b >= 0;
}

bool
zero_saved_is_sensible(const struct zero_saved *s)
{
    if (s->has_model && !(is_cost(s->model.write) && is_cost(s->model.zero) &&
                          isfinite(s->model.ratio) && s->model.ratio >= 0))
        return false;
    return s->slow_left <= CLASS_SLOW_MOST && s->refuse_for >= CLASS_SLOW_FIRST &&
           s->refuse_for <= CLASS_SLOW_MOST;
}

bool
zero_class_restore(struct zero_class *c, const struct zero_saved *s, nstime ago, nstime now)
{
    if (!zero_saved_is_sensible(s))
        return false;
    c->refuse_for = s->refuse_for;
    c->has_model = s->has_model;
    c->model = s->model;
    c->samples = s->samples;
    c->dear = s->has_model && zero_model_write_is_cheaper(&s->model, ZERO_PROBE_FROM, 0);
    if (s->slow && ago < s->slow_left) {
        nstime age = s->slow_age + ago;
        c->verdict = ZERO_SLOW;
        c->source = ZERO_FROM_SAVED;
        c->since = age < now ? now - age : 0;
        c->until = now + s->slow_left - ago;
    }
    return true;
}
