// SPDX-License-Identifier: BSD-3-Clause
#include "successor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define OLD_PATIENCE 60000 // ms: it may have much to save

static int channel = -1; // of the process, as the variable is
static pid_t parent;     // the one in the middle
static char *old_state_dir;

static void
tell(const char *word)
{
    // If the old one is gone nobody needs to know.
    ssize_t sent = channel < 0 ? 0 : send(channel, word, strlen(word), MSG_NOSIGNAL);
    (void)sent;
}

static int
channel_of_environment(void)
{
    const char *text = getenv(UPGRADE_VARIABLE);
    char *end;
    long fd = text ? strtol(text, &end, 10) : -1;
    int type = 0;
    socklen_t len = sizeof type;
    if (!text || !*text || *end || fd < 3 || fd > 1 << 20 ||
        getsockopt((int)fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_SEQPACKET)
        return -1;
    return (int)fd;
}

// What the child ends with. Holds nothing open meanwhile.
static void
wait_for(pid_t child)
{
    int status;
    for (int fd = 3; fd <= channel; fd++)
        close(fd);
    signal(SIGTERM, SIG_IGN); // meant for the service, and so for the child
    signal(SIGINT, SIG_IGN);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFSIGNALED(status)) {
        signal(WTERMSIG(status), SIG_DFL);
        raise(WTERMSIG(status));
    }
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

// Killed with its parent, as long as the old process may give up.
void
successor_tied(void)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
}

const char *
successor_state_dir(void)
{
    return old_state_dir;
}

bool
successor_begin(void)
{
    char text[128];
    channel = channel_of_environment();
    unsetenv(UPGRADE_VARIABLE);
    if (channel < 0)
        return false;
    const char *dir = getenv(UPGRADE_STATE_DIR);
    old_state_dir = dir ? strdup(dir) : NULL;
    unsetenv(UPGRADE_STATE_DIR);
    parent = getpid();
    pid_t child = fork();
    if (child > 0)
        wait_for(child);
    if (child < 0) { // the old process would take this one for the one in the middle
        snprintf(text, sizeof text, "fork: %s", strerror(errno));
        successor_failed(text);
        _exit(1);
    }
    successor_tied();
    fcntl(channel, F_SETFD, FD_CLOEXEC);
    snprintf(text, sizeof text, "%ld", (long)getpid());
    setenv("LISTEN_PID", text, true); // sd_listen_fds(3): they are for this process
    unsetenv("WATCHDOG_PID");
    snprintf(text, sizeof text, "pid %ld", (long)getpid());
    tell(text);
    return true;
}

void
successor_failed(const char *cause)
{
    char word[UPGRADE_WORD_MAX];
    snprintf(word, sizeof word, "failed %s", cause);
    tell(word);
}

// The next word; "" when the old process has closed, or does not answer.
static const char *
listen_to_old(char *word, size_t cap)
{
    struct pollfd p = {.fd = channel, .events = POLLIN};
    int rc;
    do
        rc = poll(&p, 1, OLD_PATIENCE);
    while (rc < 0 && errno == EINTR);
    ssize_t n = rc > 0 ? recv(channel, word, cap - 1, MSG_DONTWAIT) : 0;
    word[n > 0 ? n : 0] = '\0';
    return word;
}

bool
successor_ready(char *err, size_t errlen)
{
    char word[UPGRADE_WORD_MAX];
    tell("ready");
    if (strcmp(listen_to_old(word, sizeof word), "go") == 0)
        return true;
    snprintf(err, errlen, "upgrade: the old process does not let go");
    return false;
}

void
successor_serving(void)
{
    static const char text[] = "error upgrade: the old process has taken back what it gave\n";
    char word[UPGRADE_WORD_MAX];
    prctl(PR_SET_PDEATHSIG, 0);
    tell("serving");
    if (strcmp(listen_to_old(word, sizeof word), "told") != 0) {
        // At once, and leaving everything as it is: it is that of the old one, which serves.
        ssize_t written = write(STDERR_FILENO, text, sizeof text - 1);
        (void)written;
        _exit(1);
    }
    close(channel);
    channel = -1;
}
