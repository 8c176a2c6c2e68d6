// SPDX-License-Identifier: BSD-3-Clause
// One stream on a ring, a plain socket at the other end.
#include "rig.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

// A reader of patterned bytes that takes only whole pieces, so that something is often left over.
struct reader {
    struct stream *stream;
    size_t piece, want;
    uint64_t taken, expected;
    unsigned calls, broken;
    size_t at_hand; // at the last call
    bool no_taking;
};

static struct rig rig;
static struct reader reader;
static int fd[2];

static void
reader_ready(void *ctx)
{
    struct reader *x = ctx;
    size_t n;
    const uint8_t *p = stream_peek(x->stream, &n);
    x->calls++;
    x->at_hand = n;
    cr_assert(pattern_is(p, n, 1, x->taken), "wrong bytes at %lu", x->taken);
    if (!x->no_taking) {
        size_t some = x->taken + n == x->expected ? n : n - n % x->piece;
        stream_take(x->stream, some);
        x->taken += some;
    }
    stream_want(x->stream, x->want);
    if (x->taken + (x->no_taking ? n : 0) == x->expected || stream_at_end(x->stream))
        ring_stop(rig.ring);
}

static void
reader_broken(void *ctx)
{
    struct reader *x = ctx;
    x->broken++;
    cr_assert_lt(stream_error(x->stream), 0);
    stream_close(x->stream, STREAM_ABORT);
    ring_stop(rig.ring);
}

static const struct stream_handler reader_handler = {.ready = reader_ready,
                                                     .broken = reader_broken};

static void
open_rig(void)
{
    rig_open(&rig);
    reader = (struct reader){.piece = 1, .want = 28};
}

static void
close_rig(void)
{
    rig_close(&rig);
}

TestSuite(stream, .init = open_rig, .fini = close_rig, .timeout = 60);

static void
read_from(int fd_of_stream)
{
    reader.stream = stream_new(rig.ring, fd_of_stream, 60 * NS_PER_SEC, &reader_handler, &reader);
    cr_assert_not_null(reader.stream);
    stream_want(reader.stream, reader.want);
}

// Peers are threads with blocking sockets.
struct peer {
    pthread_t thread;
    uint64_t n;
    size_t chunk;
    int error;
};

static void *
write_pattern(void *arg)
{
    struct peer *p = arg;
    uint8_t *buf = malloc(p->chunk);
    for (uint64_t done = 0; done < p->n;) {
        size_t some = p->n - done < p->chunk ? p->n - done : p->chunk;
        pattern_fill(buf, some, 1, done);
        ssize_t rc = send(fd[1], buf, some, MSG_NOSIGNAL);
        if (rc < 0) {
            p->error = errno;
            break;
        }
        done += (uint64_t)rc;
    }
    free(buf);
    return NULL;
}

static void
receive_all(size_t n, size_t chunk, size_t piece, size_t want)
{
    struct peer p = {.n = n, .chunk = chunk};
    reader = (struct reader){.piece = piece, .want = want, .expected = n};
    read_from(fd[0]);
    cr_assert_eq(pthread_create(&p.thread, NULL, write_pattern, &p), 0);
    rig_run(&rig, 30 * NS_PER_SEC);
    pthread_join(p.thread, NULL);
    cr_assert_eq(reader.taken, n);
    cr_assert_eq(stream_bytes_received(reader.stream), n);
    stream_close(reader.stream, STREAM_ABORT);
    close(fd[1]);
    rig_run_for(&rig, 5 * NS_PER_MS);
}

Test(stream, what_is_seen_is_one_piece_whatever_is_left_over)
{
    // Left-overs that are carried (below 64), that need room (above), that outgrow the pool's and
    // the large buffers' usual size; with and without bulk.
    static const size_t pieces[] = {1, 28, 64, 65, 1000, 20000, 100000, 200000, 700000};
    static const size_t wants[] = {28, 64u << 10, 1u << 20};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        for (size_t k = 0; k < 3; k++) {
            i % 2 ? pair_unix(fd) : pair_tcp(fd);
            receive_all(3u << 20, 7777 + 30000 * k, pieces[i], wants[k]);
        }
        pair_tcp(fd);
        receive_all(20000, 1, pieces[i] < 5000 ? pieces[i] : 5000, 28); // byte by byte
    }
    rig_run_for(&rig, NS_PER_SEC);
    cr_assert_eq(ring_memory(rig.ring), 0, "%zu bytes are held by nobody", ring_memory(rig.ring));
}

static void
stop(struct timer *t)
{
    ring_stop(rig.ring);
}

