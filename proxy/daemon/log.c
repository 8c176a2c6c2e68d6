// SPDX-License-Identifier: BSD-3-Clause
#include "log.h"

#include "log_journal.h"
#include "log_queue.h"
#include "log_sites.h"
#include "log_words.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define STOP_WAIT    NS_PER_SEC // for a reader that does not read, when we end
#define REPORT_AFTER NS_PER_SEC // from the first line that is lost until it is said

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t news;
    pthread_t writer;
    int fd;
    enum log_style style;
    struct log_journal journal; // the writer's
    // Under the mutex.
    struct log_queue queue;
    struct log_bound bound;
    struct log_sites sites;
    struct log_losses losses;
    uint64_t dropped, suppressed; // of these, not told yet; those of a site are in `sites`
    nstime report_at;             // 0: nothing to tell
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

// Is there room for it in what may be written a second? First its own kind's share, then all's.
static bool
admit(const struct log_head *head, const char *text, size_t len, nstime now)
{
    if (!is_bounded(head->level))
        return true;
    if (head->site && !log_sites_admit(&the_log.sites, head->site, text, len, now)) {
        the_log.losses.suppressed++;
        return false;
    }
    if (log_bound_admit(&the_log.bound, LOG_RATE_ALL, now))
        return true;
    the_log.losses.suppressed++;
    the_log.suppressed++;
    return false;
}

static void
take_line(const struct log_head *head, const char *text, size_t len)
{
    int64_t time = (int64_t)(clock_now(CLOCK_REALTIME) / NS_PER_US);
    nstime now = clock_now(CLOCK_MONOTONIC);
    pthread_mutex_lock(&the_log.mutex);
    bool taken = false;
    if (admit(head, text, len, now)) {
        taken = log_queue_put(&the_log.queue, time, head, text, len);
        the_log.losses.dropped += !taken;
        the_log.dropped += !taken;
    }
    if (!taken && !the_log.report_at)
        the_log.report_at = now + REPORT_AFTER;
    pthread_cond_signal(&the_log.news);
    pthread_mutex_unlock(&the_log.mutex);
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
write_plain(const struct log_line *line)
{
    char out[LOG_PLAIN_BYTES];
    size_t len = log_plain(line, the_log.style, out), done = 0;
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
write_line(const struct log_line *line)
{
    if (the_log.style == LOG_STYLE_JOURNAL) {
        char native[LOG_NATIVE_BYTES];
        if (log_journal_send(&the_log.journal, native, log_native(line, native)))
            return;
    }
    write_plain(line);
}

// What is lost, to be told now; the writer's. What is lost meanwhile is for the next report: else
// a report would never end that comes because lines come faster than they are written.
struct report {
    uint64_t dropped, suppressed;
    struct log_sites sites;
};

static bool
is_empty(const struct report *r)
{
    return !r->dropped && !r->suppressed && !r->sites.first;
}

// Under the mutex.
static void
begin_report(struct report *r)
{
    *r = (struct report){the_log.dropped, the_log.suppressed, the_log.sites};
    the_log.dropped = the_log.suppressed = 0;
    the_log.sites = (struct log_sites){0};
    the_log.report_at = 0;
}

// One line of it. Under the mutex, because of what a site counts.
static void
take_losses(struct report *r, struct log_line *line)
{
    line->known = 0;
    line->connection = 0;
    line->site = NULL;
    line->level = LOG_LEVEL_WARN;
    line->time = (int64_t)(clock_now(CLOCK_REALTIME) / NS_PER_US);
    if (r->suppressed || r->dropped) {
        snprintf(line->text, sizeof line->text,
                 "%" PRIu64 " lines were dropped (more than %u a second in all), and %" PRIu64
                 " that could not be written as fast as they came",
                 r->suppressed, LOG_RATE_ALL.per_second, r->dropped);
        r->suppressed = r->dropped = 0;
    } else {
        log_sites_take(&r->sites, line->text, sizeof line->text);
    }
    line->len = (uint32_t)strlen(line->text);
}

// Until there is something to do: a line, the end, or losses that have not been told for a while.
static void
wait_for_news(void)
{
    while (!the_log.queue.used && !the_log.stopping) {
        nstime at = the_log.report_at;
        struct timespec ts = {.tv_sec = (time_t)(at / NS_PER_SEC),
                              .tv_nsec = (long)(at % NS_PER_SEC)};
        if (!at)
            pthread_cond_wait(&the_log.news, &the_log.mutex);
        else if (clock_now(CLOCK_MONOTONIC) >= at)
            return;
        else
            pthread_cond_timedwait(&the_log.news, &the_log.mutex, &ts);
    }
}

static void *
writer(void *unused)
{
    static struct log_line line, loss;
    struct report report = {0};
    bool over = false;
    while (!over) {
        pthread_mutex_lock(&the_log.mutex);
        if (is_empty(&report))
            wait_for_news();
        bool taken = log_queue_take(&the_log.queue, &line), last = the_log.stopping && !taken;
        nstime at = the_log.report_at;
        if (is_empty(&report) && at && (last || clock_now(CLOCK_MONOTONIC) >= at))
            begin_report(&report);
        bool lost = !is_empty(&report);
        if (lost)
            take_losses(&report, &loss);
        over = last && !lost;
        pthread_mutex_unlock(&the_log.mutex);
        if (taken)
            write_line(&line);
        if (lost) // by turns with what comes, for this may be many lines
            write_line(&loss);
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
log_start(int fd, enum log_style style, const char *journal)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&the_log.news, &attr);
    pthread_condattr_destroy(&attr);
    the_log.fd = fd;
    the_log.style = style;
    the_log.stopping = false;
    log_journal_open(&the_log.journal, style == LOG_STYLE_JOURNAL ? journal : NULL);
    if (pthread_create(&the_log.writer, NULL, writer, NULL) != 0) {
        log_journal_close(&the_log.journal);
        return false;
    }
    pthread_setname_np(the_log.writer, "log");
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
    log_journal_close(&the_log.journal);
}

struct log_losses
log_losses(void)
{
    pthread_mutex_lock(&the_log.mutex);
    struct log_losses losses = the_log.losses;
    pthread_mutex_unlock(&the_log.mutex);
    return losses;
}
