// SPDX-License-Identifier: BSD-3-Clause
#include "rig.h"

#include <criterion/criterion.h>
#include <io/address.h>
#include <io/dial.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct rig rig;
static int calls, got_fd;
static char got_err[512];

static void
open_rig(void)
{
    rig_open(&rig);
    cr_assert(resolver_start());
}

static void
close_rig(void)
{
    rig_close(&rig);
    resolver_stop();
}

TestSuite(dial, .init = open_rig, .fini = close_rig, .timeout = 60);

static void
done(void *ctx, int fd, const char *err)
{
    cr_assert_eq(ctx, &rig);
    cr_assert_eq(fd < 0, err != NULL);
    calls++;
    got_fd = fd;
    snprintf(got_err, sizeof got_err, "%s", err ? err : "");
    ring_stop(rig.ring);
}

static struct dial *
start(const char *text, nstime limit)
{
    struct address a;
    char err[256];
    cr_assert(address_parse(text, &a, err, sizeof err), "%s", err);
    return dial_start(rig.ring, &a, ring_clock(rig.ring) + limit, done, &rig);
}

static unsigned
listen_tcp(int *fd, int backlog)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sin;
    *fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(*fd, (struct sockaddr *)&sin, sizeof sin), 0);
    cr_assert_eq(listen(*fd, backlog), 0);
    cr_assert_eq(getsockname(*fd, (struct sockaddr *)&sin, &len), 0);
    return ntohs(sin.sin_port);
}

Test(dial, connects_by_number_and_by_name)
{
    int listener;
    unsigned port = listen_tcp(&listener, 5);
    static const char *const hosts[] = {"127.0.0.1", "localhost"};
    for (int i = 0; i < 2; i++) {
        char text[64];
        snprintf(text, sizeof text, "%s:%u", hosts[i], port);
        cr_assert_not_null(start(text, 5 * NS_PER_SEC));
        cr_assert_eq(calls, i, "nobody is called back from within the call");
        rig_run(&rig, 10 * NS_PER_SEC);
        cr_assert_eq(calls, i + 1);
        cr_assert_geq(got_fd, 0, "%s", got_err);
        int peer = accept(listener, NULL, NULL);
        cr_assert_eq(write(got_fd, "x", 1), 1);
        char c;
        cr_assert_eq(read(peer, &c, 1), 1);
        close(got_fd);
        close(peer);
    }
    close(listener);
}

Test(dial, tells_what_was_tried_and_why_it_failed)
{
    int listener;
    char text[64], expected[128];
    unsigned port = listen_tcp(&listener, 5);
    close(listener);
    snprintf(text, sizeof text, "127.0.0.1:%u", port);
    snprintf(expected, sizeof expected, "connect to 127.0.0.1:%u: Connection refused", port);
    start(text, 5 * NS_PER_SEC);
    rig_run(&rig, 10 * NS_PER_SEC);
    cr_assert_eq(got_fd, -1);
    cr_assert_str_eq(got_err, expected);

    start("no-such-host.invalid:1", 5 * NS_PER_SEC);
    rig_run(&rig, 10 * NS_PER_SEC);
    cr_assert_eq(got_fd, -1);
    cr_assert_eq(strncmp(got_err, "connect to no-such-host.invalid:1: ", 35), 0, "%s", got_err);

    start("unix:/nonexistent/socket", 5 * NS_PER_SEC);
    rig_run(&rig, 10 * NS_PER_SEC);
    cr_assert_str_eq(got_err, "connect to unix:/nonexistent/socket: No such file or directory");
    cr_assert_eq(calls, 3);
}

// A listener whose backlog is full does not answer a SYN.
Test(dial, gives_up_at_the_deadline)
{
    int listener, filler[2];
    char text[64];
    unsigned port = listen_tcp(&listener, 0);
    struct sockaddr_in sin = {.sin_family = AF_INET,
                              .sin_port = htons((uint16_t)port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int i = 0; i < 2; i++) {
        filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(filler[i], (struct sockaddr *)&sin, sizeof sin);
    }
    snprintf(text, sizeof text, "127.0.0.1:%u", port);
    nstime start_time = ring_clock(rig.ring);
    start(text, 100 * NS_PER_MS);
    rig_run(&rig, 10 * NS_PER_SEC);
    nstime took = ring_clock(rig.ring) - start_time;
    cr_assert_eq(got_fd, -1);
    cr_assert_not_null(strstr(got_err, "timed out"), "%s", got_err);
    cr_assert(took >= 100 * NS_PER_MS && took < 2 * NS_PER_SEC);
    close(filler[0]);
    close(filler[1]);
    close(listener);
}

Test(dial, unix_socket_with_a_full_backlog_is_tried_again)
{
    char dir[] = "/tmp/nbdzero-test-XXXXXX", text[ADDRESS_TEXT];
    cr_assert_not_null(mkdtemp(dir));
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    snprintf(sun.sun_path, sizeof sun.sun_path, "%s/s", dir);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)&sun, sizeof sun), 0);
    cr_assert_eq(listen(listener, 0), 0);
    int filler = socket(AF_UNIX, SOCK_STREAM, 0);
    cr_assert_eq(connect(filler, (struct sockaddr *)&sun, sizeof sun), 0);
    snprintf(text, sizeof text, "unix:%s", sun.sun_path);
    start(text, 5 * NS_PER_SEC);
    rig_run_for(&rig, 50 * NS_PER_MS);
    cr_assert_eq(calls, 0);
    int peer = accept(listener, NULL, NULL);
    rig_run(&rig, 10 * NS_PER_SEC);
    cr_assert_geq(got_fd, 0, "%s", got_err);
    close(got_fd);
    close(peer);
    close(filler);
    close(listener);
    unlink(sun.sun_path);
    rmdir(dir);
}

Test(dial, no_call_after_cancel_at_any_stage)
{
    int listener;
    char text[64];
    unsigned port = listen_tcp(&listener, 5);
    snprintf(text, sizeof text, "127.0.0.1:%u", port);
    dial_cancel(start(text, 5 * NS_PER_SEC));
    snprintf(text, sizeof text, "localhost:%u", port);
    struct dial *resolving = start(text, 5 * NS_PER_SEC);
    rig_run_for(&rig, 0); // the question is on its way
    if (!calls)
        dial_cancel(resolving);
    else
        close(got_fd);
    int before = calls;
    rig_run_for(&rig, 100 * NS_PER_MS);
    cr_assert_eq(calls, before);
    // And a ring may go while a question is open.
    struct dial *last = start("no-such-host.invalid:1", 5 * NS_PER_SEC);
    rig_run_for(&rig, 0);
    if (calls == before)
        dial_cancel(last);
    close(listener);
}