Test(stream, an_idle_one_holds_no_buffer_but_keeps_its_left_over)
{
    pair_tcp(fd);
    uint8_t bytes[64];
    pattern_fill(bytes, sizeof bytes, 1, 0);
    reader.no_taking = true;
    reader.expected = sizeof bytes;
    read_from(fd[0]);
    cr_assert_eq(send(fd[1], bytes, 20, 0), 20);
    rig_run_for(&rig, 20 * NS_PER_MS);
    cr_assert_eq(reader.at_hand, 20);
    cr_assert_eq(send(fd[1], bytes + 20, 44, 0), 44);
    rig_run(&rig, 5 * NS_PER_SEC);
    cr_assert_eq(reader.at_hand, 64);
    rig_run_for(&rig, NS_PER_SEC);
    cr_assert_eq(ring_memory(rig.ring), 0);
    size_t n;
    cr_assert(pattern_is(stream_peek(reader.stream, &n), 64, 1, 0));
    cr_assert_eq(n, 64);
    close(fd[1]);
    stream_close(reader.stream, STREAM_ABORT);
}

Test(stream, a_stalled_one_lets_go_of_its_large_buffer)
{
    static uint8_t bytes[400000];
    pattern_fill(bytes, sizeof bytes, 1, 0);
    pair_tcp(fd);
    reader = (struct reader){.piece = 1, .want = 1u << 20, .expected = sizeof bytes};
    read_from(fd[0]);
    cr_assert_eq(send(fd[1], bytes, 300000, 0), 300000);
    rig_run_for(&rig, 50 * NS_PER_MS);
    cr_assert_eq(reader.taken, 300000);
    cr_assert_geq(ring_memory(rig.ring), 1u << 20, "it is in the midst of bulk");
    rig_run_for(&rig, 1500 * NS_PER_MS);
    cr_assert_eq(ring_memory(rig.ring), 0);
    cr_assert_eq(send(fd[1], bytes + 300000, 100000, 0), 100000);
    rig_run(&rig, 5 * NS_PER_SEC);
    cr_assert_eq(reader.taken, sizeof bytes);
    close(fd[1]);
    stream_close(reader.stream, STREAM_ABORT);
}

Test(stream, receives_nothing_that_is_not_wanted)
{
    pair_tcp(fd);
    reader.want = 0;
    read_from(fd[0]);
    cr_assert_eq(send(fd[1], "x", 1, 0), 1);
    rig_run_for(&rig, 20 * NS_PER_MS);
    cr_assert_eq(reader.calls, 0);
    close(fd[1]);
    stream_close(reader.stream, STREAM_ABORT);
}

static uint64_t turn_times[8];

static void
nudge_twice(void *ctx)
{
    turn_times[reader.calls++] = ring_now(rig.ring);
    if (reader.calls < 4) {
        stream_nudge(reader.stream);
        stream_nudge(reader.stream);
    } else {
        ring_stop(rig.ring);
    }
}

static const struct stream_handler nudger = {.ready = nudge_twice, .broken = reader_broken};

Test(stream, ready_is_called_once_a_turn)
{
    pair_tcp(fd);
    read_from(fd[0]);
    stream_set_handler(reader.stream, &nudger, NULL);
    stream_nudge(reader.stream);
    stream_nudge(reader.stream);
    rig_run(&rig, 5 * NS_PER_SEC);
    cr_assert_eq(reader.calls, 4);
    for (int i = 1; i < 4; i++)
        cr_assert_gt(turn_times[i], turn_times[i - 1], "each in a turn of its own");
    cr_assert_lt(turn_times[3] - turn_times[0], NS_PER_SEC, "without waiting");
    close(fd[1]);
    stream_close(reader.stream, STREAM_ABORT);
}

// ---- sending

// Reads until EOF or error, from some time on.
struct sink {
    pthread_t thread;
    uint8_t *data;
    size_t n, cap;
    int error;
    unsigned start_after_us;
};

static void *
read_to_end(void *arg)
{
    struct sink *k = arg;
    usleep(k->start_after_us);
    while (k->n < k->cap) {
        ssize_t n = recv(fd[1], k->data + k->n, k->cap - k->n, 0);
        if (n <= 0) {
            k->error = n < 0 ? errno : 0;
            break;
        }
        k->n += (size_t)n;
    }
    close(fd[1]); // so that the stream sees our end
    return NULL;
}

static unsigned low_calls;
static uint64_t unsent_at_low;

static void
room_again(void *ctx)
{
    low_calls++;
    unsent_at_low = stream_unsent(reader.stream);
    stream_close(reader.stream, STREAM_FINISH);
    ring_stop(rig.ring);
}

static const struct stream_handler sender = {.ready = room_again, .broken = reader_broken};

