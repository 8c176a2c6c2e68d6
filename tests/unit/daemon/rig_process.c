// SPDX-License-Identifier: BSD-3-Clause
#include "rig_process.h"

#include "process.h"
#include "signals.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

char dir[64], config_path[128], control_path[128], listen_path[128];

static pthread_t thread;
static bool running;

static void *
run(void *unused)
{
    static const struct options options = {.config = config_path};
    struct faults f = {0};
    struct config *c = config_load(config_path, &f);
    cr_assert_not_null(c);
    return (void *)(intptr_t)process_run(c, &options);
}

void
write_config(const char *text)
{
    FILE *f = fopen(config_path, "w");
    cr_assert_not_null(f);
    for (const char *p = text; *p; p++)
        if (*p == '@')
            fputs(dir, f);
        else
            fputc(*p, f);
    cr_assert_eq(fclose(f), 0);
}

int
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

int
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

void
process_begin(void)
{
    snprintf(dir, sizeof dir, "/tmp/nbdzero-test-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    snprintf(config_path, sizeof config_path, "%s/nbdzero.conf", dir);
    snprintf(control_path, sizeof control_path, "%s/run/control.sock", dir);
    snprintf(listen_path, sizeof listen_path, "%s/nbd.sock", dir);
    // Nobody listens upstream: the start must not care.
    write_config(BASIC_CONFIG);
    signals_block();
    cr_assert_eq(pthread_create(&thread, NULL, run, NULL), 0);
    running = true;
    close(reach_soon(control_path));
}

int
process_stop(void)
{
    void *code = NULL;
    if (running) {
        kill(getpid(), SIGTERM);
        pthread_join(thread, &code);
    }
    running = false;
    return (int)(intptr_t)code;
}

void
process_end(void)
{
    char path[128];
    process_stop();
    unlink(config_path);
    snprintf(path, sizeof path, "%s/run", dir);
    rmdir(path);
    snprintf(path, sizeof path, "%s/state/locks", dir);
    unlink(path);
    snprintf(path, sizeof path, "%s/state", dir);
    rmdir(path);
    cr_expect_eq(rmdir(dir), 0, "something was left behind in %s", dir);
}

void
say(int fd, const char *text)
{
    cr_assert_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

// One line, as JSON; NULL if the connection ended.
json_t *
reply(int fd)
{
    static char line[1 << 20];
    size_t n = 0;
    while (n < sizeof line - 1 && recv(fd, line + n, 1, 0) == 1)
        if (line[n++] == '\n')
            return json_loadb(line, n, 0, NULL);
    return NULL;
}

void
expect_error(int fd, const char *part)
{
    json_t *j = reply(fd);
    const char *error = json_string_value(json_object_get(j, "error"));
    cr_expect(error && strstr(error, part), "wanted %s, got %s", part, error ? error : "nothing");
    cr_expect_eq(json_integer_value(json_object_get(j, "version")), 1);
    json_decref(j);
}

void
expect_end(int fd)
{
    char c;
    cr_expect_eq(recv(fd, &c, 1, 0), 0);
    close(fd);
}

// On a busy machine a worker may miss the two seconds that it has to answer; then the reply says
// so, and one asks again.
json_t *
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

json_int_t
listener_count(const char *name, const char *key)
{
    json_t *j = snapshot(), *l;
    json_int_t n = -1;
    size_t i;
    json_array_foreach(json_object_get(j, "listeners"), i, l)
    {
        if (strcmp(json_string_value(json_object_get(l, "name")), name) == 0)
            n = json_integer_value(json_object_get(l, key));
    }
    json_decref(j);
    return n;
}
