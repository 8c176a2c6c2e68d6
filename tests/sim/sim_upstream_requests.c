// SPDX-License-Identifier: BSD-3-Clause
// The model upstream in transmission: requests are checked, take their time, and take effect when
// they begin or when they end, as chance will have it.
#include "sim_upstream.h"

#include <base/limits.h>
#include <stdlib.h>
#include <wire/names.h>

// What the proxy may send -------------------------------------------------------------------

static void
check_flags(const struct upstream_conn *c, const struct request *r)
{
    uint16_t has = c->host->flags;
    const struct nbd_command_info *info = nbd_command_info(r->type);
    expect(info, "the proxy sent command %u", r->type);
    expect(!info->needs || (has & info->needs), "the proxy sent %s to an upstream without",
           info->name);
    uint16_t allowed = info->flags & (uint16_t)~NBD_CMD_FLAG_DF; // READs are put together
    if (has & NBD_FLAG_SEND_FUA)
        allowed |= NBD_CMD_FLAG_FUA;
    if (!(has & NBD_FLAG_SEND_FAST_ZERO))
        allowed &= (uint16_t)~NBD_CMD_FLAG_FAST_ZERO;
    expect(!(r->flags & ~allowed), "the proxy sent %s with flags %u", info->name, r->flags);
}

static bool
is_aligned(const struct sim_upstream *u, const struct request *r)
{
    return r->offset % u->minimum == 0 && r->length % u->minimum == 0;
}

static void
check_request(const struct upstream_conn *c, const struct request *r)
{
    const struct sim_upstream *u = c->host;
    check_flags(c, r);
    const struct nbd_command_info *info = nbd_command_info(r->type);
    if (info->has_range) {
        expect(r->length && r->length <= u->disk->size && r->offset <= u->disk->size - r->length,
               "the proxy sent %s beyond the end", info->name);
        expect(!c->bound || is_aligned(u, r),
               "the proxy sent %s offset %llu length %llu, which is not aligned", info->name,
               (unsigned long long)r->offset, (unsigned long long)r->length);
    }
    if (r->type == NBD_CMD_READ || r->type == NBD_CMD_WRITE)
        expect(r->length <= (c->bound ? u->maximum : MAX_PAYLOAD),
               "the proxy sent %s of %llu bytes", info->name, (unsigned long long)r->length);
    expect(r->type != NBD_CMD_WRITE || r->payload == r->length, "a WRITE without its payload");
    if (r->type == NBD_CMD_WRITE_ZEROES && !(r->flags & NBD_CMD_FLAG_FAST_ZERO))
        expect(!u->max_zero || r->length <= u->max_zero, "WRITE_ZEROES of %llu bytes",
               (unsigned long long)r->length);
    if (r->type == NBD_CMD_FLUSH)
        expect(!r->offset && !r->length, "FLUSH of a range");
    if (r->type == NBD_CMD_BLOCK_STATUS)
        expect(c->n_contexts, "the proxy sent BLOCK_STATUS without a context");
    for (const struct job *j = c->jobs; j; j = j->next)
        expect(j->cookie != r->cookie, "the proxy used a cookie twice");
}

// Effects -----------------------------------------------------------------------------------

static void
execute(struct upstream_conn *c, struct job *j)
{
    struct disk *d = c->host->disk;
    struct range r = j->range;
    if (j->executed)
        return;
    j->executed = true;
    if (j->error) {
        if (j->type == NBD_CMD_FLUSH) {
            disk_flush_fails(d);
            c->host->oracle->flush_failed_at = world.now;
        }
        return;
    }
    switch (j->type) {
    case NBD_CMD_READ:
        j->data = malloc((size_t)r.length);
        expect(j->data, "out of memory");
        disk_read(d, r.offset, j->data, (size_t)r.length);
        break;
    case NBD_CMD_WRITE: disk_write(d, r.offset, j->data, (size_t)r.length); break;
    case NBD_CMD_WRITE_ZEROES:
        disk_zero(d, r.offset, (size_t)r.length, !(j->flags & NBD_CMD_FLAG_NO_HOLE));
        break;
    case NBD_CMD_TRIM:
        if (chance_of(50))
            disk_zero(d, r.offset, (size_t)r.length, true);
        break;
    case NBD_CMD_FLUSH: disk_flush(d); break;
    }
    if (j->flags & NBD_CMD_FLAG_FUA)
        disk_make_safe(d, r.offset, (size_t)r.length);
}

// Faults ------------------------------------------------------------------------------------

static uint32_t
error_of(struct upstream_conn *c, const struct job *j)
{
    struct sim_upstream *u = c->host;
    struct fault *f = &u->fault;
    if (f->at && (!f->only || (f->only >> j->type & 1)) &&
        (!f->connection || f->connection == c->number)) {
        f->seen++;
        if (f->seen >= f->at && f->seen < f->at + f->count) {
            u->oracle->loose = true;
            return f->error;
        }
    }
    struct request r = {.offset = j->range.offset, .length = j->range.length};
    if (u->rigid && !is_aligned(u, &r))
        return NBD_EINVAL;
    if (j->type == NBD_CMD_WRITE_ZEROES && u->zero_always)
        return u->zero_always;
    if ((j->flags & NBD_CMD_FLAG_FAST_ZERO) && j->type == NBD_CMD_WRITE_ZEROES &&
        chance_of(u->fast_zero_refused))
        return NBD_ENOTSUP;
    return NBD_SUCCESS;
}

