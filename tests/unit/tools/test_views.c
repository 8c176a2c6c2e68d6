// SPDX-License-Identifier: BSD-3-Clause
// nbdzero-stat: tables that fit whatever is in them, and what they say.
#include "pictures.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <table.h>

static view_function *const views[] = {view_show, view_verdicts, view_connections};
#define VIEWS (sizeof views / sizeof views[0])

static void
expect_part(const char *text, const char *part)
{
    cr_expect(strstr(text, part), "no \"%s\" in:\n%s", part, text);
}

Test(views, fit_the_terminal_whatever_the_names_and_numbers_are)
{
    static const char long_name[] = "a-very-long-name-of-an-export-that-somebody-has-thought-out-"
                                    "for-reasons-of-their-own-and-that-fills-more-than-a-line";
    for (size_t i = 0; i < VIEWS; i++) {
        char *text = picture_of(views[i], a_snapshot(long_name, INT64_MAX), 80);
        expect_safe(text, 80);
        expect_part(text, "a-very");
        cr_expect_not_null(strchr(text, '~'), "what is cut is marked");
        free(text);
        // With rates, too.
        text = picture_of_two(views[i], a_snapshot(long_name, 0), a_snapshot(long_name, INT64_MAX),
                              1, 80);
        expect_safe(text, 80);
        free(text);
    }
}

Test(views, whatever_the_width)
{
    for (size_t i = 0; i < VIEWS; i++)
        for (size_t width = 1; width < 140; width++) {
            struct canvas c = {0};
            struct sample now = {0}, none = {0};
            json_t *s = a_snapshot("a-name-that-is-not-short", 123456789);
            sample_take(&now, &none, s, 100, 1000);
            json_decref(s);
            views[i](&(struct look){.now = &now, .width = width}, &c);
            canvas_clip(&c, 1000, width);
            char *text = picture_text(&c);
            expect_safe(text, width);
            free(text);
            canvas_free(&c);
            sample_free(&now);
        }
}

Test(views, nothing_is_cut_where_there_is_no_terminal)
{
    static const char long_name[] = "a-very-long-name-of-an-export-that-somebody-has-thought-out-"
                                    "for-reasons-of-their-own-and-that-fills-more-than-a-line";
    for (size_t i = 0; i < VIEWS; i++) {
        char *text = picture_of(views[i], a_snapshot(long_name, INT64_MAX), TABLE_ANY_WIDTH);
        expect_part(text, long_name);
        cr_expect_null(strchr(text, '~'));
        free(text);
    }
}

Test(views, no_escape_sequence_reaches_the_terminal)
{
    for (size_t i = 0; i < VIEWS; i++) {
        char *text =
            picture_of(views[i], a_snapshot("\x1b]0;owned\x07\x1b[2J\r\n\t\x7f\xc2\x9b", 1), 80);
        expect_safe(text, 80);
        expect_part(text, "owned");
        free(text);
    }
}

Test(views, a_reply_that_lacks_everything)
{
    for (size_t i = 0; i < VIEWS; i++) {
        char *text = picture_of(views[i], json_object(), 80);
        expect_safe(text, 80);
        expect_part(text, "(none)");
        expect_part(text, "EXPORT"); // headings are there all the same
        free(text);
    }
}

Test(views, verdicts_with_source_reason_and_age)
{
    json_t *s = json_pack(
        "{s:[{s:s, s:s, s:i, s:[{s:b, s:i, s:i, s:s, s:s, s:i, s:f, s:i},"
        " {s:b, s:i, s:i, s:s, s:n, s:n, s:n, s:i}, {s:b, s:i, s:i, s:s, s:s, s:i, s:n, s:i}]},"
        " {s:s, s:s, s:{s:s}, s:[]}]}",
        "exports", "upstream", "st", "export", "", "size", 1 << 30, "verdicts", "no_hole", 0,
        "bytes_from", 65536, "bytes_to", 65536, "verdict", "slow", "source", "traffic", "age_s", 75,
        "ratio", 0.9, "samples", 16, "no_hole", 1, "bytes_from", 1 << 24, "bytes_to", 1 << 30,
        "verdict", "unknown", "source", "age_s", "ratio", "samples", 0, "no_hole", 1, "bytes_from",
        512, "bytes_to", 1 << 20, "verdict", "fast", "source", "pinned", "age_s", 4000, "ratio",
        "samples", 0, "upstream", "st", "export", "new", "fast_zero", "policy", "never",
        "verdicts");
    char *text = picture_of(view_verdicts, s, 90);
    cr_expect_str_eq(
        text, "EXPORT  NO_HOLE  SIZES       VERDICT  SOURCE      AGE  SAMPLES  REASON\n"
              "st/\"\"   no       64K         slow     traffic    1min       16  costs 90% of "
              "a write\n"
              "st/\"\"   yes      16M and up  unknown  -             -        0  not measured "
              "yet\n"
              "st/\"\"   yes      512-1M      fast     pinned   1h6min        0  set by "
              "administrator\n"
              "st/new  -        -           -        -             -        -  not "
              "measured\n");
    free(text);
}

