// SPDX-License-Identifier: BSD-3-Clause
#include "log.h"
#include "log_bound.h"
#include "log_queue.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

Test(log_bound, a_burst_and_then_so_many_a_second)
{
    struct log_bound b;
    nstime now = 5 * NS_PER_SEC;
    unsigned admitted = 0;
    log_bound_begin(&b, now);
    for (unsigned i = 0; i < 3 * LOG_BURST; i++)
        admitted += log_bound_admit(&b, now);
    cr_expect_eq(admitted, LOG_BURST);
    admitted = 0;
    for (unsigned i = 0; i < 10000; i++)
        admitted += log_bound_admit(&b, now + i * NS_PER_MS);
    cr_expect_eq(admitted, 10 * LOG_PER_SECOND - 1); // the last grows at 10 s
    // A day of silence does not save up more than a burst.
    admitted = 0;
    for (unsigned i = 0; i < 3 * LOG_BURST; i++)
        admitted += log_bound_admit(&b, now + 86400 * NS_PER_SEC);
    cr_expect_eq(admitted, LOG_BURST);
}

Test(log_queue, lines_come_out_as_they_went_in)
{
    static struct log_queue q;
    static struct log_line line;
    unsigned in = 0, out = 0;
    srand(1);
    for (int round = 0; round < 200000; round++) {
        char text[LOG_LINE_MAX];
        if (rand() % 2) {
            size_t len = (size_t)rand() % sizeof text;
            memset(text, 'a' + (int)(in % 26), len);
            if (log_queue_put(&q, in, (enum log_level)(in % 4), text, len))
                in++;
        } else if (log_queue_take(&q, &line)) {
            cr_assert_eq(line.time, out);
            cr_assert_eq(line.level, out % 4);
            for (size_t i = 0; i < line.len; i++)
                cr_assert_eq(line.text[i], 'a' + (int)(out % 26));
            out++;
        }
    }
    cr_expect_gt(out, 90000);
}

Test(log_queue, full_means_dropped)
{
    static struct log_queue q;
    static struct log_line line;
    char text[1000] = {0};
    unsigned n = 0;
    while (log_queue_put(&q, 0, LOG_LEVEL_INFO, text, sizeof text))
        n++;
    cr_expect_gt(n, 200);
    cr_expect_leq(n * sizeof text, LOG_QUEUE_BYTES);
    cr_expect(log_queue_take(&q, &line));
    cr_expect(log_queue_put(&q, 0, LOG_LEVEL_INFO, text, sizeof text));
}

static char *
drain(int fd)
{
    char *all = calloc(1, 8 << 20);
    size_t len = 0;
    for (ssize_t n; (n = read(fd, all + len, (8 << 20) - 1 - len)) > 0;)
        len += (size_t)n;
    return all;
}

static void
open_pipe(int *p)
{
    cr_assert(pipe2(p, O_CLOEXEC) == 0);
}

Test(log, plain_lines)
{
    int p[2];
    open_pipe(p);
    cr_assert_eq(log_style_for(p[1], NULL), LOG_STYLE_PLAIN);
    cr_assert(log_start(p[1], LOG_STYLE_PLAIN));
    log_error("one %d", 1);
    log_warn("two\nlines \x1b[2J");
    log_info("three");
    log_debug("not asked for");
    log_stop();
    close(p[1]);
    char *text = drain(p[0]);
    cr_expect_str_eq(text, "error one 1\nwarn two?lines ?[2J\ninfo three\n");
    free(text);
}

Test(log, the_journal_gets_priorities)
{
    int p[2];
    struct stat st;
    char journal[64];
    open_pipe(p);
    fstat(p[1], &st);
    snprintf(journal, sizeof journal, "%llu:%llu", (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino);
    cr_expect_eq(log_style_for(p[1], journal), LOG_STYLE_JOURNAL);
    cr_expect_eq(log_style_for(p[1], "1:1"), LOG_STYLE_PLAIN);
    cr_expect_eq(log_style_for(p[1], "rubbish"), LOG_STYLE_PLAIN);
    atomic_store(&log_threshold, LOG_LEVEL_DEBUG);
    cr_assert(log_start(p[1], LOG_STYLE_JOURNAL));
    log_error("a");
    log_warn("b");
    log_info("c");
    log_debug("d");
    log_stop();
    close(p[1]);
    char *text = drain(p[0]);
    cr_expect_str_eq(text, "<3>a\n<4>b\n<6>c\n<7>d\n");
    free(text);
}

Test(log, files_get_the_time)
{
    FILE *f = tmpfile();
    int fd = fileno(f), year = 0, milli = 0;
    char rest[32] = "";
    cr_assert_eq(log_style_for(fd, NULL), LOG_STYLE_TIMED);
    cr_assert(log_start(fd, LOG_STYLE_TIMED));
    log_info("hello");
    log_stop();
    lseek(fd, 0, SEEK_SET);
    char *text = drain(fd);
    cr_expect_eq(sscanf(text, "%d-%*d-%*d %*d:%*d:%*d.%d %31[^\n]", &year, &milli, rest), 3, "%s",
                 text);
    cr_expect_geq(year, 2024);
    cr_expect_str_eq(rest, "info hello");
    free(text);
    fclose(f);
}

static nstime
now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (nstime)ts.tv_sec * NS_PER_SEC + (nstime)ts.tv_nsec;
}

Test(log, a_flood_is_cut_and_said)
{
    int p[2];
    open_pipe(p);
    fcntl(p[1], F_SETPIPE_SZ, 1 << 20);
    cr_assert(log_start(p[1], LOG_STYLE_PLAIN));
    for (unsigned i = 0; i < LOG_BURST + 5000; i++)
        log_warn("flood %u", i);
    log_stop();
    close(p[1]);
    struct log_losses losses = log_losses();
    cr_expect_geq(losses.suppressed, 4900);
    char *text = drain(p[0]);
    cr_expect_not_null(strstr(text, "warn suppressed "), "what is lost is said");
    cr_expect_null(strstr(text, "flood 6999"));
    free(text);
}

Test(log, a_reader_that_does_not_read_stalls_nobody)
{
    int p[2];
    char text[1000];
    open_pipe(p);
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    cr_assert(log_start(p[1], LOG_STYLE_PLAIN));
    nstime begun = now();
    for (unsigned i = 0; i < LOG_BURST; i++)
        log_warn("%s", text);
    cr_expect_lt(now() - begun, NS_PER_SEC);
    cr_expect_gt(log_losses().dropped, 1000);
    begun = now();
    log_stop();
    cr_expect_lt(now() - begun, 3 * NS_PER_SEC);
    close(p[0]);
    close(p[1]);
}
