// SPDX-License-Identifier: BSD-3-Clause
// What is known of an export's zeroes, asked and told under its mutex.
#include "inside.h"

// A fit costs some 50 microseconds: not one for every operation.
#define JUDGE_EVERY 4u

#define STATUS_PAUSE (10 * NS_PER_MIN)

// Those that have ended by themselves are none, whether or not anybody has noticed.
unsigned
fast_verdicts(const struct export *e, bool no_hole, nstime now)
{
    const struct zero_class *c = &e->classes[no_hole];
    unsigned n = c->verdict == ZERO_FAST && (!c->until || now < c->until);
    for (unsigned i = 0; i < ZERO_CELLS; i++)
        n += c->cells[i].verdict == ZERO_FAST && now < c->cells[i].until;
    return n;
}

void
count_demotion(struct export *e, bool no_hole, unsigned fast_before, enum demotion by, nstime now)
{
    unsigned fast = fast_verdicts(e, no_hole, now);
    if (fast < fast_before)
        e->demotions[by] += fast_before - fast;
}

enum zero_advice
export_judge(struct export *e, bool no_hole, const struct zero_rules *r, uint64_t length,
             nstime now)
{
    pthread_mutex_lock(&e->mutex);
    enum zero_advice a = ZERO_REFUSE;
    // What is known goes on to be told while it is measured anew in a scratch area.
    if (!e->probing || !e->probing_inside || e->probing_class != no_hole)
        a = zero_class_judge(&e->classes[no_hole], r, length, now);
    pthread_mutex_unlock(&e->mutex);
    return a;
}

bool
export_wants_teaching(struct export *e, bool no_hole, const struct zero_rules *r, uint64_t length,
                      nstime now)
{
    pthread_mutex_lock(&e->mutex);
    bool wants = !e->probing && zero_class_wants_teaching(&e->classes[no_hole], r, length, now);
    pthread_mutex_unlock(&e->mutex);
    return wants;
}

enum zero_arm
export_next_arm(struct export *e, bool no_hole, uint64_t length)
{
    pthread_mutex_lock(&e->mutex);
    enum zero_arm arm = zero_class_next_arm(&e->classes[no_hole], length);
    pthread_mutex_unlock(&e->mutex);
    return arm;
}

void
export_sampled(struct export *e, bool no_hole, const struct zero_rules *r, uint64_t length,
               enum zero_arm arm, nstime took, bool clean, nstime now)
{
    pthread_mutex_lock(&e->mutex);
    unsigned fast = fast_verdicts(e, no_hole, now);
    zero_class_sampled(&e->classes[no_hole], r, length, arm, took, clean, now);
    count_demotion(e, no_hole, fast, DEMOTED_BY_PROBE, now);
    pthread_mutex_unlock(&e->mutex);
}

void
export_zeroed(struct export *e, bool no_hole, const struct zero_rules *r, uint64_t length,
              nstime took, nstime now)
{
    pthread_mutex_lock(&e->mutex);
    unsigned fast = fast_verdicts(e, no_hole, now);
    zero_class_zeroed(&e->classes[no_hole], r, length, took, now);
    count_demotion(e, no_hole, fast, DEMOTED_BY_ZEROES, now);
    pthread_mutex_unlock(&e->mutex);
}

bool
export_write_is_cheaper(struct export *e, bool no_hole, const struct zero_rules *r, uint64_t length,
                        nstime now)
{
    pthread_mutex_lock(&e->mutex);
    bool cheaper = zero_class_write_is_cheaper(&e->classes[no_hole], r, length, now);
    pthread_mutex_unlock(&e->mutex);
    return cheaper;
}

bool
export_wants_flush(struct export *e, bool no_hole, nstime now)
{
    pthread_mutex_lock(&e->mutex);
    bool wants = zero_class_wants_flush(&e->classes[no_hole], now);
    pthread_mutex_unlock(&e->mutex);
    return wants;
}

// Passive learning ------------------------------------------------------------------------

static void
judge_traffic(struct export *e, const struct zero_rules *r, nstime now)
{
    for (int no_hole = 0; no_hole < 2; no_hole++) {
        struct zero_model m;
        unsigned samples = 0;
        enum traffic_says says = traffic_judge(&e->traffic, no_hole, r, now, &m, &samples);
        enum zero_verdict before = e->classes[no_hole].verdict;
        unsigned fast = fast_verdicts(e, no_hole, now);
        zero_class_traffic(&e->classes[no_hole], says, &m, samples, now);
        count_demotion(e, no_hole, fast, DEMOTED_BY_TRAFFIC, now);
        if (e->classes[no_hole].verdict != before)
            state_changed(e);
    }
}

void
export_saw(struct export *e, const struct zero_rules *r, enum traffic_op op, uint64_t n,
           nstime took, nstime now)
{
    pthread_mutex_lock(&e->mutex);
    traffic_saw(&e->traffic, op, n, took, now);
    if (++e->traffic_new % JUDGE_EVERY == 0)
        judge_traffic(e, r, now);
    pthread_mutex_unlock(&e->mutex);
}

void
export_saw_flush(struct export *e, enum traffic_op op, uint64_t n, nstime took, nstime now)
{
    pthread_mutex_lock(&e->mutex);
    traffic_saw_flush(&e->traffic, op, n, took, now);
    pthread_mutex_unlock(&e->mutex);
}

bool
export_has_one_connection(const struct export *e)
{
    return atomic_load_explicit(&e->connections, memory_order_relaxed) == 1;
}

bool
export_native_refuses(struct export *e, bool no_hole, nstime now)
{
    pthread_mutex_lock(&e->mutex);
    bool refuses = zero_native_refuses(&e->native[no_hole], now);
    pthread_mutex_unlock(&e->mutex);
    return refuses;
}

bool
export_native_succeeded(struct export *e, bool no_hole, uint64_t n, nstime took, nstime now)
{
    double write;
    bool lied = false;
    pthread_mutex_lock(&e->mutex);
    if (traffic_write_time(&e->traffic, n, now, &write))
        lied = zero_native_succeeded(&e->native[no_hole], (double)took, write, now);
    e->demotions[DEMOTED_AS_LIE] += lied;
    pthread_mutex_unlock(&e->mutex);
    return lied;
}

// FLUSH and status ------------------------------------------------------------------------

void
export_flush_failed(struct export *e)
{
    atomic_fetch_add(&e->flush_failures, 1);
}

unsigned
export_flush_failures(const struct export *e)
{
    return atomic_load_explicit(&e->flush_failures, memory_order_acquire);
}

bool
export_status_usable(const struct export *e, nstime now)
{
    return !atomic_load_explicit(&e->status_lied, memory_order_relaxed) &&
           now >= atomic_load_explicit(&e->status_pause_until, memory_order_relaxed);
}

void
export_status_lied(struct export *e)
{
    atomic_store(&e->status_lied, true);
}

void
export_status_slow(struct export *e, nstime now)
{
    atomic_store(&e->status_pause_until, now + STATUS_PAUSE);
}