Test(views, an_export_in_one_word)
{
    json_t *e = an_export("a", 1, 1, "fast");
    struct verdict_word w = verdict_word_of(e);
    cr_expect_str_eq(w.word, "fast");
    cr_expect_str_eq(w.source, "probe");
    cr_expect_str_eq(w.reason, "costs 4% of a write");
    cr_expect_eq(w.age, 75);
    // What is unknown says nothing of the rest; what is younger gives the reason.
    json_t *v = json_object_get(e, "verdicts");
    json_array_append_new(v, json_pack("{s:s, s:n}", "verdict", "unknown", "age_s"));
    cr_expect_str_eq(verdict_word_of(e).word, "fast");
    json_array_append_new(
        v, json_pack("{s:s, s:i, s:s}", "verdict", "slow", "age_s", 5, "source", "traffic"));
    w = verdict_word_of(e);
    cr_expect_str_eq(w.word, "mixed");
    cr_expect_str_eq(w.source, "traffic");
    cr_expect_eq(w.age, 5);
    json_array_clear(v);
    json_array_append_new(v, json_pack("{s:s, s:n}", "verdict", "unknown", "age_s"));
    cr_expect_str_eq(verdict_word_of(e).word, "unknown");
    json_array_clear(v);
    cr_expect_str_eq(verdict_word_of(e).word, "-");
    cr_expect_str_eq(verdict_word_of(e).reason, "not measured yet");
    json_decref(e);
}

Test(views, latencies_of_each_command_and_export)
{
    json_t *s = a_process(json_pack("[o, o]", an_export("a", 1500, 850, "fast"),
                                    an_export("b", 0, 850, "fast")), // was not asked anything
                          NULL);
    char *text = picture_of(view_show, s, 80);
    expect_part(text, "EXPORT  COMMAND  COUNT  BYTES  ERRORS   P50   P90    P99   P999    MAX\n"
                      "san/a   read      1500   1.4M       0  50us  90us  850us  1.7ms  2.6ms\n"
                      "\n");
    free(text);
}

Test(views, rates_since_the_last_redraw)
{
    json_t *a = a_process(json_pack("[o]", an_export("a", 1000, 850, "fast")),
                          json_pack("[{s:i, s:i, s:i, s:i}]", "id", 7, "bytes_from_client", 5000,
                                    "bytes_to_client", 0, "since", 900));
    json_t *b = a_process(
        json_pack("[o, o]", an_export("a", 1500, 850, "fast"), an_export("n", 9, 850, "fast")),
        json_pack("[{s:i, s:i, s:i, s:i}, {s:i}]", "id", 7, "bytes_from_client", 7560,
                  "bytes_to_client", 1, "since", 900, "id", 8));
    char *text = picture_of_two(view_show, a, b, 2.5, 80);
    expect_part(text, "\n200 requests/s, 0 errors/s, 195K/s read, 0/s written\n");
    expect_part(text, "\nsan/a   read       200     195K       0 ");
    expect_part(text, "\nsan/n   read         -        -       0 "); // new: no rate yet
    expect_part(text, "IN/s  OUT/s\n");
    expect_part(text, "    1K    0.4\n");
    expect_part(text, "     -      -\n");
    free(text);
    // Another process counts from nought.
    a = a_process(json_pack("[o]", an_export("a", 1000, 850, "fast")), NULL);
    b = a_process(json_pack("[o]", an_export("a", 10, 850, "fast")), NULL);
    json_object_set_new(b, "pid", json_integer(4712));
    text = picture_of_two(view_show, a, b, 2.5, 80);
    cr_expect_null(strstr(text, "requests/s"), "%s", text);
    expect_part(text, "\nsan/a   read        10 ");
    free(text);
}

