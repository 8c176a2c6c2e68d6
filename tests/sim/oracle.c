// SPDX-License-Identifier: BSD-3-Clause
#include "oracle.h"

#include "world.h"
#include <stdlib.h>
#include <string.h>
#include <wire/names.h>
#include <wire/nbd.h>

// Sectors ---------------------------------------------------------------------------------

uint32_t
oracle_stamp(struct oracle *o)
{
    return ++o->stamps;
}

void
oracle_begin(struct oracle *o, struct disk *d)
{
    *o = (struct oracle){.size = d->size, .disk = d};
    sparse_begin(&o->sectors, d->size / SECTOR, sizeof(struct sector));
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
    sparse_end(&o->sectors);
}

static const struct sector *
sector_seen(const struct oracle *o, uint64_t at)
{
    static const struct sector fresh = {.now.n = 1, .safe.n = 1};
    const struct sector *s = sparse_peek(&o->sectors, at / SECTOR);
    return s && s->now.n ? s : &fresh;
}

static struct sector *
sector_at(struct oracle *o, uint64_t at)
{
    struct sector *s = sparse_at(&o->sectors, at / SECTOR);
    if (!s->now.n)
        s->now.n = s->safe.n = 1;
    return s;
}

// The next sector from `at` on of which something may be known.
static uint64_t
next_known(const struct oracle *o, uint64_t at)
{
    uint64_t end = o->sectors.items, i = sparse_next(&o->sectors, at / SECTOR, end);
    const struct sector *s;
    while (i < end && !(s = sparse_peek(&o->sectors, i))->now.n)
        i = sparse_next(&o->sectors, i + 1, end);
    return i * SECTOR;
}

