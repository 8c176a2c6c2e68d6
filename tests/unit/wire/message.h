// SPDX-License-Identifier: BSD-3-Clause
// What peers say, built byte by byte for the tests of this folder.
#ifndef MESSAGE_H
#define MESSAGE_H

#include <base/bytes.h>
#include <wire/nbd.h>

#define LITERAL(s) bytes_of(s, sizeof(s) - 1)

static inline void
out_string(struct out *o, struct bytes s)
{
    out_be32(o, (uint32_t)s.len);
    out_bytes(o, s);
}

static inline void
put_option_header(struct out *o, uint32_t option, uint32_t len)
{
    out_be64(o, NBD_OPTION_MAGIC);
    out_be32(o, option);
    out_be32(o, len);
}

static inline void
put_option(struct out *o, uint32_t option, struct bytes data)
{
    put_option_header(o, option, (uint32_t)data.len);
    out_bytes(o, data);
}

// INFO and GO; infos: 16-bit big-endian numbers.
static inline void
put_info_option(struct out *o, uint32_t option, struct bytes name, struct bytes infos)
{
    put_option_header(o, option, (uint32_t)(6 + name.len + infos.len));
    out_string(o, name);
    out_be16(o, (uint16_t)(infos.len / 2));
    out_bytes(o, infos);
}

// LIST_META_CONTEXT and SET_META_CONTEXT with one query.
static inline void
put_meta_option(struct out *o, uint32_t option, struct bytes name, struct bytes query)
{
    put_option_header(o, option, (uint32_t)(12 + name.len + query.len));
    out_string(o, name);
    out_be32(o, 1);
    out_string(o, query);
}

static inline void
put_reply_header(struct out *o, uint32_t option, uint32_t reply, uint32_t len)
{
    out_be64(o, NBD_OPTION_REPLY_MAGIC);
    out_be32(o, option);
    out_be32(o, reply);
    out_be32(o, len);
}

static inline void
put_reply(struct out *o, uint32_t option, uint32_t reply, struct bytes data)
{
    put_reply_header(o, option, reply, (uint32_t)data.len);
    out_bytes(o, data);
}

#endif
