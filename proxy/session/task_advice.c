// SPDX-License-Identifier: BSD-3-Clause
// TRIM and CACHE that cannot go upstream as they are: those that are longer than one message of
// upstream's or not of whole blocks, and a TRIM that could do harm there.
#include "task_repair.h"

#include <wire/names.h>

#define ADVICE_PIECE (1u << 30)

// nbd-server, every version up to 3.27, counts the offset of a TRIM twice: of [o, o + n) it
// discards min(n, size - 2 o) bytes. On a file that is too little, and nothing from the middle on,
// for a negative length is refused there, and it reports success. On a block device that length
// goes to BLKDISCARD as nearly 2^64, and a Linux kernel from before May 2024, whose check of it
// overflows, discards all that is behind o. So what begins behind the middle must not be sent to
// such a server (nor to its export of several devices as one, whose seams cannot be seen from here:
// do not TRIM that). It shows none of these; whoever shows one of them is another, and takes any
// TRIM.
static bool
trims_right(const struct session *s)
{
    uint16_t others = NBD_FLAG_SEND_CACHE | NBD_FLAG_SEND_FAST_ZERO;
    return (s->facts.upstream_flags & others) || s->facts.upstream_format == FORMAT_EXTENDED ||
           (s->allocation >= 0 && !s->facts.status_by_us) || s->facts.preferred;
}

// The part of a TRIM that may be sent. Not to discard the rest is always right: TRIM is a hint
// (spec: NBD_CMD_TRIM).
static struct range
sendable(const struct session *s, const struct request *r)
{
    struct range range = {r->offset, r->length};
    if (repair_wanted(s, r))
        range = r->type == NBD_CMD_TRIM ? repair_narrow(s, range) : repair_widen(s, range);
    uint64_t middle = s->facts.size / 2;
    if (r->type == NBD_CMD_CACHE || trims_right(s))
        return range;
    if (range.offset >= middle)
        return (struct range){0};
    // The last piece begins before it.
    uint64_t end = align_down(middle - 1, ADVICE_PIECE) + ADVICE_PIECE;
    if (range_end(range) > end)
        range.length = end - range.offset;
    return range;
}

bool
task_advice_wanted(const struct session *s, const struct request *r)
{
    if (r->type == NBD_CMD_TRIM && r->offset >= s->facts.size / 2 && !trims_right(s))
        return true;
    return (r->type == NBD_CMD_TRIM || r->type == NBD_CMD_CACHE) &&
           !session_length_fits(s, r->length);
}

static void
finish(struct task *t, uint32_t error)
{
    task_answer(t, nbd_error_for_client(error, t->request.type, false, false));
    task_end(t);
}

static void
stepped(struct task *t, uint32_t error)
{
    if (t->whole)
        task_piece_over(t, error);
    else
        finish(t, task_flushed(t, error));
}

static void
lost(struct task *t)
{
    finish(t, NBD_EIO);
}

static const struct task_kind task_advice_kind = {
    .name = "advice",
    .stepped = stepped,
    .lost = lost,
};

static void
begin_piece(struct task *piece)
{
    const struct request *r = &piece->request;
    bool fua = r->type == NBD_CMD_TRIM && !piece->s->facts.fua_by_flush;
    task_step(piece, &(struct step){.type = r->type,
                                    .flags = fua ? r->flags & NBD_CMD_FLAG_FUA : 0,
                                    .offset = r->offset,
                                    .length = r->length});
}

static void
pieces_over(struct task *t, uint32_t error)
{
    if (!error && t->request.type == NBD_CMD_TRIM && task_flush_wanted(t))
        task_flush(t);
    else
        finish(t, error);
}

void
task_advice_begin(struct session *s, const struct request *r, nstime began)
{
    struct range range = sendable(s, r);
    if (!range.length) {
        client_unwritten(s);
        client_answer(s, r, NBD_SUCCESS, began);
        return;
    }
    struct task *t = task_new(s, r, &task_advice_kind, began);
    if (!t) {
        client_wrote(s, r, NBD_ENOMEM);
        client_answer(s, r, NBD_ENOMEM, began);
        return;
    }
    task_split(t, range, ADVICE_PIECE, begin_piece, pieces_over);
}
