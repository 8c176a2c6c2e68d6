# SPDX-License-Identifier: BSD-3-Clause
"""Numbers and layouts of the NBD protocol, as the specification has them."""
import struct

NBDMAGIC = b"NBDMAGIC"
IHAVEOPT = b"IHAVEOPT"
OPTION_REPLY = 0x3E889045565A9
REQUEST = 0x25609513
SIMPLE = 0x67446698
STRUCTURED = 0x668E33EF
EXTENDED_REQUEST = 0x21E41C71
EXTENDED = 0x6E8A278C
OLDSTYLE = 0x00420281861253

# Options
EXPORT_NAME, ABORT, LIST, PEEK_EXPORT, STARTTLS, INFO, GO = range(1, 8)
STRUCTURED_REPLY, LIST_META, SET_META, EXTENDED_HEADERS = 8, 9, 10, 11

# Option replies
ACK, SERVER, REP_INFO, META_CONTEXT = 1, 2, 3, 4
ERROR_BIT = 1 << 31
(ERR_UNSUP, ERR_POLICY, ERR_INVALID, ERR_PLATFORM, ERR_TLS_REQD, ERR_UNKNOWN, ERR_SHUTDOWN,
 ERR_BLOCK_SIZE_REQD, ERR_TOO_BIG, ERR_EXT_HEADER_REQD) = [ERROR_BIT + n for n in range(1, 11)]

# Information
INFO_EXPORT, INFO_NAME, INFO_DESCRIPTION, INFO_BLOCK_SIZE = range(4)

# Commands, and their flags
READ, WRITE, DISC, FLUSH, TRIM, CACHE, WRITE_ZEROES, BLOCK_STATUS = range(8)
FUA, NO_HOLE, DF, REQ_ONE, FAST_ZERO, PAYLOAD_LEN = [1 << n for n in range(6)]

# Transmission flags
(HAS_FLAGS, READ_ONLY, SEND_FLUSH, SEND_FUA, ROTATIONAL, SEND_TRIM, SEND_WRITE_ZEROES, SEND_DF,
 CAN_MULTI_CONN, SEND_RESIZE, SEND_CACHE, SEND_FAST_ZERO, STATUS_PAYLOAD) = [1 << n for n in range(13)]

# Chunks
NONE, OFFSET_DATA, OFFSET_HOLE, STATUS, STATUS_EXT = 0, 1, 2, 5, 6
CHUNK_ERROR, CHUNK_ERROR_OFFSET = 0x8001, 0x8002
DONE = 1

EPERM, EIO, ENOMEM, EINVAL, ENOSPC, EOVERFLOW, ENOTSUP, ESHUTDOWN = 1, 5, 12, 22, 28, 75, 95, 108
WIRE_ERRORS = {0, EPERM, EIO, ENOMEM, EINVAL, ENOSPC, EOVERFLOW, ENOTSUP, ESHUTDOWN}

MIB = 1 << 20


def option(number, data=b"", length=None, magic=IHAVEOPT):
    return magic + struct.pack(">II", number, len(data) if length is None else length) + data


def string(text):
    """A length and that many bytes, as names and queries are sent."""
    data = text.encode() if isinstance(text, str) else text
    return struct.pack(">I", len(data)) + data


def info_data(name, infos=()):
    return string(name) + struct.pack(f">H{len(infos)}H", len(infos), *infos)


def meta_data(name, queries):
    return string(name) + struct.pack(">I", len(queries)) + b"".join(map(string, queries))


def request(command, offset=0, length=0, flags=0, cookie=1, payload=b"", magic=REQUEST):
    return struct.pack(">IHHQQI", magic, flags, command, cookie, offset, length) + payload


def extended_request(command, offset=0, length=0, flags=0, cookie=1, payload=b"",
                     magic=EXTENDED_REQUEST):
    """Flags are sent as they are given: PAYLOAD_LEN is up to the caller."""
    return struct.pack(">IHHQQQ", magic, flags, command, cookie, offset, length) + payload


def option_reply(number, kind, payload=b"", length=None, magic=OPTION_REPLY):
    return struct.pack(">QIII", magic, number, kind,
                       len(payload) if length is None else length) + payload


def simple_reply(cookie, error=0, payload=b"", magic=SIMPLE):
    return struct.pack(">IIQ", magic, error, cookie) + payload


def chunk(cookie, kind, payload=b"", flags=DONE, length=None):
    return struct.pack(">IHHQI", STRUCTURED, flags, kind, cookie,
                       len(payload) if length is None else length) + payload


def extended_chunk(cookie, offset, kind, payload=b"", flags=DONE, length=None, magic=EXTENDED):
    return struct.pack(">IHHQQQ", magic, flags, kind, cookie, offset,
                       len(payload) if length is None else length) + payload


def status_payload(extended, context, extents, count=None):
    """What a block status chunk carries: {length, status}, and in the extended one their number."""
    if not extended:
        return struct.pack(">I", context) + b"".join(struct.pack(">II", *e) for e in extents)
    return struct.pack(">II", context, len(extents) if count is None else count) + b"".join(
        struct.pack(">QQ", *e) for e in extents)


def status_extents(chunk):
    """(context, [(length, status), ...]) of a block status chunk of either kind."""
    head, size, code = (8, 16, "Q") if chunk.kind == STATUS_EXT else (4, 8, "I")
    context = struct.unpack_from(">I", chunk.payload)[0]
    rest = chunk.payload[head:]
    assert rest and len(rest) % size == 0, chunk
    numbers = struct.unpack(f">{len(rest) // size * 2}{code}", rest)
    if chunk.kind == STATUS_EXT:
        assert struct.unpack_from(">I", chunk.payload, 4)[0] == len(numbers) // 2, chunk
    return context, list(zip(numbers[::2], numbers[1::2]))