#define MIXED_ROUNDS 300

// What the queue takes, mirrored into a plain array.
static size_t
send_mixture(uint8_t *mirror)
{
    uint64_t rng = 3;
    size_t n = 0;
    for (int i = 0; i < MIXED_ROUNDS; i++) {
        size_t len = 1 + rng_below(&rng, i % 7 ? 400 : 70000);
        struct buf *b = buf_new(rig.ring, len);
        pattern_fill(b->data, len, 9, n);
        switch (i % 3) {
        case 0: stream_send_buf(reader.stream, b, b->data, len); break;
        case 1: stream_send_copy(reader.stream, b->data, len); break;
        case 2:
            stream_send_zeroes(reader.stream, len);
            memset(b->data, 0, len);
            break;
        }
        memcpy(mirror + n, b->data, len);
        n += len;
        buf_unref(b);
    }
    stream_send_zeroes(reader.stream, 5000001);
    memset(mirror + n, 0, 5000001);
    return n + 5000001;
}

Test(stream, sends_all_kinds_in_order_and_finishes)
{
    for (int tcp = 0; tcp < 2; tcp++) {
        tcp ? pair_tcp(fd) : pair_unix(fd);
        size_t cap = 16u << 20;
        struct sink k = {.cap = cap, .start_after_us = 50000};
        uint8_t *mirror = malloc(cap);
        k.data = malloc(cap);
        low_calls = 0;
        reader = (struct reader){.want = 1};
        read_from(fd[0]);
        stream_set_handler(reader.stream, &sender, NULL);
        size_t n = send_mixture(mirror);
        cr_assert_eq(stream_unsent(reader.stream), n);
        cr_assert_eq(pthread_create(&k.thread, NULL, read_to_end, &k), 0);
        rig_run(&rig, 20 * NS_PER_SEC);
        pthread_join(k.thread, NULL);
        cr_assert_eq(low_calls, 1, "told once that there is room");
        cr_assert_leq(unsent_at_low, STREAM_LOW);
        cr_assert_eq(k.error, 0, "a clean end");
        cr_assert_eq(k.n, n);
        cr_assert_arr_eq(k.data, mirror, n);
        free(k.data);
        free(mirror);
    }
    rig_run_for(&rig, 600 * NS_PER_MS);
    cr_assert_leq(ring_memory(rig.ring), 4096);
}

// Unread input at close() would turn our last words into a reset.
Test(stream, finishing_reads_away_what_comes)
{
    pair_tcp(fd);
    static uint8_t flood[100000];
    struct sink k = {.cap = 1000, .data = malloc(1000), .start_after_us = 20000};
    read_from(fd[0]);
    stream_want(reader.stream, 0);
    cr_assert_eq(send(fd[1], flood, sizeof flood, 0), (ssize_t)sizeof flood);
    stream_send_copy(reader.stream, "bye", 3);
    stream_close(reader.stream, STREAM_FINISH);
    cr_assert_eq(pthread_create(&k.thread, NULL, read_to_end, &k), 0);
    rig_run_for(&rig, 200 * NS_PER_MS);
    pthread_join(k.thread, NULL);
    cr_assert_eq(k.error, 0);
    cr_assert_eq(k.n, 3);
    cr_assert_arr_eq(k.data, "bye", 3);
    free(k.data);
}

Test(stream, finishing_ends_though_the_peer_does_not)
{
    pair_tcp(fd);
    read_from(fd[0]);
    stream_send_copy(reader.stream, "bye", 3);
    stream_close(reader.stream, STREAM_FINISH);
    rig_run_for(&rig, 2500 * NS_PER_MS);
    char buf[8];
    cr_assert_eq(recv(fd[1], buf, sizeof buf, 0), 3);
    cr_assert_eq(recv(fd[1], buf, sizeof buf, 0), 0);
    // It is closed: what we send now is answered with a reset.
    cr_assert_eq(send(fd[1], "x", 1, MSG_NOSIGNAL), 1);
    usleep(10000);
    cr_assert_eq(send(fd[1], "x", 1, MSG_NOSIGNAL), -1);
    close(fd[1]);
}

Test(stream, a_stopped_ring_lets_finishing_streams_speak_their_last)
{
    pair_tcp(fd);
    struct sink k = {.cap = 8u << 20, .data = malloc(8u << 20), .start_after_us = 50000};
    read_from(fd[0]);
    stream_send_zeroes(reader.stream, 7u << 20);
    stream_close(reader.stream, STREAM_FINISH);
    cr_assert_eq(pthread_create(&k.thread, NULL, read_to_end, &k), 0);
    struct timer t = {.fire = stop};
    timer_set(rig.ring, &t, 0);
    rig_run(&rig, 5 * NS_PER_SEC);
    pthread_join(k.thread, NULL);
    cr_assert_eq(k.n, 7u << 20);
    free(k.data);
}

