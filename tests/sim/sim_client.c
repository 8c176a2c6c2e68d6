// SPDX-License-Identifier: BSD-3-Clause
// A client's connection: bytes, turns, and how it leaves.
#include "sim_client.h"

#include <errno.h>
#include <stdlib.h>

static struct sim_client *
client_of(struct actor *a)
{
    return (struct sim_client *)((char *)a - offsetof(struct sim_client, actor));
}

void
plan_steps(struct client_plan *p, unsigned n, const uint32_t *steps)
{
    p->n_steps = n;
    memcpy(p->steps, steps, n * sizeof *steps);
}

void
plan_format(struct client_plan *p, enum wire_format f, unsigned n, const uint32_t *steps)
{
    p->n_steps = 0;
    if (f == FORMAT_EXTENDED)
        p->steps[p->n_steps++] = NBD_OPT_EXTENDED_HEADERS;
    else if (f == FORMAT_STRUCTURED)
        p->steps[p->n_steps++] = NBD_OPT_STRUCTURED_REPLY;
    for (unsigned i = 0; i < n; i++)
        p->steps[p->n_steps++] = steps[i];
}

enum wire_format
plan_speaks(const struct client_plan *p)
{
    enum wire_format f = FORMAT_SIMPLE;
    bool heard = !p->tls_required; // what is said before TLS
    for (unsigned i = 0; i < p->n_steps; i++) {
        if (p->tls && p->steps[i] == NBD_OPT_STARTTLS) {
            f = FORMAT_SIMPLE; // all is forgotten
            heard = true;
        } else if (heard && p->steps[i] == NBD_OPT_EXTENDED_HEADERS) {
            f = FORMAT_EXTENDED;
        } else if (heard && p->steps[i] == NBD_OPT_STRUCTURED_REPLY && f == FORMAT_SIMPLE) {
            f = FORMAT_STRUCTURED;
        }
    }
    return f;
}

struct client_plan
sim_client_plan(void)
{
    struct client_plan p = {.name = "disk",
                            .no_zeroes = true,
                            .in_flight = 8,
                            .longest = 64 << 10,
                            .align = SECTOR,
                            .types = 0xfb,
                            .fast_percent = 50,
                            .dies_sent = NEVER,
                            .dies_received = NEVER,
                            .stalls_sent = NEVER,
                            .stops_reading = NEVER};
    plan_steps(&p, 3, (uint32_t[]){NBD_OPT_STRUCTURED_REPLY, NBD_OPT_SET_META_CONTEXT, NBD_OPT_GO});
    return p;
}

void
sim_client_say(struct sim_client *c, const void *p, size_t n)
{
    queue_append(&c->line.out, p, n);
    c->queued += n;
}

// How it ends -------------------------------------------------------------------------------

static void
leave(struct sim_client *c)
{
    if (c->state == CLIENT_LEFT)
        return;
    c->state = CLIENT_LEFT;
    c->unanswered = c->in_flight;
    sock_close(c->sock);
}

// Half a block status cannot be made whole; everything else can.
static bool
may_be_broken_off(const struct sim_client *c)
{
    struct bytes left = queue_bytes(&c->line.in);
    if (left.len < chunk_size(c->format))
        return !left.len;
    return reply_decode(left.p).type == status_chunk_type(c->format);
}

// The proxy closed the connection.
static void
closed(struct sim_client *c)
{
    bool farewell = !c->line.secure || c->line.tls.ended || c->sock->reset;
    expect(farewell || c->plan.may_be_cut || c->sock->dead, "client %u: no farewell of TLS",
           c->index);
    bool fine = c->disc_sent || c->plan.may_be_cut || c->sock->dead;
    expect(fine, "client %u: the proxy closed the connection, %u requests in flight", c->index,
           c->in_flight);
    bool gone = c->sock->reset || c->sock->dead;
    expect(!c->plan.sound || gone || c->format == FORMAT_SIMPLE || may_be_broken_off(c),
           "client %u: the proxy closed the connection inside a chunk", c->index);
    c->cut = !c->disc_sent;
    leave(c);
}

static bool
is_finished(const struct sim_client *c)
{
    if (c->state == CLIENT_OPTION && c->step == c->plan.n_steps)
        return true; // there is nothing more to be had
    unsigned all = c->plan.script ? c->plan.n_script : c->plan.requests;
    return c->state == CLIENT_TRANSMISSION && c->issued == all && !c->in_flight;
}

static void
say_goodbye(struct sim_client *c)
{
    uint8_t b[REQUEST_SIZE_MAX];
    if (c->plan.leave == LEAVE_EOF || c->state == CLIENT_OPTION) {
        if (c->line.secure && chance_of(70))
            sim_tls_farewell(&c->line.tls);
        c->leaving = true;
    } else if (c->plan.leave == LEAVE_DISC) {
        request_encode(c->format, b, &(struct request){.type = NBD_CMD_DISC});
        sim_client_say(c, b, request_size(c->format));
        c->disc_sent = true;
    }
}

// TLS -------------------------------------------------------------------------------------

uint64_t
sim_client_sent(const struct sim_client *c)
{
    if (!c->sock)
        return 0;
    return c->line.secure ? c->before + sim_tls_sent(&c->line.tls) : c->sock->peer->sent;
}

void
sim_client_start_tls(struct sim_client *c)
{
    c->before = c->queued;
    line_start_tls(&c->line, true, c->plan.trouble);
}

