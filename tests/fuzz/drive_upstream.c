// SPDX-License-Identifier: BSD-3-Clause
#include "drive.h"

#include <wire/upstream_handshake.h>

struct run {
    struct upstream_handshake hs;
    uint8_t *scratch;
    uint8_t buffer[512];
    struct out out;
    struct bytes script;
    struct transcript *t;
    uint64_t items; // of the answer that comes in
    bool over;
};

static void
inside(const struct run *r, struct bytes b)
{
    CHECK(b.len <= MAX_OPTION_REPLY);
    CHECK(b.len == 0 || (b.p >= r->scratch && b.p + b.len <= r->scratch + UPSTREAM_HS_SCRATCH));
    transcript_bytes(r->t, b);
}

#define ASK_TLS 16u

// Asks question number `question`; 8 more of STRUCTURED_REPLY is EXTENDED_HEADERS, 16 more of
// anything STARTTLS.
static void
ask_one(struct run *r, uint8_t question)
{
    static const uint8_t infos[] = {0, NBD_INFO_NAME, 0, NBD_INFO_BLOCK_SIZE};
    struct bytes name = bytes_str("disk");
    struct bytes query = bytes_str("base:allocation");
    if (question & ASK_TLS) {
        upstream_hs_ask_tls(&r->hs, &r->out);
        return;
    }
    switch (question % 8) {
    case 0:
        upstream_hs_ask_format(&r->hs, &r->out, question & 8 ? FORMAT_EXTENDED : FORMAT_STRUCTURED);
        break;
    case 1: upstream_hs_ask_list(&r->hs, &r->out); break;
    case 2: upstream_hs_ask_info(&r->hs, &r->out, NBD_OPT_INFO, name, bytes_of(infos, 4)); break;
    case 3: upstream_hs_ask_info(&r->hs, &r->out, NBD_OPT_GO, name, bytes_of(infos, 0)); break;
    case 4:
        upstream_hs_ask_meta(&r->hs, &r->out, NBD_OPT_LIST_META_CONTEXT, name, 0, bytes_of(NULL, 0),
                             bytes_of(NULL, 0));
        break;
    case 5:
        upstream_hs_ask_meta(&r->hs, &r->out, NBD_OPT_SET_META_CONTEXT, name, 0, bytes_of(NULL, 0),
                             query);
        break;
    case 6: upstream_hs_ask_export_name(&r->hs, &r->out, name); break;
    case 7: upstream_hs_abort(&r->hs, &r->out); break;
    }
}

static bool
may_ask(const struct upstream_handshake *hs, uint8_t question)
{
    if (hs->wants_tls && !hs->secure)
        return question & ASK_TLS;
    if (!(question & ASK_TLS) && question % 8 == 6)
        return hs->style != UPSTREAM_OLDSTYLE && hs->format != FORMAT_EXTENDED;
    return hs->style == UPSTREAM_FIXED;
}

// The next question of the script that may be asked; the others write nothing. With none left the
// upstream had better be silent.
static void
ask(struct run *r)
{
    size_t before = r->out.len;
    r->items = 0;
    while (r->script.len && r->out.len == before) {
        uint8_t question = *r->script.p++;
        r->script.len--;
        ask_one(r, question);
        CHECK((r->out.len > before) == may_ask(&r->hs, question));
        r->over |= !(question & ASK_TLS) && question % 8 == 7 && r->out.len > before;
    }
}

// The FLUSH that tries an oldstyle server is all that is said before its READY, in the same turn or
// in an earlier one.
static void
note_trial(struct run *r)
{
    CHECK(r->out.len == 0 ||
          (r->hs.style == UPSTREAM_OLDSTYLE && r->out.len == COMPACT_REQUEST_SIZE));
    if (r->out.len)
        transcript_bytes(r->t, bytes_of(r->buffer, r->out.len));
    r->out.len = 0;
}

static void
greeted(struct run *r)
{
    const struct upstream_handshake *hs = &r->hs;
    transcript_number(r->t, hs->style);
    CHECK(!hs->wants_tls || hs->style == UPSTREAM_FIXED);
    if (hs->style == UPSTREAM_OLDSTYLE) {
        CHECK(hs->export.known && hs->export.size <= MAX_EXPORT_SIZE);
        transcript_number(r->t, hs->export.size);
        transcript_number(r->t, hs->export.flags);
    } else {
        CHECK(r->out.len == 4 && get_be32(r->buffer) <= 3 && !hs->export.known);
    }
    ask(r);
    r->over |= hs->style == UPSTREAM_OLDSTYLE;
}

