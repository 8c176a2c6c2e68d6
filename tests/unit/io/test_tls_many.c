// SPDX-License-Identifier: BSD-3-Clause
// Many at once, and peers that want our memory or our time.
#include "rig_tls.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static struct rig rig;
static struct tls_context *context;

static void
open_all(void)
{
    struct rlimit files = {.rlim_cur = 4096, .rlim_max = 4096};
    (void)setrlimit(RLIMIT_NOFILE, &files);
    rig_open(&rig);
    pki_open();
}

static void
close_all(void)
{
    tls_unref(context);
    rig_run_for(&rig, 600 * NS_PER_MS);
    cr_expect_leq(ring_memory(rig.ring), 4096, "%zu bytes are held by nobody",
                  ring_memory(rig.ring));
    rig_close(&rig);
    pki_close();
}

TestSuite(tls_many, .init = open_all, .fini = close_all, .timeout = 120);

#define MANY 1000u
static struct user users[MANY];
static int peer_fd[MANY];
static unsigned ups;

static void
count_up(void *ctx)
{
    struct user *u = ctx;
    size_t n;
    stream_peek(u->stream, &n);
    stream_take(u->stream, n);
    stream_want(u->stream, 28);
    if (!u->up && stream_tls(u->stream)) {
        u->up = true;
        if (++ups == MANY)
            ring_stop(rig.ring);
    }
}

static void
count_broken(void *ctx)
{
    struct user *u = ctx;
    u->error = stream_error(u->stream);
    stream_close(u->stream, STREAM_ABORT);
    u->stream = NULL;
}

static const struct stream_handler counter = {.ready = count_up, .broken = count_broken};

static void
open_users(unsigned n)
{
    char err[TLS_TEXT];
    for (unsigned i = 0; i < n; i++) {
        int fd[2];
        pair_unix(fd);
        peer_fd[i] = fd[1];
        users[i] = (struct user){.rig = &rig};
        users[i].stream = stream_new(rig.ring, fd[0], 0, &counter, &users[i]);
        stream_want(users[i].stream, 28);
        cr_assert(stream_start_tls(users[i].stream, context, err, sizeof err), "%s", err);
    }
}

static void
close_users(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        close(peer_fd[i]);
        if (users[i].stream)
            stream_close(users[i].stream, STREAM_ABORT);
    }
}

// All clients, on one thread.
static void *
connect_all(void *arg)
{
    SSL **ssl = arg;
    for (unsigned left = MANY; left;) {
        left = 0;
        for (unsigned i = 0; i < MANY; i++)
            if (!SSL_is_init_finished(ssl[i]) && SSL_connect(ssl[i]) != 1)
                left++;
        usleep(100);
    }
    return NULL;
}

static void
connect_begin(SSL **ssl, pthread_t *thread)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    for (unsigned i = 0; i < MANY; i++) {
        fd_blocking(peer_fd[i], false);
        ssl[i] = SSL_new(ctx);
        SSL_set_fd(ssl[i], peer_fd[i]);
        SSL_connect(ssl[i]); // all have said hello before the ring looks
    }
    SSL_CTX_free(ctx);
    cr_assert_eq(pthread_create(thread, NULL, connect_all, ssl), 0);
}

// A plain stream that sends back what it gets, and who counts its round trips meanwhile.
struct bystander {
    struct user echo;
    int fd;
    pthread_t thread;
    atomic_bool stop;
    unsigned rounds;
    double longest; // seconds
};