static nstime
time_of(struct sim_upstream *u, const struct job *j)
{
    const struct cost *c = &u->cost[j->type];
    nstime t = c->fixed + (nstime)(c->per_byte * (double)j->range.length);
    if (u->jitter_percent && chance_of(u->jitter_percent))
        t += chance_below(t + 1);
    if (!u->serial)
        return world.now + t;
    nstime from = u->busy_until > world.now ? u->busy_until : world.now;
    return u->busy_until = from + t;
}

// Requests ----------------------------------------------------------------------------------

static uint64_t
payload_of(const struct job *j)
{
    return j->type == NBD_CMD_READ || j->type == NBD_CMD_WRITE ? j->range.length : 0;
}

static void
begin_job(struct upstream_conn *c, const struct request *r, const uint8_t *payload)
{
    struct sim_upstream *u = c->host;
    struct job *j = calloc(1, sizeof *j);
    expect(j, "out of memory");
    j->type = r->type;
    j->flags = r->flags;
    j->cookie = r->cookie;
    j->range = (struct range){r->offset, r->length};
    note("upstream gets %s offset %llu length %llu flags %u", nbd_command_name(r->type),
         (unsigned long long)r->offset, (unsigned long long)r->length, r->flags);
    if (payload) {
        j->data = malloc((size_t)r->length);
        expect(j->data, "out of memory");
        memcpy(j->data, payload, (size_t)r->length);
    }
    const struct nbd_command_info *info = nbd_command_info(r->type);
    // Where there is no FUA, a FLUSH must do: the oracle looks at what a power cut would leave.
    unsigned has_fua = u->flags & NBD_FLAG_SEND_FUA;
    uint16_t flags = has_fua ? r->flags : (uint16_t)(r->flags | NBD_CMD_FLAG_FUA);
    if (info->changes_data)
        oracle_upstream(u->oracle, r->type, flags, j->range, payload, u->sent_by);
    u->commands[r->type]++;
    u->fast_zeroes += (r->flags & NBD_CMD_FLAG_FAST_ZERO) != 0;
    j->error = error_of(c, j);
    j->due = time_of(u, j);
    bool last = c->doomed && info->changes_data && chance_of(u->dies_changing);
    j->early = chance_of(50) && !j->error && !last;
    j->next = c->jobs;
    c->jobs = j;
    c->payload += payload_of(j);
    if (++c->in_flight > u->most_in_flight)
        u->most_in_flight = c->in_flight;
    if (c->payload > u->most_payload)
        u->most_payload = c->payload;
    if (j->early)
        execute(c, j);
    if (last)
        sock_die(c->sock);
}

bool
conn_request(struct upstream_conn *c, struct bytes in, size_t *used)
{
    struct request r;
    size_t size = request_size(c->format);
    if (in.len < size)
        return false;
    expect(request_decode(c->format, in.p, &r), "the proxy lost the framing of requests");
    if (r.type == NBD_CMD_DISC) {
        expect(in.len == size, "the proxy said something behind DISC");
        *used = size;
        c->state = CONN_ENDING;
        return true;
    }
    if (!c->asked)
        conn_expect_heard(c);
    c->asked = true;
    check_request(c, &r);
    if (in.len - size < r.payload)
        return false;
    *used = size + (size_t)r.payload;
    begin_job(c, &r, r.payload ? in.p + size : NULL);
    return true;
}

static void
job_free(struct upstream_conn *c, struct job *j)
{
    struct job **p = &c->jobs;
    while (*p != j)
        p = &(*p)->next;
    *p = j->next;
    c->in_flight--;
    c->payload -= payload_of(j);
    for (unsigned i = 0; i < j->n_parts; i++)
        free(j->parts[i]);
    free(j->data);
    free(j);
}

void
conn_jobs_due(struct upstream_conn *c)
{
    for (struct job *j = c->jobs; j; j = j->next) {
        if (j->n_parts || j->due > world.now)
            continue;
        execute(c, j);
        job_reply(c, j);
    }
}

bool
conn_emit(struct upstream_conn *c)
{
    struct job *chosen = NULL;
    unsigned n = 0;
    for (struct job *j = c->jobs; j; j = j->next)
        if (j->n_parts && chance_below(++n) == 0)
            chosen = j;
    if (!chosen)
        return false;
    unsigned i = chosen->next_part++;
    conn_say(c, chosen->parts[i], chosen->part_len[i]);
    if (chosen->next_part == chosen->n_parts)
        job_free(c, chosen);
    return true;
}

void
conn_jobs_end(struct upstream_conn *c)
{
    while (c->jobs) {
        if (chance_of(50))
            execute(c, c->jobs);
        job_free(c, c->jobs);
    }
}

// As a server that forks does: the child knows nothing of its connection until it wants to answer.
void
conn_jobs_linger(struct upstream_conn *c)
{
    for (struct job *next, *j = c->jobs; j; j = next) {
        next = j->next;
        if (j->executed || j->n_parts || chance_of(30))
            job_free(c, j);
        else
            j->due = world.now + chance_below(NS_PER_SEC / 2);
    }
}