static void
note_item(struct run *r)
{
    const struct upstream_item *item = &r->hs.item;
    CHECK(++r->items <= MAX_REPLY_ITEMS);
    transcript_number(r->t, item->reply);
    transcript_number(r->t, item->info);
    transcript_number(r->t, item->context);
    inside(r, item->name);
    inside(r, item->description);
    inside(r, item->payload);
}

static void
note_answer(struct run *r, uint32_t asked)
{
    const struct upstream_export *e = &r->hs.export;
    const struct upstream_answer *a = &r->hs.answer;
    CHECK(a->text.len <= MAX_STRING);
    transcript_number(r->t, a->reply);
    inside(r, a->text);
    transcript_number(r->t, r->hs.format);
    bool ack = a->reply == NBD_REP_ACK;
    CHECK(!ack || asked != NBD_OPT_EXTENDED_HEADERS || r->hs.format == FORMAT_EXTENDED);
    CHECK(ack ? a->text.len == 0 : (a->reply & NBD_REP_ERROR_BIT) != 0);
    if (ack && (asked == NBD_OPT_GO || asked == NBD_OPT_INFO || asked == NBD_OPT_EXPORT_NAME))
        CHECK(e->known && e->size <= MAX_EXPORT_SIZE);
    CHECK(!e->has_block_size || (e->minimum && e->minimum <= e->preferred &&
                                 e->preferred <= e->maximum && e->minimum <= 65536));
    transcript_number(r->t, e->size);
    transcript_number(r->t, e->flags);
    transcript_number(r->t, e->preferred);
    r->over |= ack && (asked == NBD_OPT_GO || asked == NBD_OPT_EXPORT_NAME);
    if (asked != NBD_OPT_STARTTLS)
        return;
    CHECK(!ack || (r->hs.secure && !e->known));
    r->over |= !ack;
}

static void
act(struct run *r, enum upstream_hs_event event, uint32_t asked)
{
    transcript_number(r->t, event);
    switch (event) {
    case UPSTREAM_HS_MORE: break;
    case UPSTREAM_HS_ITEM: note_item(r); break;
    case UPSTREAM_HS_READY: greeted(r); break;
    case UPSTREAM_HS_ANSWER:
        CHECK(r->out.len == 0);
        note_answer(r, asked);
        if (!r->over)
            ask(r);
        break;
    case UPSTREAM_HS_BREACH:
        transcript_bytes(r->t, bytes_str(r->hs.breach));
        r->over = true;
        break;
    }
    CHECK(!r->out.full);
    transcript_bytes(r->t, bytes_of(r->buffer, r->out.len));
    r->out.len = 0;
}

static size_t
feed(struct run *r, struct piece piece)
{
    size_t used = 0;
    while (!r->over) {
        enum upstream_hs_event event;
        uint32_t asked = r->hs.asked;
        used += upstream_hs_feed(&r->hs, piece.p + used, piece.len - used, &r->out, &event);
        CHECK(used <= piece.len);
        if (r->hs.style == UPSTREAM_OLDSTYLE)
            note_trial(r);
        if (event == UPSTREAM_HS_MORE) {
            CHECK(used == piece.len);
            note_trial(r);
            break;
        }
        act(r, event, asked);
    }
    return used;
}

void
drive_upstream(bool tls, struct bytes script, struct bytes in, struct cut cut, struct transcript *t)
{
    struct run r = {.scratch = malloc(UPSTREAM_HS_SCRATCH), .script = script, .t = t};
    CHECK(r.scratch);
    r.out = out_of(r.buffer, sizeof r.buffer);
    upstream_hs_begin(&r.hs, r.scratch, tls);
    size_t used = 0;
    while (!r.over && used < in.len) {
        struct piece piece = piece_next(in, used, cut);
        used += feed(&r, piece);
        free(piece.p);
    }
    transcript_number(t, used);
    free(r.scratch);
}