static void
look_at_tls(struct sim_client *c, bool was_up)
{
    struct sim_tls *t = &c->line.tls;
    expect(!t->failed || c->plan.may_be_cut, "client %u: TLS: %s", c->index, t->why);
    if (t->failed) {
        note("client %u: TLS: %s", c->index, t->why);
        c->leaving = true; // behind its alert
    } else if (!was_up && t->up && c->plan.trouble == TLS_PLAINTEXT) {
        queue_append(&t->wire, "IHAVEOPT\0\0\0\3\0\0\0", 16);
    } else if (!was_up && t->up) {
        sim_client_next_option(c);
    }
}

// Turns -----------------------------------------------------------------------------------

static bool
may_send(const struct sim_client *c)
{
    return line_can_send(&c->line) && sock_room(c->sock) &&
           c->sock->peer->sent < c->plan.stalls_sent;
}

static bool
may_read(const struct sim_client *c)
{
    bool deaf = c->sock->received >= c->plan.stops_reading;
    return sock_readable(c->sock) && (!deaf || c->sock->peer->closed);
}

static bool
can_run(struct actor *a)
{
    const struct sim_client *c = client_of(a);
    if (c->state == CLIENT_LEFT)
        return false;
    if (world.now < (c->state == CLIENT_WAITS ? c->plan.start : c->wakes))
        return false;
    if (c->state == CLIENT_WAITS)
        return true;
    if (c->sock->closed)
        return true;
    return may_read(c) || may_send(c) || sim_client_can_issue(c) ||
           (c->leaving && !line_can_send(&c->line)) ||
           (is_finished(c) && !c->disc_sent && !c->leaving && c->plan.leave != LEAVE_STAY);
}

static nstime
next_time(struct actor *a)
{
    const struct sim_client *c = client_of(a);
    if (c->state == CLIENT_WAITS)
        return c->plan.start;
    return c->state != CLIENT_LEFT && c->wakes > world.now ? c->wakes : 0;
}

static void
receive(struct sim_client *c)
{
    static uint8_t bytes[1 << 20];
    ssize_t n = sock_recv(c->sock, bytes, sizeof bytes);
    bool was_up = c->line.tls.up;
    if (n == -EAGAIN)
        return;
    if (n <= 0) {
        closed(c);
        return;
    }
    line_hear(&c->line, bytes, (size_t)n);
    if (c->line.secure)
        look_at_tls(c, was_up);
}

// One message, if it is whole.
static bool
parse_one(struct sim_client *c)
{
    struct bytes in = queue_bytes(&c->line.in);
    bool was_secure = c->line.secure, more;
    size_t used = 0;
    if (c->state == CLIENT_GREETING)
        more = sim_client_greeting(c, in, &used);
    else if (c->state == CLIENT_OPTION)
        more = sim_client_option_reply(c, in, &used);
    else
        more = sim_client_reply(c, in, &used);
    queue_consume(&c->line.in, used);
    if (c->line.secure != was_secure) {
        line_hear_again(&c->line);
        look_at_tls(c, false);
    }
    return more;
}

static void
parse(struct sim_client *c)
{
    while (queue_left(&c->line.in) && c->state != CLIENT_LEFT && parse_one(c))
        ;
}

static void
send_some(struct sim_client *c)
{
    while (may_send(c) && !c->sock->closed)
        if (!line_send(&c->line, c->sock, c->plan.stalls_sent - c->sock->peer->sent))
            return; // what comes next is read as usual
}

static void
connect_now(struct sim_client *c)
{
    c->connect(c);
    c->state = CLIENT_GREETING;
    c->sock->dies_sent = c->plan.dies_sent;
    c->sock->dies_received = c->plan.dies_received;
    c->sock->death = c->plan.death;
    c->sock->peer->cut_at = c->plan.cut_sent;
}

static void
run(struct actor *a)
{
    struct sim_client *c = client_of(a);
    if (c->state == CLIENT_WAITS) {
        connect_now(c);
        return;
    }
    if (!c->sock->closed && may_read(c))
        receive(c);
    if (c->state != CLIENT_LEFT && !c->sock->closed)
        parse(c);
    if (c->state != CLIENT_LEFT && !c->sock->closed && sim_client_can_issue(c))
        sim_client_issue(c);
    if (c->state != CLIENT_LEFT && !c->sock->closed && is_finished(c) && !c->disc_sent &&
        !c->leaving && c->plan.leave != LEAVE_STAY)
        say_goodbye(c);
    if (c->state != CLIENT_LEFT && !c->sock->closed)
        send_some(c);
    if (c->leaving && !line_can_send(&c->line))
        leave(c);
    if (c->state != CLIENT_LEFT && c->sock->closed)
        leave(c);
    if (c->plan.slow_reader && chance_of(5))
        c->wakes = world.now + NS_PER_SEC;
}

struct sim_client *
sim_client_new(unsigned index, const struct client_plan *plan, struct oracle *oracle,
               void (*connect)(struct sim_client *c))
{
    struct sim_client *c = calloc(1, sizeof *c);
    expect(c, "out of memory");
    c->index = index;
    c->plan = *plan;
    if (!c->plan.start)
        c->plan.start = world.now;
    c->oracle = oracle;
    c->connect = connect;
    c->next_cookie = chance_next();
    c->actor = (struct actor){.can_run = can_run, .run = run, .next_time = next_time};
    world_add(&c->actor);
    return c;
}

void
sim_client_free(struct sim_client *c)
{
    world_remove(&c->actor);
    if (c->sock && c->state != CLIENT_LEFT)
        sock_close(c->sock);
    line_clear(&c->line);
    free(c);
}
