// SPDX-License-Identifier: BSD-3-Clause
// A machine towards an upstream, and what the tests do to it. For one test file each: it has the
// machine in static memory.
#ifndef UPSTREAM_SIDE_H
#define UPSTREAM_SIDE_H

#include <criterion/criterion.h>
#include <wire/upstream_handshake.h>

#include "message.h"

static struct upstream_handshake hs;
static uint8_t scratch[UPSTREAM_HS_SCRATCH];
static uint8_t said_bytes[8192]; // by the machine
static struct out said;
static uint8_t in_bytes[256u << 10]; // to the machine
static struct out in;
static size_t in_used;

// Feeds what is left of `in`, up to an event.
static inline enum upstream_hs_event
feed(void)
{
    enum upstream_hs_event event;
    cr_assert_not(in.full);
    in_used += upstream_hs_feed(&hs, in.p + in_used, in.len - in_used, &said, &event);
    cr_assert_leq(in_used, in.len);
    if (in_used == in.len)
        in_used = in.len = 0;
    return event;
}

static inline void
begin_with_tls(uint16_t flags, bool tls)
{
    said = out_of(said_bytes, sizeof said_bytes);
    in = out_of(in_bytes, sizeof in_bytes);
    in_used = 0;
    upstream_hs_begin(&hs, scratch, tls);
    out_be64(&in, NBD_INIT_MAGIC);
    out_be64(&in, NBD_OPTION_MAGIC);
    out_be16(&in, flags);
}

static inline void
begin_with(uint16_t flags)
{
    begin_with_tls(flags, false);
}

static inline void
begin(void)
{
    begin_with(3);
    cr_assert_eq(feed(), UPSTREAM_HS_READY);
    said.len = 0;
}

static inline void
begin_go(void)
{
    begin();
    upstream_hs_ask_info(&hs, &said, NBD_OPT_GO, bytes_str("disk"), LITERAL("\0\3"));
}

static inline void
expect_breach(const char *what)
{
    enum upstream_hs_event event;
    do {
        event = feed();
    } while (event == UPSTREAM_HS_ITEM);
    cr_expect_eq(event, UPSTREAM_HS_BREACH, "%s", what);
    cr_expect_not_null(hs.breach);
    cr_expect_eq(upstream_hs_feed(&hs, (const uint8_t *)"more", 4, &said, &event), 0);
    cr_expect_eq(event, UPSTREAM_HS_BREACH);
}

static inline void
put_export(uint32_t option, uint64_t size, uint16_t flags)
{
    put_reply_header(&in, option, NBD_REP_INFO, 12);
    out_be16(&in, NBD_INFO_EXPORT);
    out_be64(&in, size);
    out_be16(&in, flags);
}

static inline void
put_block_size(uint32_t option, uint32_t minimum, uint32_t preferred, uint32_t maximum)
{
    put_reply_header(&in, option, NBD_REP_INFO, 14);
    out_be16(&in, NBD_INFO_BLOCK_SIZE);
    out_be32(&in, minimum);
    out_be32(&in, preferred);
    out_be32(&in, maximum);
}

// The machine has said this since the last look.
static inline void
expect_said(struct bytes what)
{
    cr_assert_not(said.full);
    cr_expect(bytes_equal(bytes_of(said.p, said.len), what));
    said.len = 0;
}

// Asks all that is not EXPORT_NAME. None of it may be written.
static inline void
ask_in_vain(void)
{
    struct bytes none = LITERAL(""), name = bytes_str("disk");
    struct {
        int state;
        uint32_t asked;
        struct upstream_export export;
    } before = {hs.state, hs.asked, hs.export};
    upstream_hs_ask_format(&hs, &said, FORMAT_EXTENDED);
    upstream_hs_ask_format(&hs, &said, FORMAT_STRUCTURED);
    upstream_hs_ask_list(&hs, &said);
    upstream_hs_ask_info(&hs, &said, NBD_OPT_INFO, name, none);
    upstream_hs_ask_info(&hs, &said, NBD_OPT_GO, name, none);
    upstream_hs_ask_meta(&hs, &said, NBD_OPT_LIST_META_CONTEXT, name, 0, none, none);
    upstream_hs_ask_meta(&hs, &said, NBD_OPT_SET_META_CONTEXT, name, 0, none, name);
    upstream_hs_abort(&hs, &said);
    expect_said(none);
    cr_expect_eq(hs.state, before.state);
    cr_expect_eq(hs.asked, before.asked);
    cr_expect_eq(hs.export.known, before.export.known);
    cr_expect_eq(hs.export.size, before.export.size);
}

static inline void
name_in_vain(void)
{
    bool known = hs.export.known;
    upstream_hs_ask_export_name(&hs, &said, bytes_str("disk"));
    expect_said(LITERAL(""));
    cr_expect_eq(hs.export.known, known);
}

#endif
