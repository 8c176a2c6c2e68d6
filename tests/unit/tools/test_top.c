// SPDX-License-Identifier: BSD-3-Clause
// nbdzero-stat top: its picture and its keys, without a terminal.
#include "pictures.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <top.h>

#define NOW 100.0

static void
take(struct top *t, json_t *snapshot, double at)
{
    struct answer a = {.kind = ANSWER_RESULT, .result = snapshot};
    top_take(t, &a, at, 1000 + (int64_t)at);
    answer_clear(&a);
}

static char *
picture(struct top *t, size_t rows, size_t columns)
{
    struct canvas c = {0};
    top_draw(t, &c, rows, columns, NOW);
    cr_assert_leq(c.n, rows);
    char *text = picture_text(&c);
    canvas_free(&c);
    expect_safe(text, columns);
    return text;
}

static void
expect_part(struct top *t, const char *part)
{
    char *text = picture(t, 24, 80);
    cr_expect(strstr(text, part), "no \"%s\" in:\n%s", part, text);
    free(text);
}

// Two redraws of two exports: a did 500 requests in 2.5 s, b 50.
static void
set_up(struct top *t)
{
    top_begin(t, 1);
    take(t,
         a_process(json_pack("[o, o]", an_export("a", 1000, 850, "fast"),
                             an_export("b", 100, 9000, "slow")),
                   json_pack("[{s:i, s:s, s:s, s:s, s:i, s:i}]", "id", 7, "client", "10.0.0.1:5",
                             "upstream", "san", "export", "b", "bytes_from_client", 0,
                             "bytes_to_client", 0)),
         NOW - 3);
    take(t,
         a_process(json_pack("[o, o]", an_export("a", 1500, 850, "fast"),
                             an_export("b", 150, 9000, "slow")),
                   json_pack("[{s:i, s:s, s:s, s:s, s:i, s:i}, {s:i, s:s, s:s, s:s}]", "id", 7,
                             "client", "10.0.0.1:5", "upstream", "san", "export", "b",
                             "bytes_from_client", 2560, "bytes_to_client", 5120, "id", 8, "client",
                             "10.0.0.2:6", "upstream", "san", "export", "a")),
         NOW - 0.5);
}

// Of the table, the rows that begin so, in order.
static void
expect_order(struct top *t, const char *first, const char *second)
{
    char *text = picture(t, 15, 80); // too low for details: names are in the table only
    char *a = strstr(text, first), *b = strstr(text, second);
    cr_expect(a && b && a < b, "not first %s, then %s:\n%s", first, second, text);
    free(text);
}

Test(top, what_people_read)
{
    struct top t;
    set_up(&t);
    char *text = picture(&t, 24, 80);
    static const char wanted[] =
        "nbdzero-proxy 0.1.0, pid 4711, up 1min, 2 threads\n"
        "2 of 100 connections, 220 requests/s, 0 in flight, 0 errors/s\n"
        "reading 215K/s, writing 0/s, sorted by OPS/s downwards, latency of the slowest\n"
        "EXPORT  CONN   OPS/s  READ/s  WRITE/s  ZERO/s    P50    P99  VERDICT     AGE\n"
        "san/a      1     200    195K        0       -   50us  850us  fast       1min\n"
        "san/b      1      20   19.5K        0       -   50us    9ms  slow       1min\n"
        "\n"
        "san/a: 1G, fast-zero measure\n"
        "COMMAND  OPS/s  BYTES/s  ERRORS   P50   P90    P99   P999    MAX\n"
        "read       200     195K       0  50us  90us  850us  1.7ms  2.6ms\n"
        "NO_HOLE  SIZES  VERDICT  SOURCE   AGE  SAMPLES  REASON\n"
        "no       all    fast     probe   1min       12  costs 4% of a write\n";
    // The row under the cursor is a bar as wide as the screen: spaces at the end do not count.
    for (char *p; (p = strstr(text, " \n"));)
        memmove(p, p + 1, strlen(p));
    cr_expect(strncmp(text, wanted, sizeof wanted - 1) == 0, "%s", text);
    cr_expect_not_null(strstr(text, "q quit  h help"));
    free(text);
    top_end(&t);
}

