# SPDX-License-Identifier: BSD-3-Clause
"""Data that tells where it belongs, and clients of libnbd to move it."""
import contextlib
import errno
import random

import nbd

MIB = 1 << 20


def pattern(size, seed=1):
    """`size` bytes without a zero sector, the same for the same seed."""
    block = bytes(b or 0xA5 for b in random.Random(seed).randbytes(min(size, MIB)))
    return (block * (size // max(len(block), 1) + 1))[:size]


def file_bytes(path, offset=0, length=-1):
    with open(path, "rb") as f:
        f.seek(offset)
        return f.read(length)


def is_zero(data):
    return not any(memoryview(data).cast("B")) if len(data) < 4096 else data.count(0) == len(data)


@contextlib.contextmanager
def connected(uri, structured=True, contexts=(), strict=True):
    """A libnbd handle that shuts down well."""
    h = nbd.NBD()
    h.set_uri_allow_local_file(True)  # keys of nbds://
    h.set_request_structured_replies(structured)
    if not strict:
        h.set_strict_mode(0)
    for context in contexts:
        h.add_meta_context(context)
    h.connect_uri(uri)
    try:
        yield h
        h.shutdown()
    finally:
        del h


def error_of(call, *args):
    """The errno name that a libnbd call fails with, or None."""
    try:
        call(*args)
    except nbd.Error as e:
        return errno.errorcode.get(e.errnum, str(e.errnum)) if e.errnum else e.string
    return None


def fast_zero(h, length, offset, no_hole=False):
    """A FAST_ZERO request: True, or False where it was refused with ENOTSUP."""
    flags = nbd.CMD_FLAG_FAST_ZERO | (nbd.CMD_FLAG_NO_HOLE if no_hole else 0)
    error = error_of(h.zero, length, offset, flags)
    # Linux has one number for the two names.
    assert error in (None, "ENOTSUP", "EOPNOTSUPP"), f"fast zero: {error}"
    return error is None


def fill(uri, size, seed=1, piece=8 * MIB):
    """Writes pattern(size) through a server."""
    data = pattern(size, seed)
    with connected(uri) as h:
        for offset in range(0, size, piece):
            h.pwrite(data[offset:offset + piece], offset)
        if h.can_flush():
            h.flush()
    return data


def read_all(uri, size, piece=8 * MIB):
    with connected(uri) as h:
        return b"".join(bytes(h.pread(min(piece, size - offset), offset))
                        for offset in range(0, size, piece))
