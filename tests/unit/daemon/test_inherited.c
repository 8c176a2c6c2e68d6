// SPDX-License-Identifier: BSD-3-Clause
// Names of sockets on their way through $LISTEN_FDNAMES, from one process to the next.
#include "inherited.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

// In a child, since Criterion has descriptors of its own there; how it ends is the line that
// failed.
#define MUST(what)                                                                                 \
    do {                                                                                           \
        if (!(what))                                                                               \
            _exit(__LINE__ < 256 ? __LINE__ : 255);                                                \
    } while (0)

static void
in_child(void (*test)(void))
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        test();
        _exit(0);
    }
    cr_assert(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    cr_expect_eq(WEXITSTATUS(status), 0, "line %d", WEXITSTATUS(status));
}

// The descriptors from 3 on become these.
static void
pass(const struct handed *h)
{
    char text[4096] = "", number[16];
    for (unsigned i = 0; i < h->n; i++) {
        MUST(dup2(h->fds[i], 3 + (int)i) == 3 + (int)i);
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i ? ":" : "",
                 h->names[i]);
    }
    snprintf(number, sizeof number, "%u", h->n);
    setenv("LISTEN_FDS", number, true);
    setenv("LISTEN_FDNAMES", text, true);
    snprintf(number, sizeof number, "%d", (int)getpid());
    setenv("LISTEN_PID", number, true);
}

static int
listening(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM, 0), high = fcntl(fd, F_DUPFD, 100);
    MUST(high >= 0 && bind(high, (struct sockaddr *)&any, sizeof any) == 0);
    MUST(listen(high, 1) == 0);
    close(fd);
    return high;
}

static void
names_of_all_kinds_come_back(void)
{
    static const char *const names[] = {"[::1]:10809", "unix:/run/a b%3A\\:\"\xff", "plain", "%",
                                        "100%zz"};
    struct handed h = {0};
    char err[400];
    for (unsigned i = 0; i < 5; i++)
        handed_add(&h, INHERITED_LISTEN, names[i], listening());
    handed_add(&h, INHERITED_CONTROL, "/run/nbdzero/control.sock", listening());
    handed_add(&h, INHERITED_METRICS, "[::1]:10809", listening());
    handed_add(&h, INHERITED_SYSTEMD, "listen.plain", listening());
    pass(&h);
    inherited_take(true);
    MUST(!getenv("LISTEN_FDS"));
    MUST(!getenv("LISTEN_FDNAMES"));
    MUST(!getenv("LISTEN_PID"));
    MUST(inherited_good(err, sizeof err));
    for (unsigned i = 0; i < 5; i++) {
        MUST(inherited_get(INHERITED_LISTEN, names[i]) == 3 + (int)i);
        MUST(inherited_get(INHERITED_LISTEN, names[i]) == -1);
    }
    MUST(inherited_get(INHERITED_CONTROL, "/run/nbdzero/control.sock") == 8);
    MUST(inherited_get(INHERITED_METRICS, "[::1]:10809") == 9);
    unsigned at = 0;
    MUST(inherited_systemd("listen.plain", &at) == 10);
    MUST(inherited_systemd("listen.plain", &at) == -1);
    handed_clear(&h);
}

static void
names_of_systemd_are_not_ours_to_read(void)
{
    struct handed h = {0};
    char err[400];
    handed_add(&h, INHERITED_LISTEN, "a", listening());
    pass(&h);
    inherited_take(false);
    MUST(inherited_get(INHERITED_LISTEN, "a") == -1);
    MUST(!inherited_all_used(err, sizeof err));
    MUST(strstr(err, "systemd:listen.a"));
    unsigned at = 0;
    MUST(inherited_systemd("listen.a", &at) == 3);
    MUST(inherited_all_used(err, sizeof err));
    handed_clear(&h);
}

static void
more_than_there_are(void)
{
    char number[16], err[400];
    snprintf(number, sizeof number, "%d", (int)getpid());
    setenv("LISTEN_PID", number, true);
    setenv("LISTEN_FDS", "300", true);
    inherited_take(false);
    MUST(!inherited_good(err, sizeof err));
    MUST(*err);
}

Test(inherited, names)
{
    in_child(names_of_all_kinds_come_back);
    in_child(names_of_systemd_are_not_ours_to_read);
    in_child(more_than_there_are);
}