Test(top, sorted_by_any_column)
{
    struct top t;
    set_up(&t);
    expect_order(&t, "san/a", "san/b"); // by requests
    top_press(&t, 'r');
    expect_part(&t, "sorted by OPS/s upwards");
    expect_order(&t, "san/b", "san/a");
    top_press(&t, '1');
    expect_part(&t, "sorted by EXPORT upwards");
    expect_order(&t, "san/a", "san/b");
    top_press(&t, TOP_KEY_LEFT); // round the corner
    expect_part(&t, "sorted by REASON upwards");
    top_press(&t, '<');
    expect_part(&t, "sorted by AGE downwards");
    for (unsigned i = 0; i < 4; i++)
        top_press(&t, '<');
    // A column that had no room comes when it sorts.
    expect_part(&t, "sorted by P99 downwards");
    expect_order(&t, "san/b", "san/a");
    top_press(&t, TOP_KEY_RIGHT);
    expect_part(&t, " P999 ");
    top_end(&t);
}

// nbdzero-proxy saves: its answer is the one before once more.
Test(top, an_old_answer_changes_no_rates)
{
    struct top t;
    top_begin(&t, 1);
    take(&t, a_process(json_array(), NULL), NOW - 2);
    take(&t, a_process(json_array(), NULL), NOW);
    struct answer old = {
        .kind = ANSWER_RESULT, .result = a_process(json_array(), NULL), .age = 0.501};
    top_take(&t, &old, NOW + 0.5, 1000);
    cr_assert_float_eq(t.now.at - t.before.at, 2, 0.01);
    old.age = 0.25;
    top_take(&t, &old, NOW + 0.75, 1000);
    cr_assert_float_eq(t.now.at - t.before.at, 0.5, 0.01);
    answer_clear(&old);
    top_end(&t);
}

Test(top, the_heading_that_sorts_is_marked)
{
    struct top t;
    struct canvas c = {0};
    set_up(&t);
    top_draw(&t, &c, 24, 80, NOW);
    const struct canvas_line *l = &c.lines[3];
    size_t from = (size_t)(strstr(l->text, "OPS/s") - l->text);
    for (size_t i = 0; i < l->len; i++)
        cr_expect_eq(l->paint[i] == SORTED, i >= from - 1 && i < from + 5, "%zu", i);
    // And the row under the cursor, from one side to the other.
    cr_expect_eq(c.lines[4].len, 80);
    for (size_t i = 0; i < 80; i++)
        cr_expect_eq(c.lines[4].paint[i], CHOSEN);
    canvas_free(&c);
    top_end(&t);
}

Test(top, latencies_of_one_command)
{
    struct top t;
    set_up(&t);
    top_press(&t, 'l');
    expect_part(&t, "latency of read");
    expect_part(&t, "850us");
    top_press(&t, 'l');
    expect_part(&t, "latency of write");
    expect_part(&t, "      -      -  fast");
    for (unsigned i = 2; i < COMMANDS_COUNT + 1; i++)
        top_press(&t, 'l');
    expect_part(&t, "latency of the slowest");
    top_end(&t);
}

Test(top, connections)
{
    struct top t;
    set_up(&t);
    top_press(&t, '\t');
    expect_part(&t, "sorted by IN/s downwards");
    expect_part(&t, "  ID  CLIENT      ");
    expect_part(&t, "   7  10.0.0.1:5  ");
    expect_part(&t, "    1K      2K      5K");
    expect_order(&t, "10.0.0.1", "10.0.0.2"); // what is new has no rate yet
    // Of the row under the cursor one sees its export.
    expect_part(&t, "Connection 7 of 10.0.0.1:5 by -");
    expect_part(&t, "san/b: 1G, fast-zero measure");
    top_press(&t, TOP_KEY_DOWN);
    expect_part(&t, "Connection 8 of 10.0.0.2:6 by -");
    expect_part(&t, "san/a: 1G, fast-zero measure");
    // The cursor stays with it when the order changes.
    top_press(&t, 'r');
    expect_part(&t, "Connection 8 of 10.0.0.2:6");
    top_press(&t, 'e');
    expect_part(&t, "EXPORT  CONN");
    top_press(&t, 'c');
    expect_part(&t, "Connection ");
    top_press(&t, 'd');
    char *text = picture(&t, 24, 80);
    cr_expect_null(strstr(text, "Connection "), "%s", text);
    free(text);
    top_end(&t);
}

