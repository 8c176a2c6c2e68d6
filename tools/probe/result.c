// SPDX-License-Identifier: BSD-3-Clause
#include "result.h"

#include "curve.h"
#include "votes.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <units.h>
#include <wire/names.h>
#include <zero/fit.h>

static double
median(const nstime *v, unsigned n)
{
    double took[PROBE_REPEATS];
    for (unsigned i = 0; i < n; i++)
        took[i] = (double)v[i];
    return fit_median(took, n);
}

struct result_level
result_level(const struct probe *p, unsigned level)
{
    const struct probe_level *l = &p->levels[level];
    struct result_level r = {
        .size = probe_level_size(level),
        .samples = l->n,
        .write = median(l->took[PROBE_OP_WRITE], l->n),
        .flush_write = median(l->took[PROBE_OP_FLUSH_WRITE], l->n),
        .zero = median(l->took[PROBE_OP_ZERO], l->n),
        .flush_zero = median(l->took[PROBE_OP_FLUSH_ZERO], l->n),
    };
    r.compared = probe_compare(p, level, &r.contrast);
    return r;
}

struct zero_model
result_fit(const struct probe *p)
{
    struct curve_point write[PROBE_LEVELS], zero[PROBE_LEVELS];
    unsigned n = 0;
    for (unsigned level = 0; level < probe_levels(p); level++) {
        struct result_level l = result_level(p, level);
        if (!l.samples)
            continue;
        write[n] = (struct curve_point){l.size, l.write + l.flush_write};
        zero[n++] = (struct curve_point){l.size, l.zero + l.flush_zero};
    }
    struct zero_model m = {.write = curve_line(write, n), .zero = curve_line(zero, n)};
    m.ratio = m.write.b > 0 ? m.zero.b / m.write.b : -1;
    return m;
}

enum zero_verdict
result_judge(const struct result *r, const struct result_class *c, uint64_t n)
{
    struct zero_class copy = c->class; // it may forget what has run out
    if (copy.verdict == ZERO_UNKNOWN)
        return ZERO_UNKNOWN;
    bool fast = zero_class_judge(&copy, &r->rules, n, r->ended) == ZERO_FORWARD;
    return fast ? ZERO_FAST : ZERO_SLOW;
}

uint64_t
result_fast_from(const struct result *r, const struct result_class *c)
{
    struct zero_class copy = c->class;
    struct zero_row rows[ZERO_ROWS];
    unsigned n = zero_class_rows(&copy, &r->rules, r->ended, rows, ZERO_ROWS);
    for (unsigned i = 0; i < n; i++)
        if (rows[i].verdict == ZERO_FAST)
            return rows[i].bytes_from > 1 ? rows[i].bytes_from : 0;
    return 0;
}

const char *
result_headline(const struct result *r, const struct result_class *c, char *buf, size_t cap)
{
    uint64_t from = result_fast_from(r, c);
    if (from)
        snprintf(buf, cap, "fast from %s on", units_size(from).s);
    else
        snprintf(buf, cap, "%s", zero_verdict_name(c->class.verdict));
    return buf;
}

const char *
result_time(double ns, char *buf, size_t cap)
{
    static const struct {
        double ns;
        const char *name;
    } units[] = {{1e9, "s"}, {1e6, "ms"}, {1e3, "us"}};
    unsigned i = 0;
    while (i < 2 && ns < 0.9995 * units[i].ns)
        i++;
    double v = ns / units[i].ns;
    snprintf(buf, cap, "%.*f %s", v < 9.995 ? 2 : v < 99.95 ? 1 : 0, v, units[i].name);
    return buf;
}

const char *
result_flags(uint16_t flags, char *buf, size_t cap)
{
    static const struct {
        uint16_t flag;
        const char *name;
    } names[] = {
        {NBD_FLAG_READ_ONLY, "READ_ONLY"},
        {NBD_FLAG_SEND_FLUSH, "FLUSH"},
        {NBD_FLAG_SEND_FUA, "FUA"},
        {NBD_FLAG_ROTATIONAL, "ROTATIONAL"},
        {NBD_FLAG_SEND_TRIM, "TRIM"},
        {NBD_FLAG_SEND_WRITE_ZEROES, "WRITE_ZEROES"},
        {NBD_FLAG_SEND_DF, "DF"},
        {NBD_FLAG_CAN_MULTI_CONN, "CAN_MULTI_CONN"},
        {NBD_FLAG_SEND_RESIZE, "RESIZE"},
        {NBD_FLAG_SEND_CACHE, "CACHE"},
        {NBD_FLAG_SEND_FAST_ZERO, "FAST_ZERO"},
        {NBD_FLAG_BLOCK_STATUS_PAYLOAD, "BLOCK_STATUS_PAYLOAD"},
    };
    size_t at = 0;
    snprintf(buf, cap, "none");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if ((flags & names[i].flag) && at < cap)
            at += (size_t)snprintf(buf + at, cap - at, "%s%s", at ? " " : "", names[i].name);
    return buf;
}

