// SPDX-License-Identifier: BSD-3-Clause
// The journal by its native protocol, at a socket of the test's own.
#include "log.h"
#include "log_words.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char folder[] = "/tmp/nz-journal-XXXXXX";
static char path[64];
static int pipes[2];

static void
set_up(void)
{
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/socket", folder);
    cr_assert(pipe(pipes) == 0);
}

static void
tear_down(void)
{
    unlink(path);
    rmdir(folder);
}

TestSuite(log_journal, .init = set_up, .fini = tear_down);

static int
journal(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    memcpy(at.sun_path, path, strlen(path));
    cr_assert(bind(fd, (struct sockaddr *)&at, sizeof at) == 0);
    return fd;
}

// What a datagram says, as text.
static const char *
receive(int fd)
{
    static char datagram[LOG_NATIVE_BYTES + 1];
    ssize_t n = recv(fd, datagram, LOG_NATIVE_BYTES, 0);
    cr_assert_gt(n, 0);
    datagram[n] = '\0';
    return datagram;
}

static const char *
plain_lines(void)
{
    static char text[1 << 16];
    close(pipes[1]);
    size_t len = 0;
    for (ssize_t n; (n = read(pipes[0], text + len, sizeof text - 1 - len)) > 0;)
        len += (size_t)n;
    text[len] = '\0';
    return text;
}

Test(log_journal, fields_of_a_connection)
{
    int fd = journal();
    struct log_site site = {.file = "../somewhere/proxy/session/x.c", .line = 17};
    struct log_about about = {.connection = 12,
                              .client = "127.0.0.1:4711",
                              .listener = "front",
                              .upstream = "main",
                              .export = "a\nPRIORITY=0"};
    cr_assert(log_start(pipes[1], LOG_STYLE_JOURNAL, path));
    log_at((struct log_head){&site, LOG_LEVEL_WARN, &about}, "[12] two\nlines");
    log_stop();
    cr_expect_str_eq(receive(fd), "MESSAGE=[12] two?lines\nPRIORITY=4\n"
                                  "SYSLOG_IDENTIFIER=nbdzero-proxy\n"
                                  "CODE_FILE=proxy/session/x.c\nCODE_LINE=17\n"
                                  "NBDZERO_CONNECTION=12\nNBDZERO_CLIENT=127.0.0.1:4711\n"
                                  "NBDZERO_LISTENER=front\nNBDZERO_UPSTREAM=main\n"
                                  "NBDZERO_EXPORT=a?PRIORITY=0\n");
    cr_expect_str_eq(plain_lines(), "");
}

Test(log_journal, priorities_and_what_is_not_known)
{
    int fd = journal();
    struct log_about about = {.upstream = "main", .export = ""};
    atomic_store(&log_threshold, LOG_LEVEL_DEBUG);
    cr_assert(log_start(pipes[1], LOG_STYLE_JOURNAL, path));
    for (int level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++)
        log_at((struct log_head){NULL, (enum log_level)level, level ? NULL : &about}, "x");
    log_stop();
    cr_expect_str_eq(receive(fd), "MESSAGE=x\nPRIORITY=3\nSYSLOG_IDENTIFIER=nbdzero-proxy\n"
                                  "NBDZERO_UPSTREAM=main\nNBDZERO_EXPORT=\n");
    cr_expect_str_eq(receive(fd), "MESSAGE=x\nPRIORITY=4\nSYSLOG_IDENTIFIER=nbdzero-proxy\n");
    cr_expect_str_eq(receive(fd), "MESSAGE=x\nPRIORITY=6\nSYSLOG_IDENTIFIER=nbdzero-proxy\n");
    cr_expect_str_eq(receive(fd), "MESSAGE=x\nPRIORITY=7\nSYSLOG_IDENTIFIER=nbdzero-proxy\n");
    cr_expect_str_eq(plain_lines(), "");
}

Test(log_journal, the_longest_line_is_one_datagram)
{
    int fd = journal();
    char lengthy[3000];
    memset(lengthy, 'x', sizeof lengthy - 1);
    lengthy[sizeof lengthy - 1] = '\0';
    struct log_site site = {.file = lengthy, .line = UINT32_MAX};
    struct log_about about = {UINT64_MAX, lengthy, lengthy, lengthy, lengthy};
    cr_assert(log_start(pipes[1], LOG_STYLE_JOURNAL, path));
    log_at((struct log_head){&site, LOG_LEVEL_WARN, &about}, "%s", lengthy);
    log_stop();
    const char *said = receive(fd);
    cr_expect_gt(strlen(said), LOG_LINE_MAX + LOG_FIELDS_MAX);
    cr_expect_eq(said[strlen(said) - 1], '\n');
}

Test(log_journal, none_there_means_plain_lines_until_there_is_one)
{
    cr_assert(log_start(pipes[1], LOG_STYLE_JOURNAL, path));
    log_warn("nobody hears");
    char text[32] = "";
    cr_assert_gt(read(pipes[0], text, sizeof text - 1), 0);
    cr_expect_str_eq(text, "<4>nobody hears\n");
    int fd = journal();
    log_warn("now they do");
    log_stop();
    cr_expect_not_null(strstr(receive(fd), "MESSAGE=now they do\n"));
    cr_expect_str_eq(plain_lines(), "");
}

// Its queue holds a few lines, and nobody reads: the others are said plainly, and none is lost.
Test(log_journal, a_full_one_means_plain_lines)
{
    int fd = journal();
    unsigned n = 0, plain = 0;
    cr_assert(log_start(pipes[1], LOG_STYLE_JOURNAL, path));
    for (; n < 1200; n++)
        log_at((struct log_head){.level = LOG_LEVEL_WARN}, "line %u", n);
    log_stop();
    char datagram[LOG_NATIVE_BYTES];
    unsigned taken = 0;
    while (recv(fd, datagram, sizeof datagram, 0) > 0)
        taken++;
    for (const char *at = plain_lines(); (at = strstr(at, "<4>line ")); at++)
        plain++;
    cr_expect_gt(taken, 0);
    cr_expect_gt(plain, 0);
    cr_expect_eq(taken + plain, n);
}
