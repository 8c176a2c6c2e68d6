// SPDX-License-Identifier: BSD-3-Clause
#include "rig.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

void
rig_open(struct rig *g)
{
    char err[256];
    *g = (struct rig){0};
    g->ring = ring_new(err, sizeof err);
    cr_assert_not_null(g->ring, "%s", err);
}

void
rig_close(struct rig *g)
{
    ring_free(g->ring);
}

static void
limit_reached(struct timer *t)
{
    struct rig *g = (struct rig *)((char *)t - offsetof(struct rig, limit));
    g->expired = true;
    ring_stop(g->ring);
    ring_stop(g->ring);
}

void
rig_run_for(struct rig *g, nstime time)
{
    g->expired = false;
    g->limit.fire = limit_reached;
    timer_set(g->ring, &g->limit, ring_clock(g->ring) + time);
    ring_run(g->ring);
    timer_cancel(g->ring, &g->limit);
}

void
rig_run(struct rig *g, nstime limit)
{
    rig_run_for(g, limit);
    cr_assert(!g->expired, "nothing stopped the ring in time");
}

void
pair_unix(int fd[2])
{
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
}

void
pair_tcp(int fd[2])
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sin;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)&sin, sizeof sin), 0);
    cr_assert_eq(listen(listener, 1), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&sin, &len), 0);
    fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(fd[0], (struct sockaddr *)&sin, sizeof sin), 0);
    fd[1] = accept(listener, NULL, NULL);
    cr_assert_geq(fd[1], 0);
    close(listener);
}

void
fd_blocking(int fd, bool on)
{
    int flags = fcntl(fd, F_GETFL);
    fcntl(fd, F_SETFL, on ? flags & ~O_NONBLOCK : flags | O_NONBLOCK);
}

static uint64_t
mix(uint64_t x)
{
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static uint8_t
pattern(uint64_t seed, uint64_t i)
{
    return (uint8_t)(mix(seed + i / 8 * UINT64_C(0x9e3779b97f4a7c15)) >> i % 8 * 8);
}

void
pattern_fill(uint8_t *p, size_t n, uint64_t seed, uint64_t i)
{
    for (size_t k = 0; k < n; k++)
        p[k] = pattern(seed, i + k);
}

bool
pattern_is(const uint8_t *p, size_t n, uint64_t seed, uint64_t i)
{
    for (size_t k = 0; k < n; k++)
        if (p[k] != pattern(seed, i + k))
            return false;
    return true;
}

uint64_t
rng_next(uint64_t *state)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    return mix(*state);
}

size_t
rng_below(uint64_t *state, size_t n)
{
    return (size_t)(rng_next(state) % n);
}

size_t
resident_bytes(void)
{
    unsigned long size, resident;
    FILE *f = fopen("/proc/self/statm", "re");
    cr_assert_not_null(f);
    cr_assert_eq(fscanf(f, "%lu %lu", &size, &resident), 2);
    fclose(f);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}
