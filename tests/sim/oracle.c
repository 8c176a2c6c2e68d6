// SPDX-License-Identifier: BSD-3-Clause
#include "oracle.h"

#include "world.h"
#include <stdlib.h>
#include <string.h>
#include <wire/names.h>
#include <wire/nbd.h>

// Stamps ----------------------------------------------------------------------------------

static uint64_t
word(uint32_t stamp, uint64_t offset)
{
    return stamp ? (uint64_t)stamp * UINT64_C(0x9e3779b97f4a7c15) ^ offset : 0;
}

void
stamp_fill(uint32_t stamp, uint64_t offset, uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i += 8) {
        uint64_t w = word(stamp, offset + i);
        memcpy(p + i, &w, 8);
    }
}

static bool
holds(const uint8_t *p, uint64_t offset, uint32_t stamp)
{
    for (size_t i = 0; i < SECTOR; i += 8) {
        uint64_t w = word(stamp, offset + i);
        if (memcmp(p + i, &w, 8) != 0)
            return false;
    }
    return true;
}

static bool
among(const struct stamps *s, const uint8_t *p, uint64_t offset)
{
    for (unsigned i = 0; i < s->n && s->n < ANYTHING; i++)
        if (holds(p, offset, s->v[i]))
            return true;
    return s->n == ANYTHING;
}

static void
add(struct stamps *s, uint32_t stamp)
{
    if (s->n == ANYTHING)
        return;
    for (unsigned i = 0; i < s->n; i++)
        if (s->v[i] == stamp)
            return;
    if (s->n == STAMPS)
        s->n = ANYTHING;
    else
        s->v[s->n++] = stamp;
}

static void
add_all(struct stamps *s, const struct stamps *more)
{
    if (more->n == ANYTHING)
        s->n = ANYTHING;
    for (unsigned i = 0; i < more->n && s->n < ANYTHING; i++)
        add(s, more->v[i]);
}

static void
set(struct stamps *s, uint32_t stamp)
{
    *s = (struct stamps){.n = 1, .v = {stamp}};
}

uint32_t
oracle_stamp(struct oracle *o)
{
    return ++o->stamps;
}

// Sectors ---------------------------------------------------------------------------------

void
oracle_begin(struct oracle *o, struct disk *d)
{
    *o = (struct oracle){.size = d->size, .disk = d};
    o->sectors = calloc((size_t)(d->size / SECTOR), sizeof *o->sectors);
    expect(o->sectors, "out of memory");
    for (size_t i = 0; i < d->size / SECTOR; i++)
        o->sectors[i].now.n = o->sectors[i].safe.n = 1;
}

static void
op_free(struct op *op)
{
    free(op->data);
    free(op->known);
    free(op);
}

void
oracle_end(struct oracle *o)
{
    while (o->ops) {
        struct op *op = o->ops;
        o->ops = op->next;
        op_free(op);
    }
    free(o->sectors);
}

void
oracle_fill(struct oracle *o, struct range r)
{
    uint8_t bytes[DISK_BLOCK];
    uint32_t stamp = oracle_stamp(o);
    for (uint64_t at = r.offset; at < range_end(r); at += SECTOR) {
        struct sector *s = &o->sectors[at / SECTOR];
        stamp_fill(stamp, at, bytes, SECTOR);
        disk_write(o->disk, at, bytes, SECTOR);
        set(&s->now, stamp);
        set(&s->safe, stamp);
    }
    disk_flush(o->disk);
}

static bool
changes(uint16_t type)
{
    const struct nbd_command_info *info = nbd_command_info(type);
    return info && info->changes_data;
}

struct op *
oracle_op(struct oracle *o, unsigned client, uint16_t type, uint16_t flags, struct range r)
{
    struct op *op = calloc(1, sizeof *op);
    expect(op, "out of memory");
    *op = (struct op){.client = client, .type = type, .flags = flags, .range = r};
    op->began = world.now;
    op->order = ++o->orders;
    if (type == NBD_CMD_READ) {
        op->data = malloc(r.length);
        op->known = calloc(1, (size_t)(r.length / SECTOR + 1));
        expect(op->data && op->known, "out of memory");
    }
    op->next = o->ops;
    o->ops = op;
    return op;
}

bool
oracle_busy(const struct oracle *o, struct range r, bool any)
{
    for (const struct op *op = o->ops; op; op = op->next)
        if ((any || changes(op->type)) && range_overlaps(op->range, r))
            return true;
    return false;
}

// Replies ---------------------------------------------------------------------------------

static void
check_sector(struct oracle *o, uint64_t at, const uint8_t *p, bool safe, const struct op *op)
{
    const struct sector *s = &o->sectors[at / SECTOR];
    struct stamps may = safe ? s->safe : s->now;
    for (const struct op *other = o->ops; other; other = other->next)
        if (other != op && changes(other->type) &&
            range_overlaps(other->range, (struct range){at, SECTOR}))
            add(&may, other->stamp);
    if (op && op->type == NBD_CMD_READ && s->written > op->order)
        return; // written to meanwhile: it may have seen either
    if (among(&may, p, at))
        return;
    uint64_t first;
    memcpy(&first, p, 8);
    world_fail("offset %llu holds %016llx%s, and may only be of %u stamps, the first %u (%s%s, "
               "error %u)",
               (unsigned long long)at, (unsigned long long)first,
               holds(p, at, 0) ? " (zeroes)" : "", may.n, may.v[0],
               safe ? "after a power cut" : "now", op ? nbd_command_name(op->type) : "at the end",
               op ? op->error : 0);
}

