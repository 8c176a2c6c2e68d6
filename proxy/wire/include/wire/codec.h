// SPDX-License-Identifier: BSD-3-Clause
// Messages of the transmission phase, to and from bytes (spec: "Transmission phase"; "ext": the
// same on branch extension-ext-header). A connection speaks one of three formats for as long as it
// lives; each side of a session has its own.
#ifndef WIRE_CODEC_H
#define WIRE_CODEC_H

#include <base/bytes.h>
#include <wire/nbd.h>

// In the order in which each can say more than the one before.
enum wire_format {
    FORMAT_SIMPLE,     // compact requests, simple replies
    FORMAT_STRUCTURED, // compact requests, simple replies or chunks
    FORMAT_EXTENDED,   // extended requests, extended chunks (NBD_OPT_EXTENDED_HEADERS)
};

const char *wire_format_name(enum wire_format f); // "simple", "structured", "extended"; names.c

#define COMPACT_REQUEST_SIZE  28u
#define EXTENDED_REQUEST_SIZE 32u
#define REQUEST_SIZE_MAX      EXTENDED_REQUEST_SIZE
#define SIMPLE_REPLY_SIZE     16u
#define COMPACT_CHUNK_SIZE    20u
#define EXTENDED_CHUNK_SIZE   32u
#define CHUNK_SIZE_MAX        EXTENDED_CHUNK_SIZE

static inline uint32_t
request_size(enum wire_format f)
{
    return f == FORMAT_EXTENDED ? EXTENDED_REQUEST_SIZE : COMPACT_REQUEST_SIZE;
}

// Not for FORMAT_SIMPLE, which has no chunks.
static inline uint32_t
chunk_size(enum wire_format f)
{
    return f == FORMAT_EXTENDED ? EXTENDED_CHUNK_SIZE : COMPACT_CHUNK_SIZE;
}

// A request, whatever its format. PAYLOAD_LEN, which says how an extended header is to be read, is
// not among the flags of a WRITE: it becomes `payload`. Elsewhere it stays, for it is an error
// there.
struct request {
    uint16_t flags, type;
    uint64_t cookie, offset;
    uint64_t length;  // effect length; of a WRITE the payload's, too
    uint64_t payload; // bytes that follow the header: as many as `length`, or none
};

// False: the magic is wrong and the connection is beyond repair. `p` holds request_size(f) bytes.
static inline bool
request_decode(enum wire_format f, const uint8_t *p, struct request *r)
{
    bool extended = f == FORMAT_EXTENDED;
    if (get_be32(p) != (extended ? NBD_EXTENDED_REQUEST_MAGIC : NBD_REQUEST_MAGIC))
        return false;
    *r = (struct request){
        .flags = get_be16(p + 4),
        .type = get_be16(p + 6),
        .cookie = get_be64(p + 8),
        .offset = get_be64(p + 16),
        .length = extended ? get_be64(p + 24) : get_be32(p + 24),
    };
    // "The command NBD_CMD_WRITE MUST use the flag", but qemu's client, up to 10.0 at least, sends
    // the payload without it, and qemu's server takes it so.
    bool write = r->type == NBD_CMD_WRITE;
    if (write || (extended && (r->flags & NBD_CMD_FLAG_PAYLOAD_LEN)))
        r->payload = r->length;
    if (extended && write)
        r->flags &= (uint16_t)~NBD_CMD_FLAG_PAYLOAD_LEN;
    return true;
}

// Writes request_size(f) bytes. In the compact formats `length` must fit 32 bits.
static inline void
request_encode(enum wire_format f, uint8_t *p, const struct request *r)
{
    bool extended = f == FORMAT_EXTENDED;
    bool payload = extended && r->type == NBD_CMD_WRITE; // "the flag MUST be set for NBD_CMD_WRITE"
    put_be32(p, extended ? NBD_EXTENDED_REQUEST_MAGIC : NBD_REQUEST_MAGIC);
    put_be16(p + 4, payload ? r->flags | NBD_CMD_FLAG_PAYLOAD_LEN : r->flags);
    put_be16(p + 6, r->type);
    put_be64(p + 8, r->cookie);
    put_be64(p + 16, r->offset);
    if (extended)
        put_be64(p + 24, r->length);
    else
        put_be32(p + 24, (uint32_t)r->length);
}

// A reply header of any format. Of a simple reply `error` is set; of a chunk `flags`, `type` and
// `length`; of an extended chunk `offset`, too.
struct reply {
    bool chunk;
    uint16_t flags, type;
    uint32_t error;
    uint64_t cookie, offset;
    uint64_t length; // of the payload
};

// At the same place in all of them.
#define REPLY_COOKIE 8u

