// SPDX-License-Identifier: BSD-3-Clause
// A machine towards a client, and what the tests do to it. For one test file each: it has the
// machine in static memory.
#ifndef CLIENT_SIDE_H
#define CLIENT_SIDE_H

#include <criterion/criterion.h>
#include <wire/client_handshake.h>

#include "message.h"

static struct client_handshake hs;
static uint8_t scratch[CLIENT_HS_SCRATCH];
static uint8_t said_bytes[64u << 10]; // by the machine
static struct out said;
static uint8_t in_bytes[512u << 10]; // to the machine
static struct out in;

// Feeds `in` up to an event, and starts it anew.
static inline enum client_hs_event
feed(void)
{
    enum client_hs_event event;
    cr_assert_not(in.full);
    said.len = 0;
    size_t used = client_hs_feed(&hs, in.p, in.len, &said, &event);
    cr_assert_eq(used, in.len, "bytes left");
    cr_assert_not(said.full);
    in.len = 0;
    return event;
}

static inline void
begin_with_tls(uint32_t flags, enum client_tls tls)
{
    said = out_of(said_bytes, sizeof said_bytes);
    in = out_of(in_bytes, sizeof in_bytes);
    client_hs_begin(&hs, scratch, tls, &said);
    out_be32(&in, flags);
    if (flags <= 3)
        cr_assert_eq(feed(), CLIENT_HS_MORE);
}

static inline void
begin(uint32_t flags)
{
    begin_with_tls(flags, CLIENT_TLS_OFF);
}

// The machine has answered `option` with an ACK, and this is what it says of it.
static inline void
expect_acked_with(uint32_t option, enum client_hs_event event)
{
    cr_assert_eq(feed(), event);
    cr_expect_eq(hs.option.id, option);
    cr_assert_eq(said.len, 20);
    cr_expect_eq(get_be64(said.p), NBD_OPTION_REPLY_MAGIC);
    cr_expect_eq(get_be32(said.p + 8), option);
    cr_expect_eq(get_be32(said.p + 12), NBD_REP_ACK, "%#x", get_be32(said.p + 12));
    cr_expect_eq(get_be32(said.p + 16), 0);
}

static inline void
expect_acked(uint32_t option)
{
    expect_acked_with(option, CLIENT_HS_ANSWERED);
}

// Begins with a client that has agreed on a format.
static inline void
begin_in(enum wire_format f)
{
    uint32_t option = f == FORMAT_EXTENDED ? NBD_OPT_EXTENDED_HEADERS : NBD_OPT_STRUCTURED_REPLY;
    begin(3);
    if (f == FORMAT_SIMPLE)
        return;
    put_option(&in, option, LITERAL(""));
    expect_acked(option);
    cr_assert_eq(hs.format, f);
}

// The machine has answered `option` with this error and a text.
static inline void
expect_error(uint32_t option, uint32_t error)
{
    cr_assert_eq(feed(), CLIENT_HS_ANSWERED);
    cr_expect_eq(hs.option.id, option);
    cr_assert_gt(said.len, 20, "an error comes with a text");
    cr_expect_eq(get_be64(said.p), NBD_OPTION_REPLY_MAGIC);
    cr_expect_eq(get_be32(said.p + 8), option);
    cr_expect_eq(get_be32(said.p + 12), error, "%#x", get_be32(said.p + 12));
    cr_expect_eq(get_be32(said.p + 16), said.len - 20);
}

// And lives on.
static inline void
expect_refused(uint32_t option, uint32_t error)
{
    expect_error(option, error);
    put_option(&in, NBD_OPT_LIST, LITERAL(""));
    cr_expect_eq(feed(), CLIENT_HS_OPTION, "alive");
    client_hs_ack(&hs, &said);
}

static inline void
expect_breach(void)
{
    cr_expect_eq(feed(), CLIENT_HS_BREACH);
    cr_expect_not_null(hs.breach);
    cr_expect_eq(said.len, 0, "not one byte more");
    enum client_hs_event event;
    cr_expect_eq(client_hs_feed(&hs, (const uint8_t *)"more", 4, &said, &event), 0);
    cr_expect_eq(event, CLIENT_HS_BREACH);
}

#endif
