// SPDX-License-Identifier: BSD-3-Clause
#include "pictures.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <table.h>

char *
picture_text(const struct canvas *c)
{
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    canvas_print(c, f, &(struct ink){.end = "\n"});
    fclose(f);
    return text;
}

static char *
draw(view_function *view, const struct sample *now, const struct sample *before, size_t width)
{
    struct look l = {.now = now, .before = before, .width = width};
    struct canvas c = {0};
    view(&l, &c);
    char *text = picture_text(&c);
    canvas_free(&c);
    return text;
}

char *
picture_of(view_function *view, json_t *snapshot, size_t width)
{
    struct sample now = {0}, none = {0};
    cr_assert_not_null(snapshot);
    sample_take(&now, &none, snapshot, 100, 1000);
    json_decref(snapshot);
    char *text = draw(view, &now, &none, width);
    sample_free(&now);
    return text;
}

char *
picture_of_two(view_function *view, json_t *first, json_t *second, double seconds, size_t width)
{
    struct sample now = {0}, before = {0};
    cr_assert(first && second);
    sample_take(&now, &before, first, 100, 1000);
    sample_take(&now, &before, second, 100 + seconds, 1000 + (int64_t)seconds);
    json_decref(first);
    json_decref(second);
    char *text = draw(view, &now, &before, width);
    sample_free(&now);
    sample_free(&before);
    return text;
}

void
expect_safe(const char *text, size_t width)
{
    size_t column = 0;
    for (const char *p = text; *p; p++) {
        cr_expect((*p >= 0x20 && *p < 0x7f) || *p == '\n', "byte 0x%02x", (unsigned char)*p);
        column = *p == '\n' ? 0 : column + 1;
        cr_assert_leq(column, width, "%s", text);
    }
}

static json_t *
a_command(json_int_t n)
{
    return json_pack("{s:I, s:I, s:I, s:{s:I, s:I, s:I, s:I, s:I}}", "count", n, "bytes", n,
                     "errors", n, "latency_us", "p50", n, "p90", n, "p99", n, "p999", n, "max", n);
}

json_t *
a_snapshot(const char *name, json_int_t big)
{
    json_t *s = json_pack(
        "{s:s, s:i, s:I, s:i, s:i, s:[{s:s, s:s, s:n, s:s, s:I, s:I, s:I}],"
        " s:[{s:s, s:b, s:I, s:I, s:b}], s:{s:I, s:I},"
        " s:[{s:I, s:s, s:s, s:s, s:s, s:n, s:i, s:I, s:I, s:I}],"
        " s:[{s:s, s:s, s:I, s:I, s:{s:s, s:I, s:I, s:I, s:I}, s:{s:I},"
        " s:[{s:b, s:i, s:I, s:s, s:s, s:I, s:f, s:I}], s:{s:o, s:o}}]}",
        "version", "0.1.0", "pid", 4711, "uptime_s", big, "threads", 2, "max_connections", 9,
        "listeners", "name", name, "address", "127.0.0.1:10809", "tls", "upstream", name,
        "accepted", big, "active", big, "refused", big, "upstreams", "name", name, "tls", 1,
        "reached", big, "failed", big, "down", 1, "log", "lines_dropped", big, "lines_suppressed",
        (json_int_t)0, "connections", "id", big, "client", name, "listener", name, "upstream", name,
        "export", name, "tls", "since", 0, "in_flight", big, "bytes_from_client", big,
        "bytes_to_client", big, "exports", "upstream", name, "export", name, "size", big,
        "connections", big, "fast_zero", "policy", "measure", "requests", big, "forwarded", big,
        "refused", big, "already_zero", big, "probes", "run", big, "verdicts", "no_hole", 1,
        "bytes_from", 1, "bytes_to", big, "verdict", "unknown", "source", "upstream", "age_s", big,
        "ratio", 123.456, "samples", big, "commands", "read", a_command(big), "block_status",
        a_command(big));
    cr_assert_not_null(s);
    return s;
}

json_t *
an_export(const char *name, json_int_t reads, json_int_t p99, const char *verdict)
{
    json_t *e = json_pack(
        "{s:s, s:s, s:I, s:i, s:{s:s}, s:[{s:b, s:i, s:i, s:s, s:s, s:i, s:f, s:i}],"
        " s:{s:{s:I, s:I, s:i, s:{s:i, s:i, s:I, s:I, s:I}}}}",
        "upstream", "san", "export", name, "size", (json_int_t)1 << 30, "connections", 1,
        "fast_zero", "policy", "measure", "verdicts", "no_hole", 0, "bytes_from", 1, "bytes_to",
        1 << 30, "verdict", verdict, "source", "probe", "age_s", 75, "ratio", 0.04, "samples", 12,
        "commands", "read", "count", reads, "bytes", reads * 1000, "errors", 0, "latency_us", "p50",
        50, "p90", 90, "p99", p99, "p999", p99 * 2, "max", p99 * 3);
    cr_assert_not_null(e);
    return e;
}

json_t *
a_process(json_t *exports, json_t *connections)
{
    json_t *s = json_pack("{s:s, s:i, s:i, s:i, s:i, s:o, s:o}", "version", "0.1.0", "pid", 4711,
                          "uptime_s", 75, "threads", 2, "max_connections", 100, "exports",
                          exports ? exports : json_array(), "connections",
                          connections ? connections : json_array());
    cr_assert_not_null(s);
    return s;
}
