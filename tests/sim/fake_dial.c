// SPDX-License-Identifier: BSD-3-Clause
// Dialling, and addresses: both of the hosts that the rig knows.
#include "fake_io.h"

#include <stdio.h>
#include <stdlib.h>

struct fake_host fake_host;

struct dial {
    struct ring *ring;
    struct timer timer;
    struct address to;
    nstime deadline;
    dial_done *done;
    void *ctx;
};

static void
dialled(struct timer *t)
{
    struct dial d = *(struct dial *)((char *)t - offsetof(struct dial, timer));
    free((char *)t - offsetof(struct dial, timer));
    const char *why = "connect to sim: timed out";
    struct sock *s = world.now < d.deadline ? fake_host.connect(&d.to, &why) : NULL;
    d.done(d.ctx, s ? s->fd : -1, s ? NULL : why);
}

struct dial *
dial_start(struct ring *r, const struct address *to, nstime deadline, dial_done *done, void *ctx)
{
    struct dial *d = calloc(1, sizeof *d);
    expect(d, "out of memory");
    *d = (struct dial){.ring = r, .to = *to, .deadline = deadline, .done = done, .ctx = ctx};
    d->timer.fire = dialled;
    nstime at = world.now + fake_host.delay + chance_below(NS_PER_MS);
    timer_set(r, &d->timer, at < deadline ? at : deadline);
    return d;
}

void
dial_cancel(struct dial *d)
{
    timer_cancel(d->ring, &d->timer);
    free(d);
}

const char *
address_of_peer(int fd, char *buf, size_t cap)
{
    snprintf(buf, cap, "sim:%d", fd);
    return buf;
}

const char *
address_text(const struct address *a, char *buf, size_t cap)
{
    snprintf(buf, cap, "%s:%s", a->host, a->port);
    return buf;
}
