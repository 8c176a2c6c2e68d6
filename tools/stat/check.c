// SPDX-License-Identifier: BSD-3-Clause
#include "check.h"

#include "safe.h"
#include "sample.h"
#include "units.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY            86400
#define CERTIFICATE_IN (14 * DAY) // a warning comes so long before the end
#define CROWDED        90         // percent of max-connections

struct findings {
    enum check_level level;
    size_t len[CHECK_UNKNOWN + 1];
    char text[CHECK_UNKNOWN + 1][(CHECK_LINE - 64) / 4]; // at each level; all fit a line
};

static void found(struct findings *f, enum check_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void
found(struct findings *f, enum check_level level, const char *fmt, ...)
{
    char one[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(one, sizeof one, fmt, ap);
    va_end(ap);
    size_t room = sizeof f->text[0] - f->len[level];
    int n = snprintf(f->text[level] + f->len[level], room, "%s%s", f->len[level] ? "; " : "", one);
    f->len[level] = (size_t)n < room ? f->len[level] + (size_t)n : sizeof f->text[0] - 1;
    if (level > f->level)
        f->level = level;
}

static const char *
text(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s ? s : "?";
}

// The array of that name; a daemon that has none is older than this program, or not ours.
static const json_t *
array(struct findings *f, const json_t *snapshot, const char *key)
{
    const json_t *list = json_object_get(snapshot, key);
    if (!json_is_array(list))
        found(f, CHECK_UNKNOWN, "nbdzero-proxy says nothing of its %s: is it of another version?",
              key);
    return list;
}

static void
look_at_upstreams(struct findings *f, const json_t *snapshot)
{
    size_t i;
    json_t *u;
    json_array_foreach(array(f, snapshot, "upstreams"), i, u)
    {
        if (json_is_true(json_object_get(u, "down")))
            found(f, CHECK_CRITICAL, "the last connect to upstream %s failed", text(u, "name"));
    }
}

static void
look_at_certificates(struct findings *f, const json_t *snapshot, time_t now)
{
    size_t i;
    json_t *c;
    json_array_foreach(array(f, snapshot, "certificates"), i, c)
    {
        const json_t *end = json_object_get(c, "not_after");
        int64_t left = json_integer_value(end) - (int64_t)now;
        if (!json_is_integer(end) || left > CERTIFICATE_IN)
            continue;
        if (left <= 0)
            found(f, CHECK_WARNING, "%s of [%s] ended %s ago", text(c, "file"), text(c, "owner"),
                  units_duration(-left).s);
        else
            found(f, CHECK_WARNING, "%s of [%s] ends in %s", text(c, "file"), text(c, "owner"),
                  units_duration(left).s);
    }
}

// What a probe has read and could not write back is an administrator's to repair.
static void
look_at_probes(struct findings *f, const json_t *snapshot)
{
    size_t i;
    json_t *e;
    json_array_foreach(array(f, snapshot, "exports"), i, e)
    {
        uint64_t n = fact_number(json_object_get(e, "probes"), "damaged");
        char *name = fact_export(e);
        if (n)
            found(f, CHECK_WARNING, "%llu restore%s after a probe of %s failed (the log has where)",
                  (unsigned long long)n, n == 1 ? "" : "s", name);
        free(name);
    }
}

static void
look_at_state(struct findings *f, const json_t *snapshot)
{
    const json_t *state = json_object_get(snapshot, "state");
    uint64_t n = fact_number(state, "damaged");
    if (n)
        found(f, CHECK_WARNING,
              "%llu file%s of saved state in %s %s damaged, and set aside (the log has why)",
              (unsigned long long)n, n == 1 ? "" : "s", text(state, "dir"), n == 1 ? "is" : "are");
}

static void
look_at_connections(struct findings *f, const json_t *snapshot)
{
    uint64_t n = json_array_size(array(f, snapshot, "connections"));
    json_int_t most = json_integer_value(json_object_get(snapshot, "max_connections"));
    if (most > 0 && n * 100 > (uint64_t)most * CROWDED)
        found(f, CHECK_WARNING, "%llu of %llu connections (max-connections)", (unsigned long long)n,
              (unsigned long long)most);
}

static void
say_all_is_well(struct findings *f, const json_t *snapshot)
{
    found(f, CHECK_OK, "nbdzero-proxy %s, up %s, %zu of %llu connections",
          text(snapshot, "version"),
          units_duration(json_integer_value(json_object_get(snapshot, "uptime_s"))).s,
          json_array_size(json_object_get(snapshot, "connections")),
          (unsigned long long)json_integer_value(json_object_get(snapshot, "max_connections")));
}

// Critical is worse than not to know something else.
static enum check_level
write_line(const struct findings *f, char line[CHECK_LINE])
{
    static const char *const words[] = {"OK", "WARNING", "CRITICAL", "UNKNOWN"};
    static const enum check_level order[] = {CHECK_CRITICAL, CHECK_UNKNOWN, CHECK_WARNING,
                                             CHECK_OK};
    enum check_level worst = f->len[CHECK_CRITICAL] ? CHECK_CRITICAL : f->level;
    int n = snprintf(line, CHECK_LINE, "%s - ", words[worst]);
    bool first = true;
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        if (!f->len[order[i]])
            continue;
        n += snprintf(line + n, CHECK_LINE - (size_t)n, "%s%s", first ? "" : "; ",
                      f->text[order[i]]);
        first = false;
    }
    table_safe(line);
    for (char *p = line; (p = strchr(p, '|'));) // behind it monitoring systems look for numbers
        *p = '?';
    return worst;
}

enum check_level
check_answer(const struct answer *a, time_t now, char line[CHECK_LINE])
{
    struct findings f = {0};
    switch (a->kind) {
    case ANSWER_NONE:
    case ANSWER_ERROR: // "a worker thread does not answer" is one
        found(&f, CHECK_CRITICAL, "%s", a->error);
        break;
    case ANSWER_STRANGE: found(&f, CHECK_UNKNOWN, "%s", a->error); break;
    case ANSWER_RESULT:
        look_at_upstreams(&f, a->result);
        look_at_connections(&f, a->result);
        look_at_probes(&f, a->result);
        look_at_state(&f, a->result);
        look_at_certificates(&f, a->result, now);
        if (f.level == CHECK_OK)
            say_all_is_well(&f, a->result);
        break;
    }
    return write_line(&f, line);
}
