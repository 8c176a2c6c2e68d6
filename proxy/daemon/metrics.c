// SPDX-License-Identifier: BSD-3-Clause
#include "metrics.h"

#include "memory.h"
#include "prometheus.h"

#include <base/log.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

// A scraper needs one connection, now and then.
#define CONNECTIONS_MOST     64u
#define CONNECTIONS_A_CLIENT 16u
#define PATIENCE_S           10u // with a request that does not come, or a reply that is not taken
#define REQUEST_MEMORY       (16u << 10)
#define SNAPSHOT_WITHIN_S    2
#define FRESH                NS_PER_SEC // for so long one picture serves everybody

struct metrics {
    struct ring *ring;
    struct collector *collector;
    struct letter letter; // to the main thread
    struct snapshot_waiter waiter;
    struct MHD_Daemon *http;
    char address[ADDRESS_TEXT]; // where it serves; "": nowhere
    char next[ADDRESS_TEXT];    // and where it will
    int next_fd;                // -1: none
    int fd;                     // what it serves at; the server's

    // Between the two threads.
    pthread_mutex_t mutex;
    pthread_cond_t news;
    bool asked, ending;
    unsigned pictures; // that have come; one that failed, too
    char *text;        // the last one, rendered, and not yet taken; NULL: it failed
    size_t len;

    // The HTTP thread's.
    struct MHD_Response *page; // of the last picture, for all who ask; NULL: none
    nstime made;
};

// The main thread's part ------------------------------------------------------------------

// Rendered here: the snapshot is this thread's, and others who asked for it have it, too.
static void
snapshot_done(struct snapshot_waiter *w, json_t *snapshot)
{
    struct metrics *m = (struct metrics *)((char *)w - offsetof(struct metrics, waiter));
    size_t len = 0;
    char *text = snapshot ? prometheus_text(snapshot, &len) : NULL;
    pthread_mutex_lock(&m->mutex);
    free(m->text);
    m->text = text;
    m->len = len;
    m->asked = false;
    m->pictures++;
    pthread_cond_broadcast(&m->news);
    pthread_mutex_unlock(&m->mutex);
}

static void
asked(struct letter *l)
{
    struct metrics *m = (struct metrics *)((char *)l - offsetof(struct metrics, letter));
    // Closed meanwhile: there may be another server later, which must be free to ask.
    if (!m->http || !collector_ask(m->collector, &m->waiter))
        snapshot_done(&m->waiter, NULL);
}

// The HTTP thread's -----------------------------------------------------------------------

static nstime
clock_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (nstime)t.tv_sec * NS_PER_SEC + (nstime)t.tv_nsec;
}

// Waits for a picture, asked for after this was called or just before it. The caller's to free;
// NULL: none came in time.
static char *
await_text(struct metrics *m, size_t *len)
{
    struct timespec until;
    char *text = NULL;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += SNAPSHOT_WITHIN_S;
    pthread_mutex_lock(&m->mutex);
    unsigned pictures = m->pictures;
    if (!m->asked) {
        m->asked = true;
        ring_post(m->ring, &m->letter);
    }
    int late = 0;
    while (m->pictures == pictures && !m->ending && !late)
        late = pthread_cond_timedwait(&m->news, &m->mutex, &until);
    if (m->pictures != pictures) {
        text = m->text;
        *len = m->len;
        m->text = NULL;
    }
    pthread_mutex_unlock(&m->mutex);
    return text;
}

static void
drop_page(struct metrics *m)
{
    if (m->page)
        MHD_destroy_response(m->page); // once those who read it have done so
    m->page = NULL;
}

// Takes the text over; NULL: there is none, or no memory.
static struct MHD_Response *
page_of(char *text, size_t len)
{
    struct MHD_Response *r =
        text ? MHD_create_response_from_buffer(len, text, MHD_RESPMEM_MUST_FREE) : NULL;
    if (r)
        MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, PROMETHEUS_CONTENT_TYPE);
    else
        free(text);
    return r;
}

static bool
refresh(struct metrics *m)
{
    nstime now = clock_now();
    if (m->page && now - m->made < FRESH)
        return true;
    size_t len = 0;
    char *text = await_text(m, &len);
    drop_page(m);
    m->page = page_of(text, len);
    m->made = now;
    return m->page;
}

static enum MHD_Result
say(struct MHD_Connection *c, unsigned status, const char *header, const char *value,
    const char *text)
{
    struct MHD_Response *r = MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text,
                                                             MHD_RESPMEM_PERSISTENT);
    if (!r)
        return MHD_NO;
    MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, "text/plain; charset=utf-8");
    if (header)
        MHD_add_response_header(r, header, value);
    enum MHD_Result queued = MHD_queue_response(c, status, r);
    MHD_destroy_response(r);
    return queued;
}

