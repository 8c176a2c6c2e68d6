// SPDX-License-Identifier: BSD-3-Clause
// nbdzero-stat check: each reason, its edge, and how they are joined.
#include "check.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define NOW ((time_t)1800000000)
#define DAY 86400

static json_t *
healthy(void)
{
    return json_pack("{s:s, s:i, s:i, s:[{s:s, s:b}], s:[], s:[], s:[]}", "version", "0.1.0",
                     "uptime_s", 75, "max_connections", 10, "upstreams", "name", "san", "down", 0,
                     "connections", "certificates", "exports");
}

static void
expect(enum check_level level, const char *line, json_t *snapshot)
{
    struct answer a = {.kind = ANSWER_RESULT, .result = snapshot};
    char said[CHECK_LINE];
    cr_expect_eq(check_answer(&a, NOW, said), level, "%s", said);
    cr_expect_str_eq(said, line);
    answer_clear(&a);
}

static json_t *
with_certificate(json_t *s, const char *file, json_int_t left)
{
    json_array_append_new(json_object_get(s, "certificates"),
                          json_pack("{s:s, s:s, s:I, s:n}", "owner", "listen a", "file", file,
                                    "not_after", (json_int_t)NOW + left, "warning"));
    return s;
}

static json_t *
with_connections(json_t *s, unsigned n)
{
    while (n--)
        json_array_append_new(json_object_get(s, "connections"), json_object());
    return s;
}

static json_t *
with_down(json_t *s, const char *name)
{
    json_array_append_new(json_object_get(s, "upstreams"),
                          json_pack("{s:s, s:b}", "name", name, "down", 1));
    return s;
}

Test(check, all_is_well)
{
    static const char line[] = "OK - nbdzero-proxy 0.1.0, up 1min, 0 of 10 connections";
    expect(CHECK_OK, line, healthy());
    expect(CHECK_OK, line, with_certificate(healthy(), "server-cert.pem", 14 * DAY + 1));
    json_t *s = healthy(); // one whose files have no end
    json_array_append_new(
        json_object_get(s, "certificates"),
        json_pack("{s:s, s:s, s:n}", "owner", "listen a", "file", "", "not_after"));
    expect(CHECK_OK, line, s);
}

Test(check, certificates)
{
    expect(CHECK_WARNING, "WARNING - server-cert.pem of [listen a] ends in 14d0h",
           with_certificate(healthy(), "server-cert.pem", 14 * DAY));
    expect(CHECK_WARNING, "WARNING - ca-crl.pem of [listen a] ends in 1s",
           with_certificate(healthy(), "ca-crl.pem", 1));
    expect(CHECK_WARNING, "WARNING - ca-cert.pem of [listen a] ended 0s ago",
           with_certificate(healthy(), "ca-cert.pem", 0));
    expect(CHECK_WARNING, "WARNING - x of [listen a] ended 3d2h ago",
           with_certificate(healthy(), "x", -3 * DAY - 7200));
}

Test(check, connections)
{
    expect(CHECK_OK, "OK - nbdzero-proxy 0.1.0, up 1min, 9 of 10 connections",
           with_connections(healthy(), 9));
    expect(CHECK_WARNING, "WARNING - 10 of 10 connections (max-connections)",
           with_connections(healthy(), 10));
}

Test(check, upstreams)
{
    expect(CHECK_CRITICAL, "CRITICAL - the last connect to upstream far failed",
           with_down(healthy(), "far"));
}

static json_t *
with_damage(json_t *s, json_int_t n)
{
    json_array_append_new(
        json_object_get(s, "exports"),
        json_pack("{s:s, s:s, s:{s:I}}", "upstream", "san", "export", "", "probes", "damaged", n));
    return s;
}

Test(check, restores)
{
    expect(CHECK_OK, "OK - nbdzero-proxy 0.1.0, up 1min, 0 of 10 connections",
           with_damage(healthy(), 0));
    expect(CHECK_WARNING,
           "WARNING - 1 restore after a probe of san/\"\" failed (the log has where)",
           with_damage(healthy(), 1));
    expect(CHECK_WARNING,
           "WARNING - 2 restores after a probe of san/\"\" failed (the log has where)",
           with_damage(healthy(), 2));
}

static json_t *
with_damaged_state(json_t *s, int n)
{
    json_object_set_new(s, "state", json_pack("{s:s, s:i}", "dir", "/var/lib/x", "damaged", n));
    return s;
}

Test(check, saved_state)
{
    expect(CHECK_OK, "OK - nbdzero-proxy 0.1.0, up 1min, 0 of 10 connections",
           with_damaged_state(healthy(), 0));
    expect(CHECK_WARNING,
           "WARNING - 1 file of saved state in /var/lib/x is damaged, and set aside (the log has "
           "why)",
           with_damaged_state(healthy(), 1));
    expect(CHECK_WARNING,
           "WARNING - 2 files of saved state in /var/lib/x are damaged, and set aside (the log has "
           "why)",
           with_damaged_state(healthy(), 2));
}

Test(check, all_reasons_in_one_line_the_worst_first)
{
    json_t *s = with_connections(healthy(), 10);
    with_certificate(s, "a", DAY);
    with_certificate(s, "b", -DAY);
    with_down(with_down(s, "x"), "y");
    expect(CHECK_CRITICAL,
           "CRITICAL - the last connect to upstream x failed; the last connect to upstream y "
           "failed; 10 of 10 connections (max-connections); a of [listen a] ends in 1d0h; "
           "b of [listen a] ended 1d0h ago",
           s);
}

Test(check, no_answer)
{
    static const struct {
        enum answer_kind kind;
        enum check_level level;
        const char *word;
    } cases[] = {
        {ANSWER_NONE, CHECK_CRITICAL, "CRITICAL"},
        {ANSWER_ERROR, CHECK_CRITICAL, "CRITICAL"},
        {ANSWER_STRANGE, CHECK_UNKNOWN, "UNKNOWN"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct answer a = {.kind = cases[i].kind, .error = "the reason"};
        char line[CHECK_LINE], wanted[64];
        snprintf(wanted, sizeof wanted, "%s - the reason", cases[i].word);
        cr_expect_eq(check_answer(&a, NOW, line), cases[i].level);
        cr_expect_str_eq(line, wanted);
    }
}

Test(check, a_daemon_that_says_less)
{
    json_t *s = healthy();
    json_object_del(s, "certificates");
    expect(CHECK_UNKNOWN,
           "UNKNOWN - nbdzero-proxy says nothing of its certificates: is it of another version?",
           s);
    s = with_down(healthy(), "x");
    json_object_del(s, "certificates");
    expect(CHECK_CRITICAL,
           "CRITICAL - the last connect to upstream x failed; nbdzero-proxy says nothing of its "
           "certificates: is it of another version?",
           s);
}

// One line, printable, without the bar behind which numbers are looked for; whatever the names are.
Test(check, odd_and_many_names)
{
    json_t *s = healthy();
    for (int i = 0; i < 100; i++)
        with_down(s, "a\nb|c\x1b[2J and so on, for a long while, that a line may become too long");
    for (int i = 0; i < 100; i++)
        with_certificate(s, "some\tfile|", -DAY);
    struct answer a = {.kind = ANSWER_RESULT, .result = s};
    char line[CHECK_LINE];
    cr_expect_eq(check_answer(&a, NOW, line), CHECK_CRITICAL);
    cr_expect(strstr(line, "upstream a?b?c?[2J") && strstr(line, "some?file?"));
    for (const char *p = line; *p; p++)
        cr_expect(*p >= 0x20 && *p < 0x7f && *p != '|');
    answer_clear(&a);
}
