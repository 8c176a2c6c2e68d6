// SPDX-License-Identifier: BSD-3-Clause
// nbdzero-stat: people's units, tables that fit, and what comes of a hostile or odd reply.
#include "ask.h"
#include "reload.h"
#include "table.h"
#include "units.h"
#include "views.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

Test(units, sizes)
{
    cr_expect_str_eq(units_size(0).s, "0");
    cr_expect_str_eq(units_size(512).s, "512");
    cr_expect_str_eq(units_size(1023).s, "1023");
    cr_expect_str_eq(units_size(65536).s, "64K");
    cr_expect_str_eq(units_size(1536).s, "1.5K");
    cr_expect_str_eq(units_size(UINT64_C(1) << 30).s, "1G");
    cr_expect_str_eq(units_size((UINT64_C(1) << 30) + 1).s, "1.0G");
    cr_expect_str_eq(units_size(UINT64_MAX).s, "16.0E");
}

Test(units, counts_and_times)
{
    cr_expect_str_eq(units_count(99999).s, "99999");
    cr_expect_str_eq(units_count(123456).s, "123k");
    cr_expect_str_eq(units_count(4500000).s, "4.5M");
    cr_expect_str_eq(units_duration(-5).s, "0s");
    cr_expect_str_eq(units_duration(59).s, "59s");
    cr_expect_str_eq(units_duration(3599).s, "59min");
    cr_expect_str_eq(units_duration(11520).s, "3h12min");
    cr_expect_str_eq(units_duration(446400).s, "5d4h");
    cr_expect_str_eq(units_duration(100 * 86400 + 7200).s, "100d");
    cr_expect_str_eq(units_duration(INT64_MAX).s, ">9999d");
}

