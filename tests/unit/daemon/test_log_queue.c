// SPDX-License-Identifier: BSD-3-Clause
#include "log_queue.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static void
check_line(const struct log_line *line, unsigned n)
{
    cr_assert_eq(line->time, n);
    cr_assert_eq(line->level, n % 4);
    for (size_t i = 0; i < line->len; i++)
        cr_assert_eq(line->text[i], 'a' + (int)(n % 26));
    cr_assert_eq(line->connection, n % 3 ? n : 0);
    cr_assert_eq(line->known, n % 3 ? 1 << LOG_CLIENT | 1 << LOG_EXPORT : 0);
    if (line->known) {
        cr_assert_str_eq(line->fields, "somebody");
        cr_assert_str_eq(line->fields + 9, "disk");
        cr_assert_eq(line->fields_len, 14);
    }
}

Test(log_queue, lines_come_out_as_they_went_in)
{
    static struct log_queue q;
    static struct log_line line;
    unsigned in = 0, out = 0;
    srand(1);
    for (int round = 0; round < 200000; round++) {
        char text[LOG_LINE_MAX];
        struct log_about about = {.connection = in, .client = "somebody", .export = "disk"};
        struct log_head head = {.level = (enum log_level)(in % 4), .about = in % 3 ? &about : NULL};
        if (rand() % 2) {
            size_t len = (size_t)rand() % sizeof text;
            memset(text, 'a' + (int)(in % 26), len);
            in += log_queue_put(&q, in, &head, text, len);
        } else if (log_queue_take(&q, &line)) {
            check_line(&line, out++);
        }
    }
    cr_expect_gt(out, 90000);
}

Test(log_queue, full_means_dropped)
{
    static struct log_queue q;
    static struct log_line line;
    struct log_head head = {.level = LOG_LEVEL_INFO};
    char text[1000] = {0};
    unsigned n = 0;
    while (log_queue_put(&q, 0, &head, text, sizeof text))
        n++;
    cr_expect_gt(n, 200);
    cr_expect_leq(n * sizeof text, LOG_QUEUE_BYTES);
    cr_expect(log_queue_take(&q, &line));
    cr_expect(log_queue_put(&q, 0, &head, text, sizeof text));
}

Test(log_queue, fields_that_are_too_long_are_cut)
{
    static struct log_queue q;
    static struct log_line line;
    char lengthy[5000];
    memset(lengthy, 'x', sizeof lengthy - 1);
    lengthy[sizeof lengthy - 1] = '\0';
    struct log_about about = {.connection = 1,
                              .client = lengthy,
                              .listener = lengthy,
                              .upstream = lengthy,
                              .export = lengthy};
    struct log_head head = {.level = LOG_LEVEL_INFO, .about = &about};
    cr_assert(log_queue_put(&q, 0, &head, lengthy, sizeof lengthy));
    cr_assert(log_queue_take(&q, &line));
    cr_expect_eq(line.len, LOG_LINE_MAX);
    cr_expect_eq(line.fields_len, LOG_FIELDS_MAX);
    const char *at = line.fields;
    for (unsigned i = 0; i < LOG_FIELDS; i++) {
        size_t len = strlen(at);
        cr_expect_eq(len,
                     i < LOG_EXPORT ? LOG_FIELD_MAX : LOG_FIELDS_MAX - 1 - 3 * (LOG_FIELD_MAX + 1));
        at += len + 1;
    }
}
