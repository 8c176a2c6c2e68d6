// SPDX-License-Identifier: BSD-3-Clause
// Messages of the transmission phase, to and from bytes (spec: "Transmission phase").
#ifndef WIRE_CODEC_H
#define WIRE_CODEC_H

#include <base/bytes.h>
#include <wire/nbd.h>

#define REQUEST_SIZE      28u
#define SIMPLE_REPLY_SIZE 16u
#define CHUNK_SIZE        20u

struct request {
    uint16_t flags, type;
    uint64_t cookie, offset;
    uint32_t length;
};

// False: the magic is wrong and the connection is beyond repair.
static inline bool
request_decode(const uint8_t *p, struct request *r)
{
    if (get_be32(p) != NBD_REQUEST_MAGIC)
        return false;
    *r = (struct request){
        .flags = get_be16(p + 4),
        .type = get_be16(p + 6),
        .cookie = get_be64(p + 8),
        .offset = get_be64(p + 16),
        .length = get_be32(p + 24),
    };
    return true;
}

static inline void
request_encode(uint8_t *p, const struct request *r)
{
    put_be32(p, NBD_REQUEST_MAGIC);
    put_be16(p + 4, r->flags);
    put_be16(p + 6, r->type);
    put_be64(p + 8, r->cookie);
    put_be64(p + 16, r->offset);
    put_be32(p + 24, r->length);
}

// A reply header of either format. Of a simple reply `error` is set; of a chunk `flags`, `type`
// and `length`.
struct reply {
    bool chunk;
    uint16_t flags, type;
    uint32_t error, length;
    uint64_t cookie;
};

// Both at the same place, so that a header can be rewritten before it is decoded any further.
#define SIMPLE_REPLY_COOKIE 8u
#define CHUNK_COOKIE        8u

// How long the header is that begins with this magic, or 0 if it is none.
static inline uint32_t
reply_header_size(uint32_t magic)
{
    return magic == NBD_SIMPLE_REPLY_MAGIC       ? SIMPLE_REPLY_SIZE
           : magic == NBD_STRUCTURED_REPLY_MAGIC ? CHUNK_SIZE
                                                 : 0;
}

// `p` holds a whole header whose magic reply_header_size() has accepted.
static inline struct reply
reply_decode(const uint8_t *p)
{
    if (get_be32(p) == NBD_SIMPLE_REPLY_MAGIC)
        return (struct reply){.error = get_be32(p + 4), .cookie = get_be64(p + 8)};
    return (struct reply){
        .chunk = true,
        .flags = get_be16(p + 4),
        .type = get_be16(p + 6),
        .cookie = get_be64(p + 8),
        .length = get_be32(p + 16),
    };
}

static inline void
simple_reply_encode(uint8_t *p, uint64_t cookie, uint32_t error)
{
    put_be32(p, NBD_SIMPLE_REPLY_MAGIC);
    put_be32(p + 4, error);
    put_be64(p + 8, cookie);
}

static inline void
chunk_encode(uint8_t *p, uint16_t flags, uint16_t type, uint64_t cookie, uint32_t length)
{
    put_be32(p, NBD_STRUCTURED_REPLY_MAGIC);
    put_be16(p + 4, flags);
    put_be16(p + 6, type);
    put_be64(p + 8, cookie);
    put_be32(p + 16, length);
}

// A final error chunk without text: CHUNK_SIZE + 6 bytes.
#define ERROR_CHUNK_SIZE (CHUNK_SIZE + 6u)
static inline void
error_chunk_encode(uint8_t *p, uint64_t cookie, uint32_t error)
{
    chunk_encode(p, NBD_REPLY_FLAG_DONE, NBD_REPLY_TYPE_ERROR, cookie, 6);
    put_be32(p + CHUNK_SIZE, error);
    put_be16(p + CHUNK_SIZE + 4, 0);
}

#endif
