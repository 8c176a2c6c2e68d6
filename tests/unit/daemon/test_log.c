// SPDX-License-Identifier: BSD-3-Clause
#include "log.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

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

// All that was written to the pipe.
static char *
end_log(const int *p)
{
    log_stop();
    close(p[1]);
    char *text = drain(p[0]);
    close(p[0]);
    return text;
}

Test(log, plain_lines)
{
    int p[2];
    open_pipe(p);
    cr_assert_eq(log_style_for(p[1], NULL), LOG_STYLE_PLAIN);
    cr_assert(log_start(p[1], LOG_STYLE_PLAIN, NULL));
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
    cr_assert(log_start(p[1], LOG_STYLE_JOURNAL, NULL));
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
    cr_assert(log_start(fd, LOG_STYLE_TIMED, NULL));
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

static char *
log_of_floods(bool flood_of_sites, unsigned n)
{
    int p[2];
    open_pipe(p);
    fcntl(p[1], F_SETPIPE_SZ, 1 << 20);
    cr_assert(log_start(p[1], LOG_STYLE_PLAIN, NULL));
    for (unsigned i = 0; i < n; i++) {
        struct log_head head = {.level = LOG_LEVEL_WARN};
        if (flood_of_sites)
            log_at(head, "flood %u", i); // no site: each is a kind of its own
        else
            log_warn("flood %u", i);
    }
    log_error("something else");
    return end_log(p);
}

Test(log, a_flood_of_one_kind_is_cut_and_hides_no_other)
{
    unsigned burst = LOG_RATE_SITE.burst;
    char *text = log_of_floods(false, 5 * burst);
    uint64_t suppressed = log_losses().suppressed;
    unsigned long long said;
    cr_expect_geq(suppressed, 3 * burst);
    cr_expect_not_null(strstr(text, "warn flood 0\n"));
    cr_expect_null(strstr(text, "warn flood 999\n"));
    cr_expect_not_null(strstr(text, "error something else\n"));
    char *at = strstr(text, " lines like this were dropped (more than 10 a second): \"flood ");
    cr_assert_not_null(at, "what is lost is said: %s", text + strlen(text) - 200);
    while (at > text && at[-1] != '\n')
        at--;
    cr_expect_eq(sscanf(at, "warn %llu lines", &said), 1);
    cr_expect_eq(said, suppressed);
    free(text);
}

static unsigned
count(const char *text, const char *word)
{
    unsigned n = 0;
    for (const char *p = text; (p = strstr(p, word)); p++)
        n++;
    return n;
}

static double
seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

// Lost lines are told once a second, not as often as one is lost.
Test(log, a_flood_that_goes_on_is_told_now_and_then)
{
    int p[2];
    open_pipe(p);
    fcntl(p[1], F_SETPIPE_SZ, 1 << 20);
    cr_assert(log_start(p[1], LOG_STYLE_PLAIN, NULL));
    double end = seconds() + 2.5;
    for (unsigned i = 0; seconds() < end; i++)
        log_warn("flood %u", i);
    log_error("something else");
    char *text = end_log(p);
    unsigned told = count(text, " lines like this were dropped");
    cr_expect(told >= 2 && told <= 5, "%u", told);
    cr_expect_not_null(strstr(text, "error something else\n"));
    free(text);
}

Test(log, a_flood_of_all_kinds_is_cut_and_said)
{
    char *text = log_of_floods(true, LOG_RATE_ALL.burst + 5000);
    cr_expect_geq(log_losses().suppressed, 4900);
    cr_expect_not_null(strstr(text, " lines were dropped (more than 100 a second in all)"));
    cr_expect_null(strstr(text, "flood 6999"));
    free(text);
}

Test(log, who_asks_for_debug_gets_it_all)
{
    int p[2];
    open_pipe(p);
    fcntl(p[1], F_SETPIPE_SZ, 1 << 20);
    atomic_store(&log_threshold, LOG_LEVEL_DEBUG);
    cr_assert(log_start(p[1], LOG_STYLE_PLAIN, NULL));
    for (unsigned i = 0; i < 1000; i++)
        log_debug("request %u", i);
    log_stop();
    close(p[1]);
    char *text = drain(p[0]);
    cr_expect_not_null(strstr(text, "debug request 999\n"));
    cr_expect_eq(log_losses().suppressed, 0);
    free(text);
    close(p[0]);
}

Test(log, the_level_changes_while_it_runs)
{
    int p[2];
    open_pipe(p);
    cr_assert(log_start(p[1], LOG_STYLE_PLAIN, NULL));
    log_debug("before");
    atomic_store(&log_threshold, LOG_LEVEL_DEBUG);
    log_debug("now");
    atomic_store(&log_threshold, LOG_LEVEL_ERROR);
    log_warn("too small a matter");
    log_stop();
    close(p[1]);
    char *text = drain(p[0]);
    cr_expect_str_eq(text, "debug now\n");
    free(text);
    close(p[0]);
}

static nstime
now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (nstime)ts.tv_sec * NS_PER_SEC + (nstime)ts.tv_nsec;
}

Test(log, a_reader_that_does_not_read_stalls_nobody)
{
    int p[2];
    char text[1000];
    open_pipe(p);
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    cr_assert(log_start(p[1], LOG_STYLE_PLAIN, NULL));
    nstime begun = now();
    for (unsigned i = 0; i < LOG_RATE_ALL.burst; i++)
        log_at((struct log_head){.level = LOG_LEVEL_WARN}, "%s", text);
    cr_expect_lt(now() - begun, NS_PER_SEC);
    cr_expect_gt(log_losses().dropped, 1000);
    begun = now();
    log_stop();
    cr_expect_lt(now() - begun, 3 * NS_PER_SEC);
    close(p[0]);
    close(p[1]);
}