static enum MHD_Result
requested(void *ctx, struct MHD_Connection *c, const char *url, const char *method,
          const char *version, const char *upload, size_t *upload_size, void **state)
{
    static int seen;
    struct metrics *m = ctx;
    if (*upload_size) { // a body: nobody wants it
        *upload_size = 0;
        return MHD_YES;
    }
    if (!*state) { // the headers only: a refusal now would close under a body that still comes
        *state = &seen;
        return MHD_YES;
    }
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return say(c, MHD_HTTP_METHOD_NOT_ALLOWED, MHD_HTTP_HEADER_ALLOW, "GET, HEAD",
                   "GET and HEAD are for this server, nothing else\n");
    if (strcmp(url, "/") == 0)
        return say(c, MHD_HTTP_OK, NULL, NULL, "nbdzero-proxy: see /metrics\n");
    if (strcmp(url, "/metrics") != 0)
        return say(c, MHD_HTTP_NOT_FOUND, NULL, NULL, "not found: /metrics is what there is\n");
    if (!refresh(m))
        return say(c, MHD_HTTP_SERVICE_UNAVAILABLE, MHD_HTTP_HEADER_RETRY_AFTER, "5",
                   "no statistics: a worker thread does not answer, or memory is out\n");
    return MHD_queue_response(c, MHD_HTTP_OK, m->page);
}

__attribute__((format(printf, 2, 0))) static void
complain(void *ctx, const char *format, va_list args)
{
    char line[256];
    vsnprintf(line, sizeof line, format, args);
    line[strcspn(line, "\n")] = '\0';
    log_debug("metrics: %s", line);
}

// Starting and ending ---------------------------------------------------------------------

struct metrics *
metrics_new(struct ring *ring, struct collector *collector)
{
    struct metrics *m = need_zeroed(1, sizeof *m);
    pthread_condattr_t monotonic;
    m->next_fd = -1;
    m->ring = ring;
    m->collector = collector;
    m->letter.deliver = asked;
    m->waiter.done = snapshot_done;
    pthread_mutex_init(&m->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&m->news, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return m;
}

static struct MHD_Daemon *
start_http(struct metrics *m, int fd)
{
    return MHD_start_daemon(
        // Not select(), whose descriptors end at 1023: with many clients ours are higher.
        MHD_USE_POLL_INTERNAL_THREAD | MHD_USE_ITC | MHD_USE_ERROR_LOG, 0, NULL, NULL, requested, m,
        MHD_OPTION_EXTERNAL_LOGGER, complain, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MOST, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        CONNECTIONS_A_CLIENT, MHD_OPTION_CONNECTION_TIMEOUT, PATIENCE_S,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)REQUEST_MEMORY, MHD_OPTION_END);
}

static void
stop_http(struct metrics *m)
{
    if (!m->http)
        return;
    pthread_mutex_lock(&m->mutex);
    m->ending = true; // the thread may be waiting for this one
    pthread_cond_broadcast(&m->news);
    pthread_mutex_unlock(&m->mutex);
    MHD_stop_daemon(m->http); // and closes the socket
    m->http = NULL;
    m->ending = false;
    *m->address = '\0';
}

bool
metrics_listen(struct metrics *m, const struct address *at, char *err, size_t errlen)
{
    char cause[512];
    metrics_cancel(m);
    if (at)
        address_text(at, m->next, sizeof m->next);
    if (!at || strcmp(m->next, m->address) == 0)
        return true;
    m->next_fd = inherited_get(INHERITED_METRICS, m->next);
    if (m->next_fd < 0)
        m->next_fd = address_listen(at, 0, cause, sizeof cause);
    if (m->next_fd < 0)
        snprintf(err, errlen, "metrics-listen: %s", cause);
    return m->next_fd >= 0;
}

void
metrics_cancel(struct metrics *m)
{
    if (m->next_fd >= 0)
        close(m->next_fd);
    m->next_fd = -1;
    *m->next = '\0';
}

// libmicrohttpd closes the socket at some of its failures, and not at others; the number may be
// somebody's connection by now.
static bool
is_same_socket(const struct stat *before, int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && st.st_dev == before->st_dev && st.st_ino == before->st_ino;
}

bool
metrics_serve(struct metrics *m)
{
    if (strcmp(m->next, m->address) == 0)
        return true;
    stop_http(m);
    if (!*m->next)
        return true;
    struct stat st = {0};
    (void)fstat(m->next_fd, &st);
    m->http = start_http(m, m->next_fd);
    if (!m->http) {
        if (!is_same_socket(&st, m->next_fd))
            m->next_fd = -1;
        metrics_cancel(m);
        return false;
    }
    m->fd = m->next_fd;
    m->next_fd = -1; // it is the server's
    snprintf(m->address, sizeof m->address, "%s", m->next);
    log_info("metrics at http://%s/metrics", m->address);
    return true;
}

void
metrics_hand(const struct metrics *m, struct handed *to)
{
    if (m->http)
        handed_add(to, INHERITED_METRICS, m->address, m->fd);
}

void
metrics_leave(struct metrics *m)
{
    if (!m->http)
        return;
    // Else the end of the server would shut the socket down, which is another process's, too.
    MHD_socket fd = MHD_quiesce_daemon(m->http);
    stop_http(m);
    if (fd != MHD_INVALID_SOCKET)
        close(fd);
}

void
metrics_close(struct metrics *m)
{
    if (!m)
        return;
    metrics_cancel(m);
    stop_http(m);
    collector_forget(m->collector, &m->waiter);
}

void
metrics_free(struct metrics *m)
{
    if (!m)
        return;
    free(m->text);
    drop_page(m);
    pthread_cond_destroy(&m->news);
    pthread_mutex_destroy(&m->mutex);
    free(m);
}
