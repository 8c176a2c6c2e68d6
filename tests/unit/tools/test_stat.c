// SPDX-License-Identifier: BSD-3-Clause
// nbdzero-stat: people's units, asking, and what comes of a hostile or odd reply.
#include "ask.h"
#include "orders.h"
#include "units.h"

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

Test(units, latencies_and_rates)
{
    cr_expect_str_eq(units_latency(0).s, "0us");
    cr_expect_str_eq(units_latency(999).s, "999us");
    cr_expect_str_eq(units_latency(1000).s, "1ms");
    cr_expect_str_eq(units_latency(1249).s, "1.2ms");
    cr_expect_str_eq(units_latency(9960).s, "10ms");
    cr_expect_str_eq(units_latency(35499).s, "35ms");
    cr_expect_str_eq(units_latency(2500000).s, "2.5s");
    cr_expect_str_eq(units_latency(999000000).s, "999s");
    cr_expect_str_eq(units_latency(1000000000).s, "16min");
    cr_expect_str_eq(units_latency(UINT64_MAX).s, ">9999d");
    cr_expect_str_eq(units_rate(-1).s, "-");
    cr_expect_str_eq(units_rate(0).s, "0");
    cr_expect_str_eq(units_rate(0.01).s, "<0.1");
    cr_expect_str_eq(units_rate(0.25).s, "0.2");
    cr_expect_str_eq(units_rate(9.94).s, "9.9");
    cr_expect_str_eq(units_rate(9.96).s, "10");
    cr_expect_str_eq(units_rate(250000).s, "250k");
    cr_expect_str_eq(units_rate(1e30).s, "1E");
    cr_expect_str_eq(units_size_rate(1536).s, "1.5K");
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
    ask(s.path, ask_request("json"), 10, answer);
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
    ask("/nonexistent/control.sock", ask_request("json"), 10, &a);
    cr_expect_eq(a.kind, ANSWER_NONE);
    cr_expect(strstr(a.error, "/nonexistent/control.sock") && strstr(a.error, "No such file"), "%s",
              a.error);
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    ask(path, ask_request("json"), 10, &a);
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
    ask(sun.sun_path, ask_request("json"), 1, &a);
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
    ask(sun.sun_path, ask_request("json"), 1, &a);
    cr_assert_eq(seteuid(me), 0);
    cr_expect_eq(a.kind, ANSWER_STRANGE);
    cr_expect(strstr(a.error, "Permission denied"), "%s", a.error);
    close(fd);
    unlink(sun.sun_path);
}

static char *
order_text(const struct answer *a, bool errors)
{
    char *text = NULL, *other = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len), *rest = open_memstream(&other, &len);
    order_print(a, "done", errors ? rest : out, errors ? out : rest);
    fclose(out);
    fclose(rest);
    cr_expect_str_empty(other);
    free(other);
    return text;
}

Test(orders, what_people_read)
{
    struct answer a = {.result = json_pack("{s:[s, s], s:[s]}", "changes", "[listen a]: new",
                                           "\x1b[2J", "warnings", "a.conf:1: mind")};
    char *text = order_text(&a, false);
    cr_expect_str_eq(text, "done\n[listen a]: new\n?[2J\nwarning: a.conf:1: mind\n");
    free(text);
    answer_clear(&a);
    a.result = json_pack("{s:[]}", "changes");
    text = order_text(&a, false);
    cr_expect_str_eq(text, "done\n");
    free(text);
    answer_clear(&a);
    a = (struct answer){.kind = ANSWER_ERROR,
                        .faults = json_pack("[s, i]", "a.conf:3: bad\n", 5),
                        .error = "refused\x07"};
    text = order_text(&a, true);
    cr_expect_str_eq(text, "a.conf:3: bad?\n?\nnbdzero-stat: refused?\n");
    free(text);
    answer_clear(&a);
}
