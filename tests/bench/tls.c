// SPDX-License-Identifier: BSD-3-Clause
// What TLS costs a ring: a relay of streams on one thread, TLS at one end, plain at the other,
// beside the same relay without TLS and beside the cipher alone (as `openssl speed -evp
// aes-256-gcm -bytes 16384` has it). Only the relay's own CPU is counted.
//
// usage: bench-tls [MiB a run, default 2048] [runs, default 3] [only the workload in, out or 4k]
#include <io/address.h>
#include <io/tls.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

// What OpenSSL's and GnuTLS's peers agree on with us, if nobody says otherwise.
#define CIPHER  "TLS_AES_256_GCM_SHA384"
#define HIGH    (1u << 20)
#define SMALL   4096u // with 28 before it: a write request
#define MESSAGE (28u + SMALL)
#define DEPTH   32u

static void
die(const char *what)
{
    fprintf(stderr, "bench-tls: %s\n", what);
    exit(1);
}

static double
seconds(clockid_t clock)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void
pair_tcp(int fd[2])
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sin;
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&sin, sizeof sin) || listen(listener, 1) ||
        getsockname(listener, (struct sockaddr *)&sin, &len))
        die("no loopback");
    fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd[0], (struct sockaddr *)&sin, sizeof sin) || (fd[1] = accept(listener, 0, 0)) < 0)
        die("no loopback");
    close(listener);
    for (int i = 0; i < 2; i++) {
        setsockopt(fd[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        setsockopt(fd[i], IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
    }
}

// ---- the relay

struct relay {
    struct ring *ring;
    struct stream *stream[2]; // [0] may be TLS
    size_t want;
    double cpu;
};

static void
flow(struct relay *r, int from)
{
    struct stream *a = r->stream[from], *b = r->stream[!from];
    size_t n;
    const uint8_t *p = stream_peek(a, &n);
    if (stream_unsent(b) >= HIGH) {
        stream_want(a, 0);
        return;
    }
    stream_take(a, n);
    stream_send_ref(b, a, p, n);
    stream_want(a, r->want);
}

static void
relay_ready(void *ctx)
{
    struct relay *r = ctx;
    flow(r, 0);
    flow(r, 1);
    if (stream_ended(r->stream[0]) || stream_ended(r->stream[1]))
        ring_stop(r->ring);
}

static void
relay_broken(void *ctx)
{
    struct relay *r = ctx;
    const char *why = stream_tls_error(r->stream[0]);
    if (why)
        die(why);
    ring_stop(r->ring);
}

static const struct stream_handler handler = {.ready = relay_ready, .broken = relay_broken};

static void *
relay_main(void *arg)
{
    struct relay *r = arg;
    pthread_setname_np(pthread_self(), "relay"); // for profilers
    double start = seconds(CLOCK_THREAD_CPUTIME_ID);
    ring_run(r->ring);
    r->cpu = seconds(CLOCK_THREAD_CPUTIME_ID) - start;
    return NULL;
}

// ---- the ends: `near` talks to the relay's first stream, with TLS or without

struct end {
    int fd;
    SSL *ssl; // NULL: plain
    uint64_t bytes;
    size_t chunk;
    bool writes, reads;
    pthread_t thread;
};

static size_t
end_write(struct end *e, const void *p, size_t n)
{
    size_t done = 0;
    while (done < n) {
        ssize_t rc = e->ssl ? SSL_write(e->ssl, (const char *)p + done, (int)(n - done))
                            : send(e->fd, (const char *)p + done, n - done, MSG_NOSIGNAL);
        if (rc <= 0)
            die("an end could not write");
        done += (size_t)rc;
    }
    return n;
}

static size_t
end_read(struct end *e, void *p, size_t n)
{
    ssize_t rc = e->ssl ? SSL_read(e->ssl, p, (int)n) : recv(e->fd, p, n, 0);
    if (rc <= 0)
        die("an end could not read");
    return (size_t)rc;
}

// One that writes and reads keeps DEPTH chunks under way; one that only does either does it all.
static void *
end_main(void *arg)
{
    struct end *e = arg;
    char *buf = calloc(1, 1u << 20);
    uint64_t written = 0, read = 0;
    while ((e->writes && written < e->bytes) || (e->reads && read < e->bytes)) {
        while (e->writes && written < e->bytes && (!e->reads || written < read + DEPTH * e->chunk))
            written += end_write(e, buf, e->chunk);
        if (e->reads && read < e->bytes)
            read += end_read(e, buf, 1u << 20);
    }
    free(buf);
    return NULL;
}

static void *
echo_main(void *arg)
{
    struct end *e = arg;
    char *buf = calloc(1, 1u << 20);
    for (uint64_t done = 0; done < e->bytes;) {
        size_t n = end_read(e, buf, 1u << 20);
        end_write(e, buf, n);
        done += n;
    }
    free(buf);
    return NULL;
}

struct workload {
    const char *name, *title;
    bool in, out;
    size_t chunk;
};

static SSL *
handshake(int fd)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_ciphersuites(ctx, CIPHER);
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, fd);
    if (SSL_connect(ssl) != 1)
        die("no handshake");
    SSL_CTX_free(ctx);
    return ssl;
}

