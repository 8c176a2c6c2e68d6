// SPDX-License-Identifier: BSD-3-Clause
// The process as a whole, in a thread: its control socket, its limits, its end.
#include "process.h"
#include "rig.h"
#include "signals.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <jansson.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char dir[64], control_path[128], listen_path[128];
static struct config *config;
static pthread_t thread;
static bool running;

static void *
run(void *unused)
{
    return (void *)(intptr_t)process_run(config);
}

static int
reach(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = 20};
    snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0)
        return fd;
    close(fd);
    return -1;
}

static int
reach_soon(const char *path)
{
    int fd = -1;
    for (int i = 0; fd < 0 && i < 500; i++) {
        fd = reach(path);
        if (fd < 0)
            usleep(10000);
    }
    cr_assert_geq(fd, 0, "%s does not answer", path);
    return fd;
}

static void
begin(void)
{
    char text[1024];
    struct faults f = {0};
    snprintf(dir, sizeof dir, "/tmp/nbdzero-test-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    snprintf(control_path, sizeof control_path, "%s/run/control.sock", dir);
    snprintf(listen_path, sizeof listen_path, "%s/nbd.sock", dir);
    // Nobody listens upstream: the start must not care.
    snprintf(text, sizeof text,
             "[proxy]\nthreads = 2\ncontrol-socket = %s\nstate-dir = %s/state\n"
             "max-connections = 3\ndrain-timeout = 2s\n"
             "[listen main]\naddress = unix:%s\nupstream = u\n"
             "[upstream u]\nuri = nbd+unix:///e?socket=%s/none\n",
             control_path, dir, listen_path, dir);
    config = config_of(text, &f);
    cr_assert_not_null(config);
    signals_block();
    cr_assert_eq(pthread_create(&thread, NULL, run, NULL), 0);
    running = true;
    close(reach_soon(control_path));
}

static int
stop(void)
{
    void *code = NULL;
    if (running) {
        kill(getpid(), SIGTERM);
        pthread_join(thread, &code);
    }
    running = false;
    return (int)(intptr_t)code;
}

static void
end(void)
{
    char path[128];
    stop();
    config_free(config);
    snprintf(path, sizeof path, "%s/run", dir);
    rmdir(path);
    snprintf(path, sizeof path, "%s/state", dir);
    rmdir(path);
    cr_expect_eq(rmdir(dir), 0, "something was left behind in %s", dir);
}

TestSuite(control, .init = begin, .fini = end, .timeout = 60);

static void
say(int fd, const char *text)
{
    cr_assert_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

// One line, as JSON; NULL if the connection ended.
static json_t *
reply(int fd)
{
    static char line[1 << 20];
    size_t n = 0;
    while (n < sizeof line - 1 && recv(fd, line + n, 1, 0) == 1)
        if (line[n++] == '\n')
            return json_loadb(line, n, 0, NULL);
    return NULL;
}

static void
expect_error(int fd, const char *part)
{
    json_t *j = reply(fd);
    const char *error = json_string_value(json_object_get(j, "error"));
    cr_expect(error && strstr(error, part), "wanted %s, got %s", part, error ? error : "nothing");
    cr_expect_eq(json_integer_value(json_object_get(j, "version")), 1);
    json_decref(j);
}

static void
expect_end(int fd)
{
    char c;
    cr_expect_eq(recv(fd, &c, 1, 0), 0);
    close(fd);
}

#define REQUEST "{\"version\":1,\"command\":\"json\"}"

// On a busy machine a worker may miss the two seconds that it has to answer; then the reply says so, and
// one asks again.
static json_t *
snapshot(void)
{
    json_t *result = NULL;
    for (unsigned tries = 0; tries < 10 && !json_is_object(result); tries++) {
        int fd = reach(control_path);
        say(fd, REQUEST "\n");
        json_t *j = reply(fd);
        result = json_incref(json_object_get(j, "result"));
        json_decref(j);
        close(fd);
    }
    cr_assert(json_is_object(result));
    return result;
}

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

static json_int_t
listener_count(const char *key)
{
    json_t *j = snapshot();
    json_t *l = json_array_get(json_object_get(j, "listeners"), 0);
    json_int_t n = json_integer_value(json_object_get(l, key));
    json_decref(j);
    return n;
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
    cr_expect_eq(listener_count("accepted"), 3);
    cr_expect_eq(listener_count("active"), 3);
    cr_expect_eq(listener_count("refused"), 2);
    close(fds[0]);
    for (int i = 0; i < 200 && listener_count("active") == 3; i++)
        usleep(10000);
    cr_expect_eq(listener_count("active"), 2);
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
    cr_expect_eq(stop(), 0);
    cr_expect_leq(recv(nbd, greeting, 1, 0), 0);
    cr_expect_leq(recv(control, greeting, 1, 0), 0);
    close(nbd);
    close(control);
    cr_expect(access(listen_path, F_OK) < 0, "the listener's socket is left");
    cr_expect(access(control_path, F_OK) < 0, "the control socket is left");
}

Test(control, reload_and_upgrade_change_nothing_yet)
{
    kill(getpid(), SIGHUP);
    kill(getpid(), SIGUSR2);
    json_decref(snapshot());
}

Test(control, a_second_process_does_not_take_the_sockets)
{
    cr_expect_eq(process_run(config), 1);
    json_decref(snapshot());
}