void
oracle_fill(struct oracle *o, struct range r)
{
    uint8_t bytes[DISK_BLOCK];
    uint32_t stamp = oracle_stamp(o);
    for (uint64_t at = r.offset; at < range_end(r); at += SECTOR) {
        struct sector *s = sector_at(o, at);
        stamp_fill(stamp, at, bytes, SECTOR);
        disk_write(o->disk, at, bytes, SECTOR);
        stamps_set(&s->now, stamp);
        stamps_set(&s->safe, stamp);
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

// Checking --------------------------------------------------------------------------------

static bool
may_hold(struct oracle *o, uint64_t at, const uint8_t *p, bool safe, const struct op *op)
{
    const struct sector *s = sector_seen(o, at);
    if (stamps_among(safe ? &s->safe : &s->now, p, at))
        return true;
    if (op && !changes(op->type) && s->written > op->order)
        return true; // written to meanwhile: it may have seen either
    for (const struct op *other = o->ops; other; other = other->next)
        if (other != op && changes(other->type) &&
            range_overlaps(other->range, (struct range){at, SECTOR}) &&
            stamp_holds(p, at, other->stamp))
            return true;
    return false;
}

static void
check_sector(struct oracle *o, uint64_t at, const uint8_t *p, bool safe, const struct op *op)
{
    if (may_hold(o, at, p, safe, op) || range_contains(o->scratch, (struct range){at, SECTOR}))
        return;
    const struct sector *s = sector_seen(o, at);
    const struct stamps *may = safe ? &s->safe : &s->now;
    uint64_t first;
    memcpy(&first, p, 8);
    world_fail("offset %llu holds %016llx%s, and may only be of %u stamps, the first %u (%s%s, "
               "error %u)",
               (unsigned long long)at, (unsigned long long)first,
               stamp_holds(p, at, 0) ? " (zeroes)" : "", may->n, may->v[0],
               safe ? "after a power cut: " : "now: ",
               op ? nbd_command_name(op->type) : "all of the disk", op ? op->error : 0);
}

// The disk itself, now and after a power cut; what nobody ever stored is left out.
static void
check_disk(struct oracle *o, struct range r, const struct op *op)
{
    uint8_t bytes[SECTOR];
    uint64_t known = 0, stored = 0;
    for (uint64_t at = r.offset; at < range_end(r); at += SECTOR) {
        if (known < at || !at)
            known = next_known(o, at);
        if (stored < at || !at)
            stored = disk_next_stored(o->disk, at);
        at = known < stored ? known : stored;
        if (at >= range_end(r))
            return;
        disk_read(o->disk, at, bytes, SECTOR);
        check_sector(o, at, bytes, false, op);
        disk_read_safe(o->disk, at, bytes, SECTOR);
        check_sector(o, at, bytes, true, op);
    }
}

void
oracle_told_zero(struct oracle *o, const struct op *op, struct range r)
{
    static const uint8_t zeroes[SECTOR];
    for (uint64_t at = next_known(o, r.offset); at < range_end(r); at = next_known(o, at + SECTOR))
        check_sector(o, at, zeroes, false, op);
}

void
oracle_check_all(struct oracle *o)
{
    check_disk(o, (struct range){0, o->size}, NULL);
}

// Replies ---------------------------------------------------------------------------------

static void
read_done(struct oracle *o, struct op *op)
{
    for (uint64_t at = 0; at < op->range.length; at += SECTOR)
        check_sector(o, op->range.offset + at, op->data + at, false, op);
}

static void
sector_written(struct oracle *o, struct sector *s, const struct op *op)
{
    struct stamps old = s->now;
    bool trim = op->type == NBD_CMD_TRIM;
    stamps_set(&s->now, op->stamp);
    // Another that ended while this one was under way may have come after it; and one that failed
    // has been done, in part or not at all.
    if (s->written > op->order || op->error || trim)
        stamps_add_all(&s->now, &old);
    // A FLUSH that failed meanwhile, of whomever, may have lost it, and says so to nobody else.
    bool over = !trim && !op->error; // what was there before is gone, whatever became of it
    s->lost = op->began <= o->flush_failed_at || (s->lost && !over);
    // Of what was trimmed nothing is promised, so FUA has nothing to keep there.
    if (op->flags & NBD_CMD_FLAG_FUA && !op->error && !s->lost && !trim)
        s->safe = s->now;
    else
        stamps_add_all(&s->safe, &s->now);
    s->writer = op->client;
    s->written = ++o->orders;
}

static void
write_done(struct oracle *o, struct op *op)
{
    for (uint64_t at = op->range.offset; at < range_end(op->range); at += SECTOR) {
        if (!op->stamp) // zeroes on what is fresh change nothing
            at = next_known(o, at);
        if (at < range_end(op->range))
            sector_written(o, sector_at(o, at), op);
    }
    if (op->flags & NBD_CMD_FLAG_FUA && !op->error)
        check_disk(o, op->range, NULL);
}

// A FLUSH that failed may have lost what anybody had written and nobody had flushed; and a FUA may
// be the messenger of one (docs/zeroing.md).
static void
flush_failed(struct oracle *o)
{
    for (uint64_t at = next_known(o, 0); at < o->size; at = next_known(o, at + SECTOR)) {
        struct sector *s = sector_at(o, at);
        if (memcmp(&s->safe, &s->now, sizeof s->now) == 0)
            continue;
        s->safe.n = ANYTHING;
        s->lost = true;
    }
}

#define SMALL (2u << 20) // a disk that is looked at whole at every FLUSH

// What this client had been told to be written before it asked is safe now.
static void
flush_done(struct oracle *o, const struct op *op)
{
    if (world.now == o->flush_failed_at)
        return; // which of the two came first is not known
    for (uint64_t at = next_known(o, 0); at < o->size; at = next_known(o, at + SECTOR)) {
        struct sector *s = sector_at(o, at);
        if (s->writer == op->client && s->written <= op->order && !s->lost)
            s->safe = s->now;
    }
    if (o->size <= SMALL)
        oracle_check_all(o);
}

static bool
refused(const struct op *op)
{
    return op->type == NBD_CMD_WRITE_ZEROES && op->error == NBD_ENOTSUP;
}

static void
check_error(const struct oracle *o, const struct op *op)
{
    if (op->contextless) {
        expect(op->error == NBD_EINVAL, "block status without a context got error %u", op->error);
        return;
    }
    if (!op->error || refused(op)) {
        expect(!op->error || (op->flags & NBD_CMD_FLAG_FAST_ZERO), "ENOTSUP to a plain zero");
        return;
    }
    bool known = op->type == NBD_CMD_WRITE_ZEROES && op->error == o->zeroes_fail;
    known |= o->draining && op->error == NBD_ESHUTDOWN;
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
    bool fua = op->flags & NBD_CMD_FLAG_FUA && (error == NBD_EIO || error == NBD_ENOSPC);
    if (refused(op))
        check_disk(o, op->range, op);
    else if (changes(op->type))
        write_done(o, op);
    else if (op->type == NBD_CMD_FLUSH && !error)
        flush_done(o, op);
    else if (op->type == NBD_CMD_READ && !error)
        read_done(o, op);
    if (fua || (op->type == NBD_CMD_FLUSH && error))
        flush_failed(o);
    op_free(op);
}

// Upstream --------------------------------------------------------------------------------

// A WRITE in whole blocks where a client has asked for less: around that, what the disk holds.
static bool
is_repaired(const struct oracle *o, const struct op *op, struct range r)
{
    uint64_t overhang = o->repair ? o->repair - 1 : 0;
    if (!o->repair || r.offset % o->repair || range_end(r) % o->repair)
        return false;
    return range_overlaps(op->range, r) && r.offset + overhang >= op->range.offset &&
           range_end(r) <= range_end(op->range) + overhang;
}

static bool
written_for(const struct oracle *o, const struct op *op, struct range r, const uint8_t *p)
{
    bool zero = op->type == NBD_CMD_WRITE_ZEROES;
    bool whole = r.offset == op->range.offset && r.length == op->range.length;
    if (!whole && !(zero && range_contains(op->range, r)) && !is_repaired(o, op, r))
        return false;
    uint8_t bytes[SECTOR];
    for (uint64_t at = r.offset; at < range_end(r); at += SECTOR) {
        const uint8_t *now = p + (at - r.offset);
        if (range_contains(op->range, (struct range){at, SECTOR})) {
            if (!zero && !stamp_holds(now, at, op->stamp))
                return false; // a probe writes back what it finds, so zeroes may be anything
            continue;
        }
        disk_read(o->disk, at, bytes, SECTOR);
        if (memcmp(bytes, now, SECTOR) != 0)
            return false;
    }
    return true;
}

static bool
asked_for(const struct oracle *o, const struct op *op, uint16_t type, struct range r,
          const uint8_t *p, uint64_t (*sent_by)(unsigned client))
{
    if (sent_by(op->client) < op->ends_at)
        return false;
    if (type == NBD_CMD_WRITE)
        return (op->type == NBD_CMD_WRITE || op->type == NBD_CMD_WRITE_ZEROES) &&
               written_for(o, op, r, p);
    return op->type == type && range_contains(op->range, r);
}

void
oracle_upstream(struct oracle *o, uint16_t type, uint16_t flags, struct range r, const uint8_t *p,
                uint64_t (*sent_by)(unsigned client))
{
    bool lost = false;
    if (range_contains(o->scratch, r))
        return;
    for (const struct op *op = o->ops; op; op = op->next) {
        if (!asked_for(o, op, type, r, p, sent_by))
            continue;
        // What goes in pieces may be made durable behind the last of them.
        if (op->type == NBD_CMD_WRITE_ZEROES || o->repair || !(op->flags & NBD_CMD_FLAG_FUA) ||
            (flags & NBD_CMD_FLAG_FUA))
            return;
        lost = true;
    }
    expect(!lost, "a FUA was lost on the way");
    world_fail("%s offset %llu length %llu reached upstream, and no client is asking for that",
               nbd_command_name(type), (unsigned long long)r.offset, (unsigned long long)r.length);
}