// CPU seconds of the relay's thread.
static double
run(const struct workload *w, uint64_t bytes, struct tls_context *tls)
{
    char err[TLS_TEXT];
    int a[2], b[2];
    struct relay r = {.ring = ring_new(err, sizeof err), .want = w->chunk > 65536 ? 1u << 20 : 28};
    if (!r.ring)
        die(err);
    pair_tcp(a);
    pair_tcp(b);
    for (int i = 0; i < 2; i++) {
        r.stream[i] = stream_new(r.ring, i ? b[0] : a[0], 0, &handler, &r);
        stream_want(r.stream[i], r.want);
    }
    if (tls && !stream_start_tls(r.stream[0], tls, err, sizeof err))
        die(err);
    pthread_t thread;
    pthread_create(&thread, NULL, relay_main, &r);
    struct end near = {
        .fd = a[1], .bytes = bytes, .chunk = w->chunk, .writes = w->in, .reads = w->out};
    struct end far = {
        .fd = b[1], .bytes = bytes, .chunk = w->chunk, .writes = w->out, .reads = w->in};
    if (tls)
        near.ssl = handshake(a[1]);
    pthread_create(&near.thread, NULL, end_main, &near);
    pthread_create(&far.thread, NULL, w->in && w->out ? echo_main : end_main, &far);
    pthread_join(near.thread, NULL);
    pthread_join(far.thread, NULL);
    close(b[1]);
    pthread_join(thread, NULL);
    for (int i = 0; i < 2; i++)
        stream_close(r.stream[i], STREAM_ABORT);
    ring_free(r.ring);
    SSL_free(near.ssl);
    close(a[1]);
    return r.cpu;
}

// AES-256-GCM over records of 16 KiB, nothing else: seconds a GiB.
static double
cipher_alone(void)
{
    static uint8_t in[16384], out[16384 + 16];
    uint8_t key[32] = {1}, iv[12] = {2};
    int n;
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, iv);
    double start = seconds(CLOCK_THREAD_CPUTIME_ID);
    for (unsigned i = 0; i < 65536; i++) {
        iv[0] = (uint8_t)i;
        EVP_EncryptInit_ex(c, NULL, NULL, NULL, iv);
        EVP_EncryptUpdate(c, out, &n, in, sizeof in);
        EVP_EncryptFinal_ex(c, out, &n);
    }
    double time = seconds(CLOCK_THREAD_CPUTIME_ID) - start;
    EVP_CIPHER_CTX_free(c);
    return time;
}

static struct tls_context *
context(void)
{
    char dir[] = "/tmp/bench-tls-XXXXXX", command[300], err[TLS_TEXT];
    if (!mkdtemp(dir))
        die("cannot write to /tmp");
    snprintf(command, sizeof command,
             "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj "
             "/CN=bench -keyout %s/server-key.pem -out %s/server-cert.pem 2>/dev/null",
             dir, dir);
    if (system(command) != 0)
        die("the openssl program made no certificate");
    struct tls_context *c =
        tls_server_new(&(struct tls_server){.certificates = dir}, err, sizeof err);
    snprintf(command, sizeof command, "rm -r %s", dir);
    if (!c || system(command) != 0)
        die(err);
    return c;
}

struct costs {
    double plain, tls; // CPU seconds of the best run
};

// By turns, so that whatever else the machine does hits both.
static struct costs
measure(const struct workload *w, uint64_t bytes, struct tls_context *tls, int runs)
{
    struct costs best = {1e9, 1e9};
    for (int i = 0; i < runs; i++) {
        double plain = run(w, bytes, NULL), cpu = run(w, bytes, tls);
        best.plain = plain < best.plain ? plain : best.plain;
        best.tls = cpu < best.tls ? cpu : best.tls;
    }
    return best;
}

static void
show(const struct workload *w, uint64_t bytes, struct tls_context *tls, int runs)
{
    bool small = w->in && w->out;
    uint64_t messages = bytes / 16 / MESSAGE;
    struct costs c = measure(w, small ? messages * MESSAGE : bytes, tls, runs);
    double unit = small ? (double)messages / 1e6 : (double)bytes / (1u << 30);
    printf("%-22s %8.3f %s, plain %.3f\n", w->title, c.tls / unit, small ? "us a message" : "s/GiB",
           c.plain / unit);
    fflush(stdout);
}

int
main(int argc, char **argv)
{
    uint64_t bytes = (argc > 1 ? strtoull(argv[1], NULL, 10) : 2048) << 20;
    int runs = argc > 2 ? atoi(argv[2]) : 3;
    static const struct workload workloads[] = {{"in", "1M decrypted", true, false, 1u << 20},
                                                {"out", "1M encrypted", false, true, 1u << 20},
                                                {"4k", "4k there and back", true, true, MESSAGE}};
    char why[TLS_TEXT];
    if (bytes < 64u << 20 || runs < 1)
        die("usage: bench-tls [MiB a run, at least 64] [runs] [in, out or 4k]");
    struct tls_context *tls = context();
    printf("kTLS: %s\n", tls_kernel_offers(why, sizeof why) ? "used for sending" : why);
    printf("%-22s %8.3f s/GiB\n", CIPHER, cipher_alone());
    for (size_t i = 0; i < sizeof workloads / sizeof *workloads; i++)
        if (argc < 4 || strcmp(argv[3], workloads[i].name) == 0)
            show(&workloads[i], bytes, tls, runs);
    tls_unref(tls);
    return 0;
}
