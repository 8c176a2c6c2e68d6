// SPDX-License-Identifier: BSD-3-Clause
// The process as a whole, in a thread: its control socket, its limits, its end.
#include "process.h"
#include "rig_process.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(control, .init = process_begin, .fini = process_end, .timeout = 60);

Test(control, only_for_its_owner)
{
    struct stat st;
    cr_assert(stat(control_path, &st) == 0);
    cr_expect_eq(st.st_mode & 07777, 0600);
    cr_expect(S_ISSOCK(st.st_mode));
    char path[128];
    snprintf(path, sizeof path, "%s/state", dir);
    cr_assert(stat(path, &st) == 0);
    cr_expect_eq(st.st_mode & 07777, 0700);
}

Test(control, a_snapshot)
{
    json_t *j = snapshot();
    cr_expect_eq(json_integer_value(json_object_get(j, "pid")), getpid());
    cr_expect_eq(json_integer_value(json_object_get(j, "threads")), 2);
    cr_expect_eq(json_array_size(json_object_get(j, "listeners")), 1);
    json_t *e = json_array_get(json_object_get(j, "exports"), 0);
    cr_expect_str_eq(json_string_value(json_object_get(e, "export")), "e", "of the URI");
    json_decref(j);
}

Test(control, one_after_the_other)
{
    int fd = reach(control_path);
    say(fd, "nonsense\n" REQUEST "\n\n" REQUEST "\n");
    expect_error(fd, "not JSON");
    json_t *j = reply(fd);
    cr_expect_not_null(json_object_get(j, "result"));
    json_decref(j);
    expect_error(fd, "not JSON");
    j = reply(fd);
    cr_expect_not_null(json_object_get(j, "result"));
    json_decref(j);
    shutdown(fd, SHUT_WR);
    expect_end(fd);
}

Test(control, the_last_line_needs_no_end)
{
    int fd = reach(control_path);
    say(fd, REQUEST);
    shutdown(fd, SHUT_WR);
    json_t *j = reply(fd);
    cr_expect_not_null(json_object_get(j, "result"));
    json_decref(j);
    expect_end(fd);
}

Test(control, byte_by_byte)
{
    int fd = reach(control_path);
    for (const char *p = REQUEST "\n"; *p; p++) {
        cr_assert_eq(send(fd, p, 1, MSG_NOSIGNAL), 1);
        usleep(500);
    }
    json_t *j = reply(fd);
    cr_expect_not_null(json_object_get(j, "result"));
    json_decref(j);
    close(fd);
}

Test(control, longer_than_a_request_may_be)
{
    char text[4096];
    memset(text, ' ', sizeof text);
    memcpy(text, REQUEST, strlen(REQUEST));
    int fd = reach(control_path);
    cr_assert_eq(send(fd, text, sizeof text, 0), (ssize_t)sizeof text); // so long is allowed
    say(fd, "\n");
    json_t *j = reply(fd);
    cr_expect_not_null(json_object_get(j, "result"));
    json_decref(j);
    cr_assert_eq(send(fd, text, sizeof text, 0), (ssize_t)sizeof text);
    say(fd, " ");
    expect_error(fd, "4096");
    expect_end(fd);
}

Test(control, too_many)
{
    int fds[16];
    for (size_t i = 0; i < 16; i++) {
        fds[i] = reach_soon(control_path);
        say(fds[i], "x\n");
        expect_error(fds[i], "not JSON"); // and so it has been accepted
    }
    int fd = reach(control_path);
    expect_error(fd, "too many");
    expect_end(fd);
    for (size_t i = 0; i < 16; i++)
        close(fds[i]);
    usleep(100000);
    json_decref(snapshot()); // there is room again
}

Test(control, whoever_says_nothing_is_closed)
{
    int fd = reach(control_path);
    say(fd, "{\"version\"");
    struct pollfd p = {.fd = fd, .events = POLLIN};
    cr_expect_eq(poll(&p, 1, 3000), 0, "closed too early");
    cr_expect_eq(poll(&p, 1, 5000), 1, "not closed");
    close(fd);
}

Test(control, connections_over_the_limit_are_refused_and_counted)
{
    int fds[3];
    char greeting[18];
    for (size_t i = 0; i < 3; i++) {
        fds[i] = reach(listen_path);
        cr_assert_eq(recv(fds[i], greeting, sizeof greeting, MSG_WAITALL), 18);
    }
    expect_end(reach(listen_path));
    expect_end(reach(listen_path));
    cr_expect_eq(listener_count("main", "accepted"), 3);
    cr_expect_eq(listener_count("main", "active"), 3);
    cr_expect_eq(listener_count("main", "refused"), 2);
    close(fds[0]);
    for (int i = 0; i < 200 && listener_count("main", "active") == 3; i++)
        usleep(10000);
    cr_expect_eq(listener_count("main", "active"), 2);
    fds[0] = reach(listen_path);
    cr_expect_eq(recv(fds[0], greeting, sizeof greeting, MSG_WAITALL), 18);
    for (size_t i = 0; i < 3; i++)
        close(fds[i]);
}

Test(control, connections_are_spread_over_the_workers)
{
    int fds[3];
    char greeting[18];
    for (size_t i = 0; i < 3; i++) {
        fds[i] = reach(listen_path);
        cr_assert_eq(recv(fds[i], greeting, sizeof greeting, MSG_WAITALL), 18);
    }
    json_t *j = snapshot();
    // Rows come worker by worker: the second connection is not with the first.
    json_t *rows = json_object_get(j, "connections");
    cr_assert_eq(json_array_size(rows), 3);
    json_int_t order[3];
    for (size_t i = 0; i < 3; i++)
        order[i] = json_integer_value(json_object_get(json_array_get(rows, i), "id"));
    cr_expect(order[0] == 2 || order[2] == 2, "%lld %lld %lld", (long long)order[0],
              (long long)order[1], (long long)order[2]);
    json_decref(j);
    for (size_t i = 0; i < 3; i++)
        close(fds[i]);
}

Test(control, a_clean_end)
{
    int nbd = reach(listen_path), control = reach(control_path);
    char greeting[18];
    cr_assert_eq(recv(nbd, greeting, sizeof greeting, MSG_WAITALL), 18);
    cr_expect_eq(process_stop(), 0);
    cr_expect_leq(recv(nbd, greeting, 1, 0), 0);
    cr_expect_leq(recv(control, greeting, 1, 0), 0);
    close(nbd);
    close(control);
    cr_expect(access(listen_path, F_OK) < 0, "the listener's socket is left");
    cr_expect(access(control_path, F_OK) < 0, "the control socket is left");
}

Test(control, what_cannot_be_upgraded_goes_on)
{
    // Here nobody knows the arguments that the process was started with.
    kill(getpid(), SIGUSR2);
    json_decref(snapshot());
}

Test(control, a_second_process_does_not_take_the_sockets)
{
    static const struct options options = {.config = config_path};
    struct faults f = {0};
    struct config *c = config_load(config_path, &f);
    cr_assert_not_null(c);
    cr_expect_eq(process_run(c, &options), 1);
    json_decref(snapshot());
}