static double
seconds(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void *
ping(void *arg)
{
    struct bystander *b = arg;
    char c = 'x';
    while (!b->stop) {
        double start = seconds();
        if (send(b->fd, &c, 1, MSG_NOSIGNAL) != 1 || recv(b->fd, &c, 1, 0) != 1)
            break;
        double time = seconds() - start;
        b->longest = time > b->longest ? time : b->longest;
        b->rounds++;
        usleep(500);
    }
    return NULL;
}

// The point is not how long a thousand signatures take, but that nobody else has to wait for them.
Test(tls_many, a_thousand_handshakes_at_once_stall_nobody)
{
    static SSL *ssl[MANY];
    struct bystander b = {.echo.echo = true};
    pthread_t thread;
    int fd[2];
    struct identity slow = pki_make(
        &(struct wish){.cn = "slow", .san = "DNS:localhost", .issuer = &pki.ca, .rsa_bits = 3072});
    pki_write_cert(pki.dir, "server-cert.pem", &slow);
    pki_write_key(pki.dir, "server-key.pem", &slow);
    pki_free(&slow);
    context = server_new(pki.dir, false);
    pair_unix(fd);
    b.fd = fd[1];
    user_open(&b.echo, &rig, fd[0]);
    open_users(MANY);
    connect_begin(ssl, &thread);
    cr_assert_eq(pthread_create(&b.thread, NULL, ping, &b), 0);
    nstime since = ring_clock(rig.ring);
    rig_run(&rig, 100 * NS_PER_SEC);
    b.stop = true;
    // All of them in one turn would take two and a half seconds.
    cr_assert(!ring_was_busy(rig.ring, since, 500 * NS_PER_MS));
    rig_run_for(&rig, 50 * NS_PER_MS);
    pthread_join(b.thread, NULL);
    pthread_join(thread, NULL);
    cr_log_info("%u round trips meanwhile, the longest %.1f ms", b.rounds, b.longest * 1e3);
    cr_assert_gt(b.rounds, 100);
    cr_assert_lt(b.longest, 1.0);
    for (unsigned i = 0; i < MANY; i++)
        SSL_free(ssl[i]);
    close_users(MANY);
    close(b.fd);
    user_close(&b.echo, STREAM_ABORT);
}

static double
cpu(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

// datapath.md: at most 16 KiB for a TLS side that is idle; and it does not turn in circles.
Test(tls_many, idle_ones_cost_little)
{
    static SSL *ssl[MANY];
    pthread_t thread;
    context = server_new(pki.dir, false);
    size_t before = mallinfo2().uordblks;
    open_users(MANY);
    connect_begin(ssl, &thread);
    rig_run(&rig, 100 * NS_PER_SEC);
    pthread_join(thread, NULL);
    for (unsigned i = 0; i < MANY; i++)
        SSL_free(ssl[i]);
    rig_run_for(&rig, NS_PER_SEC);
    size_t each = (mallinfo2().uordblks - before) / MANY;
    double start = cpu();
    rig_run_for(&rig, NS_PER_SEC / 2);
    double burnt = cpu() - start;
    cr_log_info("%zu bytes each, %.4f s of CPU in half a second", each, burnt);
    cr_assert_lt(burnt, SANITIZED ? 0.25 : 0.05);
    if (!SANITIZED)
        cr_assert_leq(each, 20u << 10);
    close_users(MANY);
}

#define BLOATED 200u

static void
send_bloat(unsigned i, uint32_t claimed, size_t n)
{
    static uint8_t record[5 + 16384];
    for (size_t done = 0; done < n; done += 16384) {
        memcpy(record, (uint8_t[]){SSL3_RT_HANDSHAKE, 3, 1, 0x40, 0}, 5);
        if (!done)
            memcpy(record + 5,
                   (uint8_t[]){SSL3_MT_CLIENT_HELLO, (uint8_t)(claimed >> 16),
                               (uint8_t)(claimed >> 8), (uint8_t)claimed, 3, 3},
                   6);
        if (send(peer_fd[i], record, sizeof record, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
            return;
    }
}

Test(tls_many, a_hello_without_end_gets_little_memory)
{
    context = server_new(pki.dir, false);
    size_t before = resident_bytes();
    open_users(BLOATED);
    for (int round = 0; round < 20; round++) {
        for (unsigned i = 0; i < BLOATED; i++)
            send_bloat(i, 0x1f000, round < 6 ? 16384 : 0);
        rig_run_for(&rig, 5 * NS_PER_MS);
    }
    rig_run_for(&rig, NS_PER_SEC);
    size_t each = (resident_bytes() - before) / BLOATED;
    cr_log_info("%zu bytes each", each);
    if (!SANITIZED)
        cr_assert_leq(each, 256u << 10);
    close_users(BLOATED);
}

// All ask for a slow signature at once; each second one pours what comes to its mind behind its
// hello, the others end their sending there.
#define FLOOD 300u

static void
flood_begin(SSL_CTX *ctx)
{
    for (unsigned i = 0; i < FLOOD; i++) {
        fd_blocking(peer_fd[i], false);
        SSL *ssl = SSL_new(ctx);
        SSL_set_fd(ssl, peer_fd[i]);
        SSL_connect(ssl);
        SSL_free(ssl);
        if (i % 2)
            shutdown(peer_fd[i], SHUT_WR);
    }
}

static void
flood_pour(void)
{
    static const uint8_t junk[64 << 10];
    for (unsigned i = 0; i < FLOOD; i += 2)
        while (send(peer_fd[i], junk, sizeof junk, MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
            ;
}

static unsigned
flood_left(void)
{
    unsigned left = 0;
    for (unsigned i = 0; i < FLOOD; i++)
        left += !users[i].error;
    return left;
}

Test(tls_many, who_waits_for_his_handshake_gets_little_memory)
{
    struct identity slow = pki_make(
        &(struct wish){.cn = "slow", .san = "DNS:localhost", .issuer = &pki.ca, .rsa_bits = 3072});
    pki_write_cert(pki.dir, "server-cert.pem", &slow);
    pki_write_key(pki.dir, "server-key.pem", &slow);
    pki_free(&slow);
    context = server_new(pki.dir, false);
    open_users(FLOOD);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    flood_begin(ctx);
    SSL_CTX_free(ctx);
    size_t most = 0;
    nstime limit = ring_clock(rig.ring) + 30 * NS_PER_SEC;
    for (unsigned round = 0; flood_left() && ring_clock(rig.ring) < limit; round++) {
        flood_pour();
        rig_run_for(&rig, 5 * NS_PER_MS);
        cr_assert(round || flood_left() > FLOOD / 2, "nobody waits: the test is too weak");
        most = ring_memory(rig.ring) > most ? ring_memory(rig.ring) : most;
    }
    cr_log_info("%zu bytes each at most", most / FLOOD);
    cr_assert_leq(most / FLOOD, 140u << 10); // a buffer of the pool, once filled
    cr_assert_eq(flood_left(), 0);
    for (unsigned i = 1; i < FLOOD; i += 2)
        cr_assert_eq(users[i].error, -ECONNRESET, "%d", users[i].error);
    close_users(FLOOD);
}

Test(tls_many, a_hello_of_sixteen_mebibytes_is_refused_at_once)
{
    context = server_new(pki.dir, false);
    open_users(1);
    send_bloat(0, 0xffffff, 16384);
    rig_run_for(&rig, 50 * NS_PER_MS);
    cr_assert_neq(users[0].error, 0);
    close_users(1);
}

// A handler that takes nothing: about a mebibyte is gathered, then the peer has to wait; and
// nothing turns in circles meanwhile.
static size_t at_hand;

static void
take_nothing(void *ctx)
{
    struct user *u = ctx;
    stream_peek(u->stream, &at_hand);
    stream_want(u->stream, 1u << 20);
}

static const struct stream_handler glutton = {.ready = take_nothing, .broken = count_broken};

static void *
pour(void *arg)
{
    static char bytes[64 << 10];
    SSL *ssl = arg;
    if (SSL_connect(ssl) == 1)
        for (int i = 0; i < 800 && SSL_write(ssl, bytes, sizeof bytes) > 0; i++)
            ;
    return NULL;
}

Test(tls_many, what_nobody_takes_is_bounded)
{
    pthread_t thread;
    context = server_new(pki.dir, false);
    open_users(1);
    stream_set_handler(users[0].stream, &glutton, &users[0]);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, peer_fd[0]);
    cr_assert_eq(pthread_create(&thread, NULL, pour, ssl), 0);
    rig_run_for(&rig, NS_PER_SEC);
    cr_assert_geq(at_hand, 900u << 10);
    cr_assert_leq(ring_memory(rig.ring), 5u << 20);
    double start = cpu();
    rig_run_for(&rig, NS_PER_SEC / 2);
    cr_assert_lt(cpu() - start, SANITIZED ? 0.25 : 0.05);
    shutdown(peer_fd[0], SHUT_RDWR);
    pthread_join(thread, NULL);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close_users(1);
}
