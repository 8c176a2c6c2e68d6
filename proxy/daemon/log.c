// SPDX-License-Identifier: BSD-3-Clause
#include "log.h"

#include "log_bound.h"
#include "log_queue.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define STOP_WAIT NS_PER_SEC // for a reader that does not read, when we end
#define OUT_BYTES (LOG_LINE_MAX + 64)

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t news;
    pthread_t writer;
    int fd;
    enum log_style style;
    // Under the mutex.
    struct log_queue queue;
    struct log_bound bound;
    struct log_losses losses, said;
    bool stopping;
    nstime stop_at;
} the_log = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static nstime
clock_now(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (nstime)ts.tv_sec * NS_PER_SEC + (nstime)ts.tv_nsec;
}

// Debug lines are many by nature, and whoever asked for them wants them all.
static bool
is_bounded(enum log_level level)
{
    return level != LOG_LEVEL_DEBUG;
}

static void
take_line(enum log_level level, const char *text, size_t len)
{
    int64_t time = (int64_t)(clock_now(CLOCK_REALTIME) / NS_PER_US);
    nstime now = clock_now(CLOCK_MONOTONIC);
    pthread_mutex_lock(&the_log.mutex);
    if (is_bounded(level) && !log_bound_admit(&the_log.bound, now))
        the_log.losses.suppressed++;
    else if (!log_queue_put(&the_log.queue, time, level, text, len))
        the_log.losses.dropped++;
    pthread_cond_signal(&the_log.news);
    pthread_mutex_unlock(&the_log.mutex);
}

static size_t
format(const struct log_line *line, char *out)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    static const int priorities[] = {3, 4, 6, 7};
    size_t n = 0;
    if (the_log.style == LOG_STYLE_JOURNAL) {
        n = (size_t)snprintf(out, 8, "<%d>", priorities[line->level]);
    } else {
        if (the_log.style == LOG_STYLE_TIMED) {
            time_t seconds = (time_t)(line->time / 1000000);
            struct tm tm;
            n = strftime(out, 32, "%F %T", localtime_r(&seconds, &tm));
            n += (size_t)snprintf(out + n, 8, ".%03d ", (int)(line->time / 1000 % 1000));
        }
        n += (size_t)snprintf(out + n, 8, "%s ", names[line->level]);
    }
    for (size_t i = 0; i < line->len; i++) // a line stays one line, whoever made up its text
        out[n++] =
            (unsigned char)line->text[i] < 0x20 && line->text[i] != '\t' ? '?' : line->text[i];
    out[n++] = '\n';
    return n;
}

static bool
time_is_up(void)
{
    pthread_mutex_lock(&the_log.mutex);
    bool up = the_log.stopping && clock_now(CLOCK_MONOTONIC) >= the_log.stop_at;
    pthread_mutex_unlock(&the_log.mutex);
    return up;
}

// A pipe that polls writable has room for PIPE_BUF bytes, which is more than a line: write() does
// not block then, and the end of the process does not wait for whoever reads.
static void
write_line(const struct log_line *line)
{
    char out[OUT_BYTES];
    size_t len = format(line, out), done = 0;
    while (done < len && !time_is_up()) {
        struct pollfd p = {.fd = the_log.fd, .events = POLLOUT};
        if (poll(&p, 1, 100) <= 0)
            continue;
        ssize_t n = write(the_log.fd, out + done, len - done);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return; // nobody is left to be told
        if (n > 0)
            done += (size_t)n;
    }
}

static void
write_losses(const struct log_losses *lost)
{
    struct log_line line = {.level = LOG_LEVEL_WARN};
    line.time = (int64_t)(clock_now(CLOCK_REALTIME) / NS_PER_US);
    int n = snprintf(line.text, sizeof line.text,
                     "suppressed %" PRIu64 " lines (more than %u a second), dropped %" PRIu64
                     " (written too slowly)",
                     lost->suppressed, LOG_PER_SECOND, lost->dropped);
    line.len = (uint32_t)n;
    write_line(&line);
}

// Losses that have not been said yet; from now on they have. Under the mutex.
static bool
take_losses(struct log_losses *lost)
{
    lost->dropped = the_log.losses.dropped - the_log.said.dropped;
    lost->suppressed = the_log.losses.suppressed - the_log.said.suppressed;
    the_log.said = the_log.losses;
    return lost->dropped || lost->suppressed;
}

static bool
has_losses(void)
{
    return the_log.losses.dropped != the_log.said.dropped ||
           the_log.losses.suppressed != the_log.said.suppressed;
}

// Until there is something to do: a line, the end, or losses and the last report a second ago.
static void
wait_for_news(nstime report_at)
{
    struct timespec ts = {.tv_sec = (time_t)(report_at / NS_PER_SEC),
                          .tv_nsec = (long)(report_at % NS_PER_SEC)};
    while (!the_log.queue.used && !the_log.stopping) {
        if (!has_losses())
            pthread_cond_wait(&the_log.news, &the_log.mutex);
        else if (clock_now(CLOCK_MONOTONIC) >= report_at)
            return;
        else
            pthread_cond_timedwait(&the_log.news, &the_log.mutex, &ts);
    }
}

static void *
writer(void *unused)
{
    static struct log_line line;
    nstime report_at = 0;
    bool stopping = false;
    while (!stopping) {
        struct log_losses lost;
        pthread_mutex_lock(&the_log.mutex);
        wait_for_news(report_at);
        bool taken = log_queue_take(&the_log.queue, &line);
        stopping = the_log.stopping && !taken;
        nstime now = clock_now(CLOCK_MONOTONIC);
        bool report = (stopping || now >= report_at) && take_losses(&lost);
        pthread_mutex_unlock(&the_log.mutex);
        if (taken)
            write_line(&line);
        if (report) {
            write_losses(&lost);
            report_at = now + NS_PER_SEC;
        }
    }
    return NULL;
}

enum log_style
log_style_for(int fd, const char *journal_stream)
{
    struct stat st;
    unsigned long long dev, ino;
    if (fstat(fd, &st) < 0)
        return LOG_STYLE_PLAIN;
    // systemd.exec(5): JOURNAL_STREAM counts only while it names the descriptor that we write to.
    if (journal_stream && sscanf(journal_stream, "%llu:%llu", &dev, &ino) == 2 &&
        dev == st.st_dev && ino == st.st_ino)
        return LOG_STYLE_JOURNAL;
    return S_ISREG(st.st_mode) || isatty(fd) ? LOG_STYLE_TIMED : LOG_STYLE_PLAIN;
}

bool
log_start(int fd, enum log_style style)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&the_log.news, &attr);
    pthread_condattr_destroy(&attr);
    the_log.fd = fd;
    the_log.style = style;
    the_log.stopping = false;
    log_bound_begin(&the_log.bound, clock_now(CLOCK_MONOTONIC));
    if (pthread_create(&the_log.writer, NULL, writer, NULL) != 0)
        return false;
    log_set_sink(take_line);
    return true;
}

void
log_stop(void)
{
    log_set_sink(NULL);
    pthread_mutex_lock(&the_log.mutex);
    the_log.stopping = true;
    the_log.stop_at = clock_now(CLOCK_MONOTONIC) + STOP_WAIT;
    pthread_cond_signal(&the_log.news);
    pthread_mutex_unlock(&the_log.mutex);
    pthread_join(the_log.writer, NULL);
    pthread_cond_destroy(&the_log.news);
}

struct log_losses
log_losses(void)
{
    pthread_mutex_lock(&the_log.mutex);
    struct log_losses losses = the_log.losses;
    pthread_mutex_unlock(&the_log.mutex);
    return losses;
}
