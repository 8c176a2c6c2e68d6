// SPDX-License-Identifier: BSD-3-Clause
// Reload of the whole process: what goes on, what begins, what ends, and that a fault changes
// nothing.
#include "rig_process.h"

#include <base/log.h>
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(reload, .init = process_begin, .fini = process_end, .timeout = 60);

#define RELOAD "{\"version\":1,\"command\":\"reload\"}\n"
#define HEAD                                                                                       \
    "[proxy]\nthreads = 2\ncontrol-socket = @/run/control.sock\nstate-dir = @/state\n"             \
    "max-connections = 3\ndrain-timeout = 2s\n"
#define TAIL "[upstream u]\nuri = nbd+unix:///e?socket=@/none\n"

static json_t *
reload(const char *config)
{
    write_config(config);
    int fd = reach(control_path);
    say(fd, RELOAD);
    json_t *j = reply(fd);
    close(fd);
    cr_assert_not_null(j);
    return j;
}

static bool
has_line(const json_t *list, const char *part)
{
    size_t i;
    json_t *line;
    json_array_foreach(list, i, line)
    {
        if (strstr(json_string_value(line), part))
            return true;
    }
    return false;
}

static void
reload_well(const char *config, const char *change)
{
    json_t *j = reload(config);
    const json_t *changes = json_object_get(json_object_get(j, "result"), "changes");
    cr_expect(json_is_array(changes), "%s", json_dumps(j, 0));
    cr_expect(!change || has_line(changes, change), "no %s in %s", change, json_dumps(j, 0));
    json_decref(j);
}

static void
reload_badly(const char *config, const char *error, const char *fault)
{
    json_t *j = reload(config);
    const char *said = json_string_value(json_object_get(j, "error"));
    cr_expect(said && strstr(said, error), "%s", json_dumps(j, 0));
    cr_expect(has_line(json_object_get(j, "faults"), fault), "%s", json_dumps(j, 0));
    json_decref(j);
}

// A connection of a listener, greeted.
static int
connected(const char *path)
{
    char greeting[18];
    int fd = reach(path);
    cr_assert_geq(fd, 0, "%s", path);
    cr_assert_eq(recv(fd, greeting, sizeof greeting, MSG_WAITALL), 18);
    return fd;
}

static bool
alive(int fd)
{
    char c;
    return recv(fd, &c, 1, MSG_DONTWAIT) < 0;
}