// The disk itself, now and after a power cut.
static void
check_disk(struct oracle *o, struct range r, const struct op *op)
{
    uint8_t bytes[SECTOR];
    for (uint64_t at = r.offset; at < range_end(r); at += SECTOR) {
        disk_read(o->disk, at, bytes, SECTOR);
        check_sector(o, at, bytes, false, op);
        disk_read_safe(o->disk, at, bytes, SECTOR);
        check_sector(o, at, bytes, true, op);
    }
}

static void
read_done(struct oracle *o, struct op *op)
{
    for (uint64_t at = 0; at < op->range.length; at += SECTOR)
        check_sector(o, op->range.offset + at, op->data + at, false, op);
}

static void
write_done(struct oracle *o, struct op *op)
{
    for (uint64_t at = op->range.offset; at < range_end(op->range); at += SECTOR) {
        struct sector *s = &o->sectors[at / SECTOR];
        struct stamps old = s->now;
        set(&s->now, op->stamp);
        // Another that ended while this one was under way may have come after it; and one that
        // failed has been done, in part or not at all.
        if (s->written > op->order || op->error || op->type == NBD_CMD_TRIM)
            add_all(&s->now, &old);
        if (op->flags & NBD_CMD_FLAG_FUA && !op->error)
            s->safe = s->now;
        else
            add_all(&s->safe, &s->now);
        s->lost = false;
        s->writer = op->client;
        s->written = ++o->orders;
    }
}

// A FLUSH that failed may have lost what anybody had written and nobody had flushed; and a FUA may
// be the messenger of one (docs/zeroing.md).
static void
flush_failed(struct oracle *o)
{
    for (size_t i = 0; i < o->size / SECTOR; i++) {
        struct sector *s = &o->sectors[i];
        if (memcmp(&s->safe, &s->now, sizeof s->now) == 0)
            continue;
        s->safe.n = ANYTHING;
        s->lost = true;
    }
}

// What this client had been told to be written before it asked is safe now.
static void
flush_done(struct oracle *o, const struct op *op)
{
    if (world.now == o->flush_failed_at)
        return; // which of the two came first is not known
    for (size_t i = 0; i < o->size / SECTOR; i++) {
        struct sector *s = &o->sectors[i];
        if (s->writer == op->client && s->written <= op->order && !s->lost)
            s->safe = s->now;
    }
}

static bool
refused(const struct op *op)
{
    return op->type == NBD_CMD_WRITE_ZEROES && op->error == NBD_ENOTSUP;
}

static void
check_error(const struct oracle *o, const struct op *op)
{
    if (!op->error || refused(op)) {
        expect(!op->error || (op->flags & NBD_CMD_FLAG_FAST_ZERO), "ENOTSUP to a plain zero");
        return;
    }
    bool known = op->type == NBD_CMD_WRITE_ZEROES && op->error == o->zeroes_fail;
    expect(o->loose || known,
           "%s offset %llu length %llu flags %u got error %u, and nothing was wrong",
           nbd_command_name(op->type), (unsigned long long)op->range.offset,
           (unsigned long long)op->range.length, op->flags, op->error);
}

void
oracle_done(struct oracle *o, struct op *op, uint32_t error)
{
    op->error = error;
    check_error(o, op);
    struct op **p = &o->ops;
    while (*p != op)
        p = &(*p)->next;
    *p = op->next;
    bool persists = op->type == NBD_CMD_FLUSH || (op->flags & NBD_CMD_FLAG_FUA);
    if (refused(op))
        check_disk(o, op->range, op);
    else if (changes(op->type))
        write_done(o, op);
    else if (op->type == NBD_CMD_FLUSH && !error)
        flush_done(o, op);
    else if (op->type == NBD_CMD_READ && !error)
        read_done(o, op);
    if (error == NBD_EIO && persists)
        flush_failed(o);
    op_free(op);
}

// Upstream --------------------------------------------------------------------------------

static bool
asked_for(const struct oracle *o, const struct op *op, uint16_t type, struct range r,
          const uint8_t *p, uint64_t (*sent_by)(unsigned client))
{
    (void)o;
    if (sent_by(op->client) < op->ends_at)
        return false;
    if (op->type == NBD_CMD_WRITE_ZEROES)
        return type != NBD_CMD_TRIM && range_contains(op->range, r);
    if (op->type != type || op->range.offset != r.offset || op->range.length != r.length)
        return false;
    for (uint64_t at = 0; p && at < r.length; at += SECTOR)
        if (!holds(p + at, r.offset + at, op->stamp))
            return false;
    return true;
}

void
oracle_upstream(struct oracle *o, uint16_t type, uint16_t flags, struct range r, const uint8_t *p,
                uint64_t (*sent_by)(unsigned client))
{
    for (const struct op *op = o->ops; op; op = op->next) {
        if (!asked_for(o, op, type, r, p, sent_by))
            continue;
        bool durable = op->type == NBD_CMD_WRITE_ZEROES || !(op->flags & NBD_CMD_FLAG_FUA) ||
                       (flags & NBD_CMD_FLAG_FUA);
        expect(durable, "a FUA was lost on the way");
        return;
    }
    world_fail("%s offset %llu length %llu reached upstream, and no client is asking for that",
               nbd_command_name(type), (unsigned long long)r.offset, (unsigned long long)r.length);
}

void
oracle_check_all(struct oracle *o)
{
    check_disk(o, (struct range){0, o->size}, NULL);
}
