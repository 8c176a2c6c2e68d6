// SPDX-License-Identifier: BSD-3-Clause
#include "drive.h"

#define OUT_SIZE (512u << 10)

// One run: the machine, its memory, what it says.
struct run {
    struct client_handshake hs;
    uint8_t *scratch, *buffer;
    struct out out;
    struct transcript *t;
    unsigned secured; // how often
    bool over;
};

static void
inside(const struct run *r, struct bytes b)
{
    CHECK(b.len == 0 || (b.p >= r->scratch && b.p + b.len <= r->scratch + CLIENT_HS_SCRATCH));
}

static void
answer_info(struct run *r, const struct client_option *o)
{
    if (o->name.len && o->name.p[0] == 'x') {
        client_hs_error(&r->hs, &r->out, NBD_REP_ERR_UNKNOWN, bytes_str("no such export"));
        return;
    }
    client_hs_put_export(&r->hs, &r->out, 1 << 20, NBD_FLAG_HAS_FLAGS);
    if (client_option_wants(o, NBD_INFO_NAME))
        client_hs_put_info(&r->hs, &r->out, NBD_INFO_NAME, o->name);
    if (client_option_wants(o, NBD_INFO_BLOCK_SIZE))
        client_hs_put_info(&r->hs, &r->out, NBD_INFO_BLOCK_SIZE, bytes_str("12 bytes of it"));
    client_hs_ack(&r->hs, &r->out);
}

static void
answer_meta(struct run *r, const struct client_option *o)
{
    struct bytes rest = o->queries, query;
    uint32_t n = 0;
    while (client_option_query(&rest, &query)) {
        inside(r, query);
        CHECK(query.len <= MAX_STRING);
        if (n < MAX_CONTEXTS)
            client_hs_put_context(&r->hs, &r->out, n, query);
        n++;
    }
    CHECK(rest.len == 0 && n == o->n_queries);
    client_hs_ack(&r->hs, &r->out);
}

static void
answer(struct run *r)
{
    const struct client_option *o = &r->hs.option;
    inside(r, o->name);
    inside(r, o->infos);
    inside(r, o->queries);
    CHECK(o->name.len <= MAX_STRING);
    transcript_number(r->t, o->id);
    transcript_bytes(r->t, o->name);
    transcript_bytes(r->t, o->infos);
    transcript_bytes(r->t, o->queries);
    switch (o->id) {
    case NBD_OPT_EXPORT_NAME:
        CHECK(r->hs.format != FORMAT_EXTENDED);
        r->over = true; // well or not
        if (!o->name.len || o->name.p[0] != 'x')
            client_hs_export_name(&r->hs, &r->out, 1 << 20, NBD_FLAG_HAS_FLAGS);
        return;
    case NBD_OPT_LIST:
        client_hs_put_server(&r->hs, &r->out, bytes_str("disk"), bytes_str("a disk"));
        client_hs_ack(&r->hs, &r->out);
        return;
    case NBD_OPT_INFO:
    case NBD_OPT_GO: answer_info(r, o); return;
    case NBD_OPT_LIST_META_CONTEXT:
    case NBD_OPT_SET_META_CONTEXT:
        CHECK(r->hs.format != FORMAT_SIMPLE);
        answer_meta(r, o);
        return;
    }
    CHECK(!"an option that the machine should have answered");
}

static void
say(struct run *r)
{
    CHECK(!r->out.full);
    transcript_bytes(r->t, bytes_of(r->buffer, r->out.len));
    r->out.len = 0;
}

static bool
must_secure(const struct run *r)
{
    return r->hs.tls == CLIENT_TLS_REQUIRE && !r->hs.secure;
}

// What the machine answers by itself: TLS_REQD where that is so, and nowhere else.
static void
check_answered(const struct run *r)
{
    CHECK(r->out.len >= 20);
    uint32_t option = get_be32(r->buffer + 8), reply = get_be32(r->buffer + 12);
    CHECK(option == r->hs.option.id && r->hs.option.name.len == 0);
    CHECK((reply == NBD_REP_ERR_TLS_REQD) == (must_secure(r) && option != NBD_OPT_STARTTLS));
    CHECK(!must_secure(r) || r->hs.format == FORMAT_SIMPLE);
}

static void
secured(struct run *r)
{
    CHECK(r->hs.tls != CLIENT_TLS_OFF && r->hs.secure && !r->over);
    CHECK(r->out.len == 20 && r->hs.format == FORMAT_SIMPLE && r->hs.fixed);
    CHECK(r->hs.option.name.len == 0 && r->hs.option.queries.len == 0);
    CHECK(++r->secured == 1);
}

static void
act(struct run *r, enum client_hs_event event)
{
    transcript_number(r->t, event);
    CHECK(r->out.len <= CLIENT_HS_OUT);
    switch (event) {
    case CLIENT_HS_MORE: break;
    case CLIENT_HS_ANSWERED: check_answered(r); break;
    case CLIENT_HS_OPTION:
        CHECK(r->out.len == 0 && !must_secure(r));
        answer(r);
        break;
    case CLIENT_HS_STARTTLS: secured(r); break;
    case CLIENT_HS_ABORT: r->over = true; break;
    case CLIENT_HS_BREACH:
        CHECK(r->out.len == 0);
        transcript_bytes(r->t, bytes_str(r->hs.breach));
        r->over = true;
        break;
    }
    say(r);
    r->over |= r->hs.done;
}

// Feeds a piece; returns how much of it the handshake took.
static size_t
feed(struct run *r, struct piece piece)
{
    size_t used = 0;
    while (!r->over) {
        enum client_hs_event event;
        used += client_hs_feed(&r->hs, piece.p + used, piece.len - used, &r->out, &event);
        CHECK(used <= piece.len);
        if (event == CLIENT_HS_MORE) {
            CHECK(used == piece.len && r->out.len == 0);
            break;
        }
        act(r, event);
    }
    return used;
}

void
drive_client(enum client_tls tls, struct bytes in, struct cut cut, struct transcript *t)
{
    struct run r = {.scratch = malloc(CLIENT_HS_SCRATCH), .buffer = malloc(OUT_SIZE), .t = t};
    CHECK(r.scratch && r.buffer);
    r.out = out_of(r.buffer, OUT_SIZE);
    client_hs_begin(&r.hs, r.scratch, tls, &r.out);
    say(&r);
    size_t used = 0;
    while (!r.over && used < in.len) {
        struct piece piece = piece_next(in, used, cut);
        used += feed(&r, piece);
        free(piece.p);
    }
    transcript_number(t, used);
    transcript_number(t, r.hs.done);
    transcript_number(t, r.hs.format);
    transcript_number(t, r.hs.secure);
    free(r.scratch);
    free(r.buffer);
}