const char *
result_failure(const struct runner_failure *f, char *buf, size_t cap)
{
    static const char *const what[] = {
        [PROBE_WANT_GUARD] = "guard", [PROBE_WANT_STATUS] = "BLOCK_STATUS",
        [PROBE_WANT_READ] = "READ",   [PROBE_WANT_ZERO] = "WRITE_ZEROES",
        [PROBE_WANT_CHECK] = "READ",  [PROBE_WANT_WRITE] = "WRITE",
        [PROBE_WANT_FLUSH] = "FLUSH", [PROBE_WANT_UNGUARD] = "guard",
        [PROBE_WANT_WAIT] = "pause",  [PROBE_WANT_FINISH] = "end",
    };
    if (f->error && f->want == PROBE_WANT_FLUSH)
        snprintf(buf, cap, "FLUSH failed: %s (%" PRIu32 ")", nbd_error_name(f->error), f->error);
    else if (f->error)
        snprintf(buf, cap, "%s of offset %" PRIu64 " length %" PRIu64 " failed: %s (%" PRIu32 ")",
                 what[f->want], f->range.offset, f->range.length, nbd_error_name(f->error),
                 f->error);
    else
        snprintf(buf, cap,
                 "offset %" PRIu64 " length %" PRIu64
                 " was zeroed, said the server, but does not read as zeroes",
                 f->range.offset, f->range.length);
    return buf;
}

const char *
result_class_name(const struct result_class *c)
{
    return c->no_hole ? "NO_HOLE" : "holes allowed";
}

// Why a verdict is what it is -------------------------------------------------------------

static void
why_undecided(const struct probe *p, const struct result_run *run, char *buf, size_t cap)
{
    if (run->finding.error) {
        snprintf(buf, cap, "an operation failed");
        return;
    }
    switch (p->stop) {
    case PROBE_NO_RANGE:
        snprintf(buf, cap, "too little data, or too small a range, to measure %s",
                 units_size(probe_level_size(p->level)).s);
        break;
    case PROBE_DISTURBED: snprintf(buf, cap, "too many samples were disturbed"); break;
    case PROBE_NO_BUDGET: snprintf(buf, cap, "not even 64K could be measured in time"); break;
    default: snprintf(buf, cap, "it was interrupted"); break;
    }
}

static struct units_text
share(double s)
{
    struct units_text t;
    if (s < 0.005)
        snprintf(t.s, sizeof t.s, "less than 0.01");
    else
        snprintf(t.s, sizeof t.s, "%.2f", s);
    return t;
}

static void
why_decided(const struct result *r, const struct probe *p, char *buf, size_t cap)
{
    struct probe_contrast k = {0};
    struct units_text at = units_size(probe_level_size(p->decided_level));
    probe_compare(p, p->decided_level, &k);
    switch (p->why) {
    case PROBE_WHY_SLOPE_ANY:
        snprintf(buf, cap, "at %s a zeroed byte costs %s of a written one: it is being written",
                 at.s, share(k.s).s);
        break;
    case PROBE_WHY_SLOPE:
    case PROBE_WHY_SLOPE_AT_END:
        snprintf(buf, cap, "at %s a zeroed byte costs %s of a written one; fast is below %.2f",
                 at.s, share(k.s).s, r->rules.ratio);
        break;
    case PROBE_WHY_FLUSH:
        snprintf(buf, cap,
                 "zeroes are answered early and paid for in the FLUSH: at %s that costs %s of "
                 "the one behind a write",
                 at.s, share(k.fs).s);
        break;
    case PROBE_WHY_FLAT:
        snprintf(buf, cap, "writing %s takes hardly longer than writing 64K: no difference to see",
                 at.s);
        break;
    case PROBE_WHY_SPREAD:
        snprintf(buf, cap,
                 "at %s one zero was far slower than the others (%s of writing): in doubt, slow",
                 at.s, share(k.s_high).s);
        break;
    case PROBE_WHY_NO_GAIN:
        snprintf(buf, cap,
                 "zeroed bytes are cheap, but each request has a fixed cost that eats the gain "
                 "even at %s",
                 at.s);
        break;
    case PROBE_WHY_NO_TIME:
        snprintf(buf, cap, "4M could not be measured in time: nothing is called fast on less");
        break;
    default:
        snprintf(buf, cap, "at %s a zeroed byte costs %s of a written one, its FLUSH included",
                 at.s, share(k.s).s);
        break;
    }
}

uint32_t
result_contradicted(const struct probe *p)
{
    unsigned level = probe_levels(p) - 1;
    while (level > p->decided_level && !p->levels[level].n)
        level--;
    bool doubt = p->verdict == ZERO_SLOW && level > p->decided_level && probe_level_fast(p, level);
    return doubt ? probe_level_size(level) : 0;
}

const char *
result_why(const struct result *r, const struct result_class *c, char *buf, size_t cap)
{
    unsigned fast = votes_for(c, ZERO_FAST), slow = votes_for(c, ZERO_SLOW);
    const struct result_run *last = c->n_runs ? &c->runs[c->n_runs - 1] : NULL;
    if (!last)
        snprintf(buf, cap, "it was not measured");
    else if (last->finding.verdict == ZERO_UNKNOWN)
        why_undecided(&last->probe, last, buf, cap);
    else {
        unsigned agree = c->class.verdict == ZERO_FAST ? fast : slow;
        size_t at =
            fast && slow
                ? (size_t)snprintf(buf, cap, "%u of %u measurements say so: ", agree, fast + slow)
                : 0;
        why_decided(r, &votes_shown(c)->probe, buf + at, cap - at);
    }
    return buf;
}