Test(stream, aborting_in_mid_send_drops_all)
{
    pair_tcp(fd);
    read_from(fd[0]);
    struct buf *b = buf_new(rig.ring, 32u << 20);
    stream_send_buf(reader.stream, b, b->data, 32u << 20);
    rig_run_for(&rig, 20 * NS_PER_MS);
    cr_assert_gt(stream_unsent(reader.stream), 0);
    stream_close(reader.stream, STREAM_ABORT);
    cr_assert_eq(b->refs, 1);
    buf_unref(b);
    rig_run_for(&rig, 5 * NS_PER_MS);
    static char buf[1 << 20];
    while (recv(fd[1], buf, sizeof buf, 0) > 0)
        ;
    close(fd[1]);
    cr_assert_eq(ring_memory(rig.ring), 0);
}

Test(stream, tells_once_that_it_is_broken)
{
    pair_tcp(fd);
    read_from(fd[0]);
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd[1], SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    stream_send_zeroes(reader.stream, 100u << 20);
    rig_run_for(&rig, 20 * NS_PER_MS);
    close(fd[1]);
    rig_run(&rig, 5 * NS_PER_SEC);
    cr_assert_eq(reader.broken, 1);
}

Test(stream, sees_the_peers_end_after_its_last_bytes)
{
    pair_tcp(fd);
    uint8_t bytes[100];
    pattern_fill(bytes, sizeof bytes, 1, 0);
    reader.expected = 1000; // never reached
    read_from(fd[0]);
    cr_assert_eq(send(fd[1], bytes, sizeof bytes, 0), (ssize_t)sizeof bytes);
    shutdown(fd[1], SHUT_WR);
    rig_run(&rig, 5 * NS_PER_SEC);
    cr_assert_eq(reader.taken, 100);
    cr_assert(stream_at_end(reader.stream));
    // The other direction still works.
    stream_send_copy(reader.stream, "late", 4);
    rig_run_for(&rig, 5 * NS_PER_MS);
    cr_assert_eq(recv(fd[1], bytes, sizeof bytes, 0), 4);
    close(fd[1]);
    stream_close(reader.stream, STREAM_ABORT);
}

#define MANY      1300
#define MANY_EACH 40000u
static struct reader many[MANY];
static unsigned complete;

static void
hold(void *ctx)
{
    struct reader *x = ctx;
    const uint8_t *p = stream_peek(x->stream, &x->at_hand);
    if (x->at_hand < MANY_EACH)
        return;
    cr_assert(pattern_is(p, x->at_hand, 1, 0));
    if (++complete == MANY)
        ring_stop(rig.ring);
}

static const struct stream_handler holder = {.ready = hold, .broken = reader_broken};

// More streams than the pool has buffers, all of which get bytes at once and take none.
Test(stream, a_pool_that_runs_out_starves_nobody_for_long)
{
    static uint8_t bytes[MANY_EACH];
    static int peer[MANY];
    pattern_fill(bytes, sizeof bytes, 1, 0);
    for (int i = 0; i < MANY; i++) {
        pair_unix(fd);
        peer[i] = fd[1];
        many[i].stream = stream_new(rig.ring, fd[0], 0, &holder, &many[i]);
        stream_want(many[i].stream, 28);
        cr_assert_eq(send(peer[i], bytes, sizeof bytes, 0), (ssize_t)sizeof bytes);
    }
    rig_run(&rig, 20 * NS_PER_SEC);
    cr_assert_eq(complete, MANY);
    for (int i = 0; i < MANY; i++) {
        close(peer[i]);
        stream_close(many[i].stream, i % 2 ? STREAM_ABORT : STREAM_FINISH);
    }
    rig_run_for(&rig, NS_PER_SEC);
    cr_assert_eq(ring_memory(rig.ring), 0);
    if (!SANITIZED)
        cr_assert_lt(resident_bytes(), 32u << 20);
}

// The ring closes what its users left open.
Test(stream, a_freed_ring_closes_what_is_open)
{
    pair_tcp(fd);
    read_from(fd[0]);
    stream_send_zeroes(reader.stream, 100u << 20);
    rig_run_for(&rig, 10 * NS_PER_MS);
    int idle[2];
    pair_tcp(idle);
    cr_assert_not_null(stream_new(rig.ring, idle[0], 0, &reader_handler, &reader));
    rig_close(&rig);
    char c;
    cr_assert_eq(recv(idle[1], &c, 1, 0), 0);
    rig_open(&rig);
}
