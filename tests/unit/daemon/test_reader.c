// SPDX-License-Identifier: BSD-3-Clause
// What inih would get wrong is a fault with its line.
#include "rig.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define TEN "0123456789"

Test(reader, long_lines)
{
    char text[1024];
    // "state-dir = /" and 186 more are 199 bytes.
    snprintf(text, sizeof text, GOOD "[proxy]\nstate-dir = /%.*s\n", 186,
             TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN);
    expect_fine(text);
    snprintf(text, sizeof text, GOOD "[proxy]\nstate-dir = /%.*s\n", 187,
             TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN);
    expect_only_fault(text, GOOD_LINES + 2, "200 bytes");
    // The rest of a comment would become a key.
    snprintf(text, sizeof text, GOOD "# %.*s threads = 1\n", 200,
             TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN);
    expect_only_fault(text, GOOD_LINES + 1, "199");
}

Test(reader, long_section_names)
{
    // 49 bytes between the brackets fit.
    expect_fine(GOOD "[export " TEN TEN TEN TEN "ab]\nread-only = yes\n");
    expect_only_fault(GOOD "[export " TEN TEN TEN TEN "abc]\nread-only = yes\n", GOOD_LINES + 1,
                      "50 bytes");
    // Two that inih would take for one.
    struct faults f = {0};
    cr_expect_null(config_of(GOOD "[export " TEN TEN TEN TEN TEN "a]\nread-only = yes\n"
                                  "[export " TEN TEN TEN TEN TEN "b]\nread-only = no\n",
                             &f));
    cr_expect(has_fault(&f, GOOD_LINES + 1, "at most 49"));
    cr_expect(has_fault(&f, GOOD_LINES + 3, "at most 49"));
    cr_expect_eq(f.errors, 2);
    faults_clear(&f);
}

Test(reader, indented_lines)
{
    expect_only_fault(GOOD "[proxy]\nlog-level = info\n threads = 2\n", GOOD_LINES + 3, "indented");
    expect_only_fault(GOOD "[proxy]\nlog-level = info\n\tthreads = 2\n", GOOD_LINES + 3,
                      "indented");
    // Where inih would take it for a key, and where it would take a section for a value.
    expect_only_fault(GOOD "[proxy]\n threads = 2\n", GOOD_LINES + 2, "indented");
    expect_only_fault(GOOD " [proxy]\n", GOOD_LINES + 1, "indented");
    expect_fine(GOOD "[proxy]\n  # a comment\n\t; another\n   \nthreads = 2\n");
}

Test(reader, lines_that_are_nothing)
{
    expect_only_fault(GOOD "hello\n", GOOD_LINES + 1, "neither");
    expect_only_fault(GOOD "hello\nfast-zero = off\n", GOOD_LINES + 1, "neither");
    expect_only_fault(GOOD "hello", GOOD_LINES + 1, "neither"); // without an end of line
    expect_only_fault(GOOD "[proxy\n", GOOD_LINES + 1, "without ]");
    expect_only_fault(GOOD "[proxy] threads = 2\n", GOOD_LINES + 1, "behind");
    expect_only_fault("threads = 2\n" GOOD, 1, "before the first section");
    expect_only_fault(GOOD "= 5\n", GOOD_LINES + 1, "unknown key \"\"");
}

Test(reader, zero_bytes)
{
    static const char text[] = GOOD "[proxy]\nthreads = 2\0 3\n";
    struct config_document doc = {0};
    struct faults f = {0};
    config_document_parse(&doc, text, sizeof text - 1, &f);
    cr_expect_eq(f.errors, 1);
    cr_expect(has_fault(&f, GOOD_LINES + 2, "zero byte"));
    config_document_clear(&doc);
    faults_clear(&f);
}

Test(reader, unknown_names_and_the_nearest)
{
    expect_only_fault(GOOD "[proxi]\nwhatever = 1\n", GOOD_LINES + 1, "did you mean [proxy]");
    expect_only_fault(GOOD "[nonsense]\nwhatever = 1\n", GOOD_LINES + 1, "proxy, listen");
    expect_only_fault(GOOD "[proxy]\nhandshake_timeout = 1s\n", GOOD_LINES + 2,
                      "did you mean \"handshake-timeout\"");
    expect_only_fault(GOOD "raed-only = yes\n", GOOD_LINES + 1, "did you mean \"read-only\"");
    expect_only_fault(GOOD "xyzzy = yes\n", GOOD_LINES + 1, "nbdzero.conf(5)");
    // Known, but elsewhere.
    expect_only_fault(GOOD "threads = 2\n", GOOD_LINES + 1, "in a [upstream] section");
    expect_only_fault(GOOD "[export a]\nuri = nbd://a\n", GOOD_LINES + 2, "in a [export] section");
}

Test(reader, duplicates)
{
    expect_only_fault(GOOD "[proxy]\nthreads = 2\nthreads = 2\n", GOOD_LINES + 3, "line 7");
    expect_only_fault(GOOD "[proxy]\n[proxy]\n", GOOD_LINES + 2, "first in line 6");
    expect_only_fault(GOOD "[upstream storage]\nuri = nbd://b\n", GOOD_LINES + 1,
                      "first in line 4");
    // Even where it is empty: inih never shows such a section.
    expect_only_fault(GOOD "[listen main]\naddress = 127.0.0.1:1\nupstream = storage\n",
                      GOOD_LINES + 1, "first in line 1");
}

Test(reader, section_names)
{
    expect_only_fault(GOOD "[proxy main]\n", GOOD_LINES + 1, "takes no name");
    expect_only_fault(GOOD "[upstream a/b]\nuri = nbd://b\n", GOOD_LINES + 1, "letters");
    expect_only_fault(GOOD "[upstream a b]\nuri = nbd://b\n", GOOD_LINES + 1, "letters");
    expect_only_fault(GOOD "[listen]\naddress = 127.0.0.1:1\nupstream = storage\n", GOOD_LINES + 1,
                      "needs a name");
    expect_only_fault(GOOD "[export]\n", GOOD_LINES + 1, "[export \"\"]");
    expect_fine(GOOD "[export \"\"]\n[export a b/c]\n[ export   d ]  ; comment\n");
}

Test(reader, comments_and_blanks)
{
    struct faults f = {0};
    struct config *c = config_of("\xef\xbb\xbf# with a byte order mark\r\n"
                                 "[proxy] ; the process\r\n"
                                 "threads=3\r\n"
                                 "log-level   :   warn   ; a comment\r\n" GOOD,
                                 &f);
    cr_assert_not_null(c);
    cr_expect_eq(c->threads, 3);
    cr_expect_eq(c->log_level, LOG_LEVEL_WARN);
    config_free(c);
    faults_clear(&f);
    // # behind a value is none for inih, and would silently become part of a path.
    expect_only_fault(GOOD "[proxy]\nstate-dir = /var/lib/x # here\n", GOOD_LINES + 2, "#");
}

Test(reader, a_file_that_is_not_there)
{
    struct faults f = {0};
    cr_expect_null(config_load("/nonexistent/nbdzero.conf", &f));
    cr_expect_eq(f.errors, 1);
    cr_expect(has_fault(&f, 0, "No such file"));
    faults_clear(&f);
    cr_expect_null(config_load("/", &f));
    cr_expect_eq(f.errors, 1);
    cr_expect(has_fault(&f, 0, "cannot be read"));
    faults_clear(&f);
}
