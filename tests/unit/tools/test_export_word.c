// SPDX-License-Identifier: BSD-3-Clause
// Which export is meant, and what is wrong with a command line.
#include <command_line.h>
#include <criterion/criterion.h>
#include <export_word.h>
#include <jansson.h>
#include <orders.h>
#include <stdio.h>
#include <string.h>
#include <trouble.h>

#include <errno.h>

static void
expect(const char *word, const char *upstream, const char *name)
{
    json_t *s = json_pack("{s:[{s:s, s:s}, {s:s, s:s}, {s:s, s:s}, {s:s, s:s}], s:[{s:s}, {s:s}]}",
                          "exports", "upstream", "san", "export", "", "upstream", "san", "export",
                          "disk", "upstream", "san", "export", "a/b", "upstream", "san/far",
                          "export", "disk", "upstreams", "name", "san", "name", "san/far");
    struct export_word t;
    export_word_find(&t, s, word);
    cr_expect_str_eq(t.name, name, "%s: %s", word, t.name);
    cr_expect(!!t.upstream == !!upstream && (!upstream || strcmp(t.upstream, upstream) == 0),
              "%s: %s", word, t.upstream);
    export_word_free(&t);
    json_decref(s);
}

Test(export_word, by_what_the_daemon_knows)
{
    expect("disk", NULL, "disk"); // of whom: the daemon asks back if it is not clear
    expect("san/disk", "san", "disk");
    expect("san/far/disk", "san/far", "disk");
    expect("a/b", NULL, "a/b");
    expect("san/a/b", "san", "a/b");
    expect("", NULL, "");
    expect("\"\"", NULL, "");
    expect("san/", "san", "");
    expect("san/\"\"", "san", "");
    // Nobody has opened these yet.
    expect("other", NULL, "other");
    expect("nas/other", NULL, "nas/other");
    expect("san/other", "san", "other");
    expect("san/far/other", "san/far", "other");
    expect("san/fart/other", "san", "fart/other");
}

Test(orders, words)
{
    static const char *const good[] = {"fast", "slow", "auto", "forget"};
    static const char *const levels[] = {"error", "warn", "info", "debug"};
    char word[16], *words[] = {word, word};
    for (size_t i = 0; i < 4; i++) {
        snprintf(word, sizeof word, "%s", good[i]);
        cr_expect_null(order_verdict_fault(words));
        cr_expect_not_null(order_log_level_fault(words));
        snprintf(word, sizeof word, "%s", levels[i]);
        cr_expect_null(order_log_level_fault(words));
        cr_expect_not_null(order_verdict_fault(words));
    }
}

Test(trouble, cause_and_remedy)
{
    static const struct {
        int error;
        const char *words[2];
    } cases[] = {
        {ENOENT, {"No such file", "-s SOCKET"}},   {ECONNREFUSED, {"nobody listens", "start it"}},
        {ETIMEDOUT, {"timed out", "see its log"}}, {ECONNRESET, {"reset", "try again"}},
        {EPROTOTYPE, {"no control socket", ""}},   {EACCES, {"Permission denied", "sudo"}},
        {EIO, {"Input/output error", ""}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[512];
        trouble_explain("/nonexistent/x", cases[i].error, text, sizeof text);
        cr_expect(strstr(text, "/nonexistent/x"), "%s", text);
        for (size_t j = 0; j < 2; j++)
            cr_expect(strstr(text, cases[i].words[j]), "%s", text);
    }
}