// What a function prints.
static char *
printed(void (*print)(const json_t *snapshot), const json_t *snapshot)
{
    char *text = calloc(1, 1 << 20);
    fflush(stdout);
    int keep = dup(1), p[2];
    cr_assert(pipe(p) == 0);
    dup2(p[1], 1);
    print(snapshot);
    fflush(stdout);
    dup2(keep, 1);
    close(keep);
    close(p[1]);
    for (size_t len = 0; len < (1 << 20) - 1;) {
        ssize_t n = read(p[0], text + len, (1 << 20) - 1 - len);
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    close(p[0]);
    return text;
}

static void
expect_safe(const char *text, size_t width)
{
    size_t column = 0;
    for (const char *p = text; *p; p++) {
        cr_expect((*p >= 0x20 && *p < 0x7f) || *p == '\n', "byte 0x%02x", (unsigned char)*p);
        column = *p == '\n' ? 0 : column + 1;
        cr_assert_leq(column, width, "%s", text);
    }
}

static void (*const views[])(const json_t *) = {view_show, view_verdicts, view_connections};

static json_t *
a_snapshot(const char *name, json_int_t big)
{
    return json_pack("{s:s, s:i, s:I, s:i, s:i, s:[{s:s, s:s, s:n, s:s, s:I, s:I, s:I}],"
                     " s:[{s:I, s:s, s:s, s:s, s:s, s:n, s:i, s:I, s:I, s:I}],"
                     " s:[{s:s, s:s, s:I, s:{s:s, s:I, s:I, s:I, s:I}, s:{s:I},"
                     " s:[{s:b, s:i, s:I, s:s, s:s, s:I, s:f, s:I}]}]}",
                     "version", "0.1.0", "pid", 4711, "uptime_s", big, "threads", 2,
                     "max_connections", 9, "listeners", "name", name, "address", "127.0.0.1:10809",
                     "tls", "upstream", name, "accepted", big, "active", big, "refused", big,
                     "connections", "id", big, "client", name, "listener", name, "upstream", name,
                     "export", name, "tls", "since", 0, "in_flight", big, "bytes_from_client", big,
                     "bytes_to_client", big, "exports", "upstream", name, "export", name, "size",
                     big, "fast_zero", "policy", "measure", "requests", big, "forwarded", big,
                     "refused", big, "already_zero", big, "probes", "run", big, "verdicts",
                     "no_hole", 1, "bytes_from", 1, "bytes_to", big, "verdict", "unknown", "source",
                     "upstream", "age_s", big, "ratio", 123.456, "samples", big);
}

Test(views, fit_the_terminal_whatever_the_names_and_numbers_are)
{
    static const char long_name[] = "a-very-long-name-of-an-export-that-somebody-has-thought-out-"
                                    "for-reasons-of-their-own-and-that-fills-more-than-a-line";
    json_t *s = a_snapshot(long_name, INT64_MAX);
    cr_assert_not_null(s);
    for (size_t i = 0; i < 3; i++) {
        char *text = printed(views[i], s);
        expect_safe(text, 80);
        cr_expect_not_null(strstr(text, "a-very"), "%s", text);
        cr_expect_not_null(strchr(text, '~'), "what is cut is marked");
        free(text);
    }
    json_decref(s);
}

Test(views, no_escape_sequence_reaches_the_terminal)
{
    json_t *s = a_snapshot("\x1b]0;owned\x07\x1b[2J\r\n\t\x7f\xc2\x9b", 1);
    cr_assert_not_null(s);
    for (size_t i = 0; i < 3; i++) {
        char *text = printed(views[i], s);
        expect_safe(text, 80);
        cr_expect_not_null(strstr(text, "owned"));
        free(text);
    }
    json_decref(s);
}

Test(views, a_reply_that_lacks_everything)
{
    json_t *s = json_object();
    for (size_t i = 0; i < 3; i++) {
        char *text = printed(views[i], s);
        expect_safe(text, 80);
        cr_expect_not_null(strstr(text, "(none)"));
        cr_expect_not_null(strstr(text, "EXPORT"), "headings are there all the same");
        free(text);
    }
    json_decref(s);
}

Test(views, what_people_read)
{
    json_t *s = json_pack("{s:[{s:s, s:s, s:i, s:[{s:b, s:i, s:i, s:s, s:s, s:i, s:f, s:i},"
                          " {s:b, s:i, s:i, s:s, s:n, s:n, s:n, s:i}]}]}",
                          "exports", "upstream", "st", "export", "", "size", 1 << 30, "verdicts",
                          "no_hole", 0, "bytes_from", 65536, "bytes_to", 65536, "verdict", "slow",
                          "source", "traffic", "age_s", 75, "ratio", 0.9, "samples", 16, "no_hole",
                          1, "bytes_from", 1 << 24, "bytes_to", 1 << 30, "verdict", "unknown",
                          "source", "age_s", "ratio", "samples", 0);
    char *text = printed(view_verdicts, s);
    cr_expect_str_eq(text,
                     "EXPORT  NO_HOLE  SIZES       VERDICT  SOURCE   RATIO  SAMPLES   AGE\n"
                     "st/\"\"   no       64K         slow     traffic   0.90       16  1min\n"
                     "st/\"\"   yes      16M and up  unknown  -            -        0     -\n");
    free(text);
    json_decref(s);
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
    cr_assert_not_null(s);
    char *text = printed(view_show, s);
    cr_expect_not_null(strstr(text, "LISTENER  ADDRESS  TLS      UPSTREAM"), "%s", text);
    cr_expect_not_null(strstr(text, "a         -        require  "), "%s", text);
    cr_expect_not_null(strstr(text, "b         -        allow    "), "%s", text);
    cr_expect_not_null(strstr(text, "c         -        off      "), "%s", text);
    cr_expect_not_null(strstr(text, "UPSTREAM  TLS  REACHED  FAILED  LAST\n"
                                    "san       on         7       2  reached\n"
                                    "nas       off        1       9  failed\n"
                                    "new       on         0       0  -\n"),
                       "%s", text);
    cr_expect_not_null(strstr(text, "\n 1  -       -         1.3  "), "%s", text);
    cr_expect_not_null(strstr(text, "\n 2  -       -         off  "), "%s", text);
    cr_expect_not_null(strstr(text, "\n 3  -       -         odd  "), "%s", text);
    free(text);
    json_decref(s);
}

// A server that says one thing to whoever comes.
struct server {
    int fd;
    const char *says;
    char path[64];
    pthread_t thread;
    char heard[256];
};

static void *
serve(void *ctx)
{
    struct server *s = ctx;
    int fd = accept(s->fd, NULL, NULL);
    if (recv(fd, s->heard, sizeof s->heard - 1, 0) > 0)
        send(fd, s->says, strlen(s->says), MSG_NOSIGNAL);
    close(fd);
    return NULL;
}

static void
ask_one_who_says(const char *says, struct answer *answer)
{
    struct server s = {.says = says};
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(s.path, sizeof s.path, "/tmp/nbdzero-test-%d.sock", (int)getpid());
    memcpy(a.sun_path, s.path, sizeof s.path);
    unlink(s.path);
    s.fd = socket(AF_UNIX, SOCK_STREAM, 0);
    cr_assert(bind(s.fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(s.fd, 1) == 0);
    pthread_create(&s.thread, NULL, serve, &s);
    ask(s.path, "json", 10, answer);
    pthread_join(s.thread, NULL);
    cr_expect_str_eq(s.heard, "{\"version\":1,\"command\":\"json\"}\n");
    close(s.fd);
    unlink(s.path);
}

Test(ask, answers)
{
    struct answer a;
    ask_one_who_says("{\"version\":1,\"result\":{\"pid\":5}}\n", &a);
    cr_expect_eq(a.kind, ANSWER_RESULT);
    cr_expect_eq(json_integer_value(json_object_get(a.result, "pid")), 5);
    answer_clear(&a);
    static const struct {
        const char *says, *part;
        enum answer_kind kind;
    } bad[] = {
        {"{\"version\":1,\"error\":\"no such thing\"}\n", "no such thing", ANSWER_ERROR},
        {"hello\n", "not JSON", ANSWER_STRANGE},
        {"{}\n", "no result", ANSWER_STRANGE},
        {"{\"result\":5}\n", "no result", ANSWER_STRANGE},
        {"[]\n", "no result", ANSWER_STRANGE},
        {"{\"version\":1,\"result\":{}}", "reset", ANSWER_NONE}, // cut off
        {"", "reset", ANSWER_NONE},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ask_one_who_says(bad[i].says, &a);
        cr_expect_eq(a.kind, bad[i].kind, "%s", bad[i].says);
        cr_expect_null(a.result);
        cr_expect(strstr(a.error, bad[i].part), "%s: %s", bad[i].says, a.error);
        answer_clear(&a);
    }
}

Test(ask, nobody_there)
{
    struct answer a;
    char path[300];
    ask("/nonexistent/control.sock", "json", 10, &a);
    cr_expect_eq(a.kind, ANSWER_NONE);
    cr_expect(strstr(a.error, "/nonexistent/control.sock") && strstr(a.error, "No such file"), "%s",
              a.error);
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    ask(path, "json", 10, &a);
    cr_expect_eq(a.kind, ANSWER_STRANGE);
    cr_expect(strstr(a.error, "longer than"), "%s", a.error);
}

Test(ask, somebody_who_says_nothing)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    snprintf(sun.sun_path, sizeof sun.sun_path, "/tmp/nbdzero-test-%d.sock", (int)getpid());
    unlink(sun.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    cr_assert(bind(fd, (struct sockaddr *)&sun, sizeof sun) == 0 && listen(fd, 1) == 0);
    struct answer a;
    ask(sun.sun_path, "json", 1, &a);
    cr_expect_eq(a.kind, ANSWER_NONE);
    cr_expect(strstr(a.error, "timed out"), "%s", a.error);
    close(fd);
    unlink(sun.sun_path);
}

// Who may not ask knows nothing.
Test(ask, somebody_who_is_not_for_us)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    snprintf(sun.sun_path, sizeof sun.sun_path, "/tmp/nbdzero-test-%d.sock", (int)getpid());
    unlink(sun.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    cr_assert(bind(fd, (struct sockaddr *)&sun, sizeof sun) == 0 && listen(fd, 1) == 0);
    cr_assert_eq(chmod(sun.sun_path, 0), 0);
    uid_t me = geteuid();
    if (me == 0)
        cr_assert_eq(seteuid(65534), 0);
    struct answer a;
    ask(sun.sun_path, "json", 1, &a);
    cr_assert_eq(seteuid(me), 0);
    cr_expect_eq(a.kind, ANSWER_STRANGE);
    cr_expect(strstr(a.error, "Permission denied"), "%s", a.error);
    close(fd);
    unlink(sun.sun_path);
}

static char *
reload_text(const struct answer *a, bool errors)
{
    char *text = NULL, *other = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len), *rest = open_memstream(&other, &len);
    reload_print(a, errors ? rest : out, errors ? out : rest);
    fclose(out);
    fclose(rest);
    cr_expect_str_empty(other);
    free(other);
    return text;
}

Test(reload, what_people_read)
{
    struct answer a = {.result = json_pack("{s:[s, s], s:[s]}", "changes", "[listen a]: new",
                                           "\x1b[2J", "warnings", "a.conf:1: mind")};
    char *text = reload_text(&a, false);
    cr_expect_str_eq(text, "reloaded\n[listen a]: new\n?[2J\nwarning: a.conf:1: mind\n");
    free(text);
    answer_clear(&a);
    a.result = json_pack("{s:[]}", "changes");
    text = reload_text(&a, false);
    cr_expect_str_eq(text, "reloaded: nothing has changed\n");
    free(text);
    answer_clear(&a);
    a = (struct answer){.kind = ANSWER_ERROR,
                        .faults = json_pack("[s, i]", "a.conf:3: bad\n", 5),
                        .error = "refused\x07"};
    text = reload_text(&a, true);
    cr_expect_str_eq(text, "a.conf:3: bad?\n?\nnbdzero-stat: refused?\n");
    free(text);
    answer_clear(&a);
}