static const char *
in_dir(const char *name)
{
    static char path[2][128];
    static unsigned next;
    char *p = path[next++ % 2];
    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

Test(reload, the_same_file)
{
    int fd = connected(listen_path);
    struct stat before, after;
    stat(listen_path, &before);
    json_t *j = reload(BASIC_CONFIG);
    json_t *result = json_object_get(j, "result");
    cr_expect_eq(json_array_size(json_object_get(result, "changes")), 0);
    cr_expect_eq(json_array_size(json_object_get(result, "warnings")), 0);
    json_decref(j);
    stat(listen_path, &after);
    cr_expect_eq(before.st_ino, after.st_ino, "the same socket");
    cr_expect_eq(listener_count("main", "accepted"), 1);
    cr_expect(alive(fd));
    close(fd);
}

Test(reload, by_signal)
{
    write_config(HEAD "[listen main]\naddress = unix:@/nbd.sock\nupstream = u\n"
                      "[listen more]\naddress = unix:@/more.sock\nupstream = u\n" TAIL);
    kill(getpid(), SIGHUP);
    close(reach_soon(in_dir("more.sock")));
    cr_expect_geq(listener_count("more", "accepted"), 0);
}

Test(reload, limits_and_the_log_level)
{
    int fds[3] = {connected(listen_path), connected(listen_path)};
    reload_well("[proxy]\nthreads = 2\ncontrol-socket = @/run/control.sock\nstate-dir = @/state\n"
                "max-connections = 2\nlog-level = warn\n"
                "[listen main]\naddress = unix:@/nbd.sock\nupstream = u\n" TAIL,
                "[proxy] max-connections: 3 -> 2");
    cr_expect_eq(atomic_load(&log_threshold), LOG_LEVEL_WARN);
    expect_end(reach(listen_path));
    cr_expect_eq(listener_count("main", "refused"), 1);
    reload_well(BASIC_CONFIG, "[proxy] max-connections: 2 -> 3");
    fds[2] = connected(listen_path);
    for (size_t i = 0; i < 3; i++)
        close(fds[i]);
}

Test(reload, listeners_come_and_go)
{
    int fd = connected(listen_path);
    reload_well(HEAD "[listen a]\naddress = unix:@/a.sock\nupstream = u\n"
                     "[listen main]\naddress = unix:@/nbd.sock\nupstream = u\n" TAIL,
                "[listen a]: new");
    int a = connected(in_dir("a.sock"));
    cr_expect_eq(listener_count("main", "active"), 1);
    cr_expect_eq(listener_count("a", "accepted"), 1);
    reload_well(BASIC_CONFIG, "[listen a]: gone");
    cr_expect_lt(access(in_dir("a.sock"), F_OK), 0, "its file is gone, too");
    cr_expect_eq(listener_count("a", "active"), -1, "not shown any more");
    cr_expect(alive(a) && alive(fd), "its connection stays");
    // And takes its place in what max-connections allows.
    int third = connected(listen_path);
    expect_end(reach(listen_path));
    close(a);
    close(third);
    reload_well(HEAD "[listen a]\naddress = unix:@/a.sock\nupstream = u\n" TAIL, "[listen a]: new");
    cr_expect_geq(listener_count("a", "accepted"), 1, "it counts on");
    cr_expect(alive(fd));
    close(fd);
}

Test(reload, a_socket_goes_by_its_address)
{
    struct stat before, after;
    stat(listen_path, &before);
    int fd = connected(listen_path);
    reload_well(HEAD "[listen other]\naddress = unix:@/nbd.sock\nupstream = u\n" TAIL,
                "[listen other]: new");
    stat(listen_path, &after);
    cr_expect_eq(before.st_ino, after.st_ino);
    int second = connected(listen_path);
    cr_expect_eq(listener_count("other", "accepted"), 1);
    // And a section's counters by its name.
    reload_well(HEAD "[listen other]\naddress = unix:@/b.sock\nupstream = u\n" TAIL,
                "[listen other] address");
    cr_expect_lt(access(listen_path, F_OK), 0);
    cr_expect_eq(listener_count("other", "active"), 1);
    close(fd);
    close(second);
}

Test(reload, two_listeners_change_places)
{
#define TWO(a, b)                                                                                  \
    HEAD "[listen a]\naddress = unix:@/" a ".sock\nupstream = u\n"                                 \
         "[listen b]\naddress = unix:@/" b ".sock\nupstream = u\n" TAIL
    reload_well(TWO("a", "b"), "[listen a]: new");
    reload_well(TWO("b", "a"), "[listen a] address");
    int fd = connected(in_dir("b.sock"));
    cr_expect_eq(listener_count("a", "accepted"), 1);
    close(fd);
}

Test(reload, tcp_listeners_come_and_go_and_come)
{
    static const char with[] = HEAD "[listen main]\naddress = unix:@/nbd.sock\nupstream = u\n"
                                    "[listen tcp]\naddress = 127.0.0.1:19467\nupstream = u\n" TAIL;
    for (int i = 0; i < 3; i++) {
        write_config(with);
        int fd = reach(control_path);
        say(fd, RELOAD);
        json_t *j = reply(fd);
        cr_assert(json_object_get(j, "result"), "%s", json_dumps(j, 0));
        json_decref(j);
        write_config(BASIC_CONFIG);
        say(fd, RELOAD);
        j = reply(fd);
        cr_assert(json_object_get(j, "result"), "%s", json_dumps(j, 0));
        json_decref(j);
        close(fd);
    }
}

Test(reload, the_mode_of_a_socket)
{
    struct stat st;
    reload_well(HEAD
                "[listen main]\naddress = unix:@/nbd.sock\nupstream = u\nsocket-mode = 0666\n" TAIL,
                "socket-mode: 0600 -> 0666");
    cr_assert_eq(stat(listen_path, &st), 0);
    cr_expect_eq(st.st_mode & 07777, 0666);
}

Test(reload, a_removed_socket_is_made_anew)
{
    cr_assert_eq(unlink(listen_path), 0);
    reload_well(BASIC_CONFIG, NULL);
    close(connected(listen_path));
}

Test(reload, all_listeners_or_nothing)
{
    int fd = connected(listen_path);
    reload_badly(HEAD "max-in-flight = 1\n"
                      "[listen a]\naddress = unix:@/a.sock\nupstream = u\n"
                      "[listen b]\naddress = unix:@/missing/b.sock\nupstream = u\n" TAIL,
                 "1 fault", "nbdzero.conf:12: [listen b]");
    cr_expect_lt(access(in_dir("a.sock"), F_OK), 0, "opened for nothing, and closed");
    cr_expect_eq(listener_count("a", "active"), -1);
    cr_expect_eq(listener_count("main", "active"), 1);
    cr_expect(alive(fd));
    close(fd);
    close(connected(listen_path));
}

Test(reload, a_bad_file_changes_nothing)
{
    reload_badly(HEAD "nonsense = 1\n[listen main]\naddress = unix:@/other.sock\n" TAIL "x = 1\n",
                 "reload refused: 3 faults; the running configuration stays",
                 "nbdzero.conf:7: unknown");
    close(connected(listen_path));
    unlink(config_path);
    int fd = reach(control_path);
    say(fd, RELOAD);
    expect_error(fd, "1 fault");
    close(fd);
    cr_expect_eq(listener_count("main", "accepted"), 1);
    reload_well(BASIC_CONFIG, NULL);
}

Test(reload, what_needs_a_restart)
{
    static const char changed[] =
        "[proxy]\nthreads = 1\ncontrol-socket = @/other.sock\nstate-dir = @/state\n"
        "max-connections = 3\n"
        "[listen main]\naddress = unix:@/nbd.sock\nupstream = u\n" TAIL;
    for (int i = 0; i < 2; i++) {
        json_t *j = reload(changed);
        const json_t *warnings = json_object_get(json_object_get(j, "result"), "warnings");
        cr_expect(has_line(warnings, "nbdzero.conf:2: threads = 1 needs a restart: 2 stays"));
        cr_expect(has_line(warnings, "nbdzero.conf:3: control-socket"));
        cr_expect_eq(json_array_size(warnings), 2);
        json_decref(j);
    }
    json_t *j = snapshot(); // by the old socket
    cr_expect_eq(json_integer_value(json_object_get(j, "threads")), 2);
    json_decref(j);
}

// Connections come and go while settings do.
static void *
connect_often(void *count)
{
    for (int i = 0; i < 300; i++) {
        char c;
        int fd = reach(listen_path);
        *(int *)count += fd >= 0 && recv(fd, &c, 1, 0) == 1;
        close(fd);
    }
    return NULL;
}

Test(reload, a_storm_of_signals)
{
    pthread_t thread;
    int greeted = 0;
    int kept = connected(listen_path);
    pthread_create(&thread, NULL, connect_often, &greeted);
    for (int i = 0; i < 1000; i++) {
        kill(getpid(), SIGHUP);
        usleep(100);
    }
    pthread_join(thread, NULL);
    cr_expect_gt(greeted, 0);
    cr_expect(alive(kept));
    close(kept);
    for (int i = 0; i < 500 && listener_count("main", "active"); i++)
        usleep(10000);
    cr_expect_eq(listener_count("main", "active"), 0, "all have been counted out");
}

Test(reload, answers_two_at_once)
{
    int a = reach(control_path), b = reach(control_path);
    say(a, RELOAD RELOAD);
    say(b, RELOAD REQUEST "\n");
    json_t *j[4] = {reply(a), reply(b), reply(a), reply(b)};
    for (size_t i = 0; i < 4; i++) {
        cr_expect(json_object_get(j[i], "result"));
        json_decref(j[i]);
    }
    close(a);
    close(b);
}