Test(top, many_rows_scroll_under_the_cursor)
{
    struct top t;
    json_t *list = json_array();
    char name[16];
    top_begin(&t, 1);
    for (unsigned i = 0; i < 500; i++) {
        snprintf(name, sizeof name, "e%03u", i);
        json_array_append_new(list, an_export(name, 5, 5, "fast"));
    }
    take(&t, a_process(list, NULL), NOW);
    top_press(&t, '1');
    expect_part(&t, "san/e000");
    for (unsigned i = 0; i < 30; i++)
        top_press(&t, TOP_KEY_DOWN);
    expect_part(&t, "san/e030: 1G");
    top_press(&t, TOP_KEY_PAGE_DOWN);
    top_press(&t, TOP_KEY_PAGE_UP);
    expect_part(&t, "san/e030: 1G");
    top_press(&t, TOP_KEY_LAST);
    expect_part(&t, "san/e499: 1G");
    top_press(&t, TOP_KEY_DOWN);
    expect_part(&t, "san/e499: 1G");
    top_press(&t, TOP_KEY_FIRST);
    top_press(&t, TOP_KEY_UP);
    expect_part(&t, "san/e000: 1G");
    // Most of them go.
    top_press(&t, TOP_KEY_LAST);
    take(&t, a_process(json_pack("[o]", an_export("e007", 5, 5, "fast")), NULL), NOW);
    expect_part(&t, "san/e007: 1G");
    take(&t, a_process(NULL, NULL), NOW);
    expect_part(&t, "(none)");
    top_press(&t, TOP_KEY_DOWN);
    top_press(&t, TOP_KEY_PAGE_UP);
    expect_part(&t, "(none)");
    top_end(&t);
}

Test(top, the_daemon_is_gone_and_comes_back)
{
    struct top t;
    struct answer none = {.kind = ANSWER_NONE, .error = "no answer at /x\x1b[2J"};
    top_begin(&t, 1);
    expect_part(&t, "waiting for the first answer");
    top_take(&t, &none, NOW - 65, 0);
    expect_part(&t, "No answer for 1min, trying again: no answer at /x?[2J\n");
    top_take(&t, &none, NOW - 5, 0); // still the same trouble
    expect_part(&t, "No answer for 1min");
    take(&t, a_process(json_pack("[o]", an_export("a", 5, 5, "fast")), NULL), NOW);
    expect_part(&t, "san/a");
    top_take(&t, &none, NOW - 2, 0);
    expect_part(&t, "No answer for 2s");
    expect_part(&t, "san/a"); // what was last known
    top_end(&t);
}

Test(top, keys)
{
    struct top t;
    set_up(&t);
    cr_expect_not(top_press(&t, 'q'));
    cr_expect_not(top_press(&t, TOP_KEY_QUIT));
    cr_expect(top_press(&t, 'h'));
    expect_part(&t, "reverse the order");
    cr_expect(top_press(&t, 'r')); // any key goes back, and does no more
    expect_part(&t, "sorted by OPS/s downwards");
    cr_expect_not(top_press(&t, 'q'));
    cr_expect(top_press(&t, '?'));
    cr_expect_not(top_press(&t, 'q')); // from there, too
    t.help = false;
    for (unsigned i = 0; i < 20; i++)
        top_press(&t, '+');
    cr_expect_eq(t.every, 64);
    for (unsigned i = 0; i < 40; i++)
        top_press(&t, '-');
    cr_expect_eq(t.every, 0.25);
    top_press(&t, 'p');
    cr_expect(t.paused);
    expect_part(&t, "paused");
    for (int key = 0; key < 0x1100; key++)
        if (key != 'q' && key != TOP_KEY_QUIT)
            cr_assert(top_press(&t, key));
    top_end(&t);
}

// Whatever the size, and whatever the names: nothing outside, nothing that a terminal obeys.
Test(top, any_size)
{
    struct top t;
    set_up(&t);
    take(&t, a_snapshot("\x1b[2Jname\r\n-that-is-rather-long-and-would-not-fit", INT64_MAX), NOW);
    for (unsigned view = 0; view < TOP_VIEWS; view++) {
        for (size_t rows = 0; rows < 30; rows++)
            for (size_t columns = 0; columns < 200; columns += 1 + columns / 8)
                free(picture(&t, rows, columns));
        top_press(&t, '\t');
    }
    top_press(&t, 'h');
    for (size_t rows = 0; rows < 30; rows++)
        free(picture(&t, rows, 3 * rows));
    top_end(&t);
}