Test(views, tls_on_either_side)
{
    json_t *s = json_pack(
        "{s:[{s:s, s:s}, {s:s, s:s}, {s:s, s:n}], s:[{s:s, s:b, s:i, s:i, s:b}, {s:s, s:b, s:i,"
        " s:i, s:b}, {s:s, s:b}], s:[{s:i, s:{s:s}}, {s:i, s:n}, {s:i, s:{s:s}}]}",
        "listeners", "name", "a", "tls", "require", "name", "b", "tls", "allow", "name", "c", "tls",
        "upstreams", "name", "san", "tls", 1, "reached", 7, "failed", 2, "down", 0, "name", "nas",
        "tls", 0, "reached", 1, "failed", 9, "down", 1, "name", "new", "tls", 1, "connections",
        "id", 1, "tls", "version", "TLSv1.3", "id", 2, "tls", "id", 3, "tls", "version", "odd");
    char *text = picture_of(view_show, s, 80);
    expect_part(text, "LISTENER  ADDRESS  TLS      UPSTREAM");
    expect_part(text, "a         -        require  ");
    expect_part(text, "b         -        allow    ");
    expect_part(text, "c         -        off      ");
    expect_part(text, "UPSTREAM  TLS  REACHED  FAILED  LAST\n"
                      "san       on         7       2  reached\n"
                      "nas       off        1       9  failed\n"
                      "new       on         0       0  -\n");
    expect_part(text, "\n 1  -       -         1.3  ");
    expect_part(text, "\n 2  -       -         off  ");
    expect_part(text, "\n 3  -       -         odd  ");
    free(text);
}

Test(canvas, colours_only_where_they_are_wanted)
{
    struct canvas c = {0};
    char *text = NULL;
    size_t len;
    canvas_line(&c);
    canvas_put(&c, PLAIN, "a");
    canvas_put(&c, BAD, "b\x1b");
    canvas_put(&c, PLAIN, "c");
    canvas_cut_mark(&c, PLAIN);
    canvas_line(&c);
    canvas_put(&c, GOOD, "d");
    char *plain = picture_text(&c);
    cr_expect_str_eq(plain, "ab?c~\nd\n");
    free(plain);
    FILE *f = open_memstream(&text, &len);
    canvas_print(&c, f, &(struct ink){.colour = true, .utf8 = true, .end = ".\n"});
    fclose(f);
    cr_expect_str_eq(text, "a\x1b[0;1;31mb?\x1b[0mc\xe2\x80\xa6.\n\x1b[0;32md\x1b[0m.\n");
    free(text);
    canvas_clip(&c, 1, 2);
    text = picture_text(&c);
    cr_expect_str_eq(text, "a~\n");
    free(text);
    canvas_free(&c);
}

Test(canvas, grows_is_clipped_and_grows_again)
{
    struct canvas c = {0};
    for (unsigned round = 0; round < 3; round++) {
        while (c.n < 200) {
            canvas_line(&c);
            canvas_put(&c, PLAIN, "line");
        }
        canvas_clip(&c, 63 + round, 80);
        cr_assert_eq(c.n, 63 + round);
    }
    canvas_clip(&c, 0, 0);
    cr_assert_eq(c.n, 0);
    canvas_put(&c, PLAIN, "again");
    cr_expect_eq(c.n, 1);
    canvas_free(&c);
}

Test(table, columns_that_fit_nowhere_are_left_out_the_least_needed_first)
{
    static const struct column columns[] = {
        {"NAME", LEFT, 4}, {"ONE", RIGHT, 0, 1}, {"TWO", RIGHT, 0, 2}, {"ALWAYS", RIGHT}};
    static const struct {
        size_t width;
        const char *picture;
    } cases[] = {
        {40, "NAME        ONE  TWO  ALWAYS\na-long-one    1    2       3\n"},
        {24, "NAME    ONE  TWO  ALWAYS\na-lon~    1    2       3\n"},
        {19, "NAME    ONE  ALWAYS\na-lon~    1       3\n"},
        {14, "NAME    ALWAYS\na-lon~       3\n"},
        {12, "NAME  ALWAYS\na-l~       3\n"},
        {5, "NAME  ALWAYS\na-l~       3\n"}, // no less than that: whoever draws it clips
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct table t;
        struct canvas c = {0};
        table_begin(&t, columns, 4);
        table_cell(&t, "a-long-one");
        for (unsigned n = 1; n < 4; n++)
            table_cell(&t, "%u", n);
        table_draw(&t, &c, cases[i].width);
        char *text = picture_text(&c);
        cr_expect_str_eq(text, cases[i].picture);
        free(text);
        canvas_free(&c);
    }
}