// How long the header is that begins with this magic on a connection of this format; 0: none may.
static inline uint32_t
reply_header_size(enum wire_format f, uint32_t magic)
{
    switch (magic) {
    case NBD_SIMPLE_REPLY_MAGIC: return f == FORMAT_EXTENDED ? 0 : SIMPLE_REPLY_SIZE;
    case NBD_STRUCTURED_REPLY_MAGIC: return f == FORMAT_STRUCTURED ? COMPACT_CHUNK_SIZE : 0;
    case NBD_EXTENDED_REPLY_MAGIC: return f == FORMAT_EXTENDED ? EXTENDED_CHUNK_SIZE : 0;
    }
    return 0;
}

// `p` holds a whole header whose magic reply_header_size() has accepted.
static inline struct reply
reply_decode(const uint8_t *p)
{
    uint32_t magic = get_be32(p);
    if (magic == NBD_SIMPLE_REPLY_MAGIC)
        return (struct reply){.error = get_be32(p + 4), .cookie = get_be64(p + 8)};
    bool extended = magic == NBD_EXTENDED_REPLY_MAGIC;
    return (struct reply){
        .chunk = true,
        .flags = get_be16(p + 4),
        .type = get_be16(p + 6),
        .cookie = get_be64(p + 8),
        .offset = extended ? get_be64(p + 16) : 0,
        .length = extended ? get_be64(p + 24) : get_be32(p + 16),
    };
}

static inline void
simple_reply_encode(uint8_t *p, uint64_t cookie, uint32_t error)
{
    put_be32(p, NBD_SIMPLE_REPLY_MAGIC);
    put_be32(p + 4, error);
    put_be64(p + 8, cookie);
}

// Writes chunk_size(f) bytes and returns that number. `offset` is the request's (ext: "MUST match
// the offset of the client's request").
static inline uint32_t
chunk_encode(enum wire_format f, uint8_t *p, uint16_t flags, uint16_t type, uint64_t cookie,
             uint64_t offset, uint32_t length)
{
    bool extended = f == FORMAT_EXTENDED;
    put_be32(p, extended ? NBD_EXTENDED_REPLY_MAGIC : NBD_STRUCTURED_REPLY_MAGIC);
    put_be16(p + 4, flags);
    put_be16(p + 6, type);
    put_be64(p + 8, cookie);
    if (extended) {
        put_be64(p + 16, offset);
        put_be64(p + 24, length);
        return EXTENDED_CHUNK_SIZE;
    }
    put_be32(p + 16, length);
    return COMPACT_CHUNK_SIZE;
}

// An error chunk without text; returns its size, ERROR_CHUNK_MAX at most.
#define ERROR_CHUNK_MAX (CHUNK_SIZE_MAX + 6u)
static inline uint32_t
error_chunk_encode(enum wire_format f, uint8_t *p, uint16_t flags, uint64_t cookie, uint64_t offset,
                   uint32_t error)
{
    uint32_t n = chunk_encode(f, p, flags, NBD_REPLY_TYPE_ERROR, cookie, offset, 6);
    put_be32(p + n, error);
    put_be16(p + n + 4, 0);
    return n + 6;
}

// Block status: what stands before the extents of a chunk, and each extent.
struct extent {
    uint64_t length, status;
};

static inline uint16_t
status_chunk_type(enum wire_format f)
{
    return f == FORMAT_EXTENDED ? NBD_REPLY_TYPE_BLOCK_STATUS_EXT : NBD_REPLY_TYPE_BLOCK_STATUS;
}

// The context id, and in the extended format the number of extents.
static inline uint32_t
status_head_size(enum wire_format f)
{
    return f == FORMAT_EXTENDED ? 8 : 4;
}

static inline uint32_t
extent_size(enum wire_format f)
{
    return f == FORMAT_EXTENDED ? 16 : 8;
}

static inline struct extent
extent_decode(enum wire_format f, const uint8_t *p)
{
    if (f == FORMAT_EXTENDED)
        return (struct extent){get_be64(p), get_be64(p + 8)};
    return (struct extent){get_be32(p), get_be32(p + 4)};
}

// A length above 32 bits is cut in the compact format, to a multiple of every minimum block size:
// the extent is then the last of its chunk, for no compact request is longer. A status above 32
// bits cannot be told; see extent_fits().
#define EXTENT_CUT UINT32_C(0xffff0000)
static inline void
extent_encode(enum wire_format f, uint8_t *p, const struct extent *e)
{
    if (f == FORMAT_EXTENDED) {
        put_be64(p, e->length);
        put_be64(p + 8, e->status);
    } else {
        put_be32(p, e->length > UINT32_MAX ? EXTENT_CUT : (uint32_t)e->length);
        put_be32(p + 4, (uint32_t)e->status);
    }
}

static inline bool
extent_fits(enum wire_format f, const struct extent *e)
{
    return f == FORMAT_EXTENDED || e->status <= UINT32_MAX;
}

#endif
