# SPDX-License-Identifier: BSD-3-Clause
"""libnbd from Python against every kind of upstream: every command and flag it offers."""
import nbd
import pytest

from interop_helpers import stored
from nbdtest.data import connected, error_of, pattern

SIZE = 16 << 20
MIB = 1 << 20


@pytest.fixture(params=[True, False], ids=["structured", "simple"])
def handle(request, upstream, start_proxy):
    """Through the proxy, with and without structured replies."""
    proxy = start_proxy(upstream.uri)
    with connected(proxy.uri(upstream.export), structured=request.param,
                   contexts=["base:allocation"] if request.param else []) as h:
        yield h


@pytest.mark.smoke
def test_d74_write_read_flush(handle, upstream):
    data = pattern(3 * MIB, 5)
    handle.pwrite(data, 4096)
    assert bytes(handle.pread(len(data), 4096)) == data
    assert bytes(handle.pread(8192, 0))[:4096] == bytes(4096)
    if handle.can_flush():
        handle.flush()
    assert stored(upstream)[4096:4096 + len(data)] == data


def test_d74_unaligned_byte(handle, upstream):
    handle.pwrite(b"\xff", 12345)
    assert bytes(handle.pread(3, 12344)) == b"\0\xff\0"
    assert stored(upstream)[12344:12347] == b"\0\xff\0"


def test_d74_fua(handle, upstream):
    if not handle.can_fua():
        assert error_of(handle.pwrite, b"x" * 512, 0, nbd.CMD_FLAG_FUA)
        return
    handle.pwrite(b"f" * 512, 512, nbd.CMD_FLAG_FUA)
    assert stored(upstream)[512:1024] == b"f" * 512


def test_d74_zero_with_and_without_hole(handle, upstream):
    handle.pwrite(pattern(4 * MIB), 0)
    handle.zero(MIB, 0)
    handle.zero(MIB, 2 * MIB, nbd.CMD_FLAG_NO_HOLE)
    handle.zero(1000, 3 * MIB + 7)
    expected = bytearray(pattern(4 * MIB))
    expected[:MIB] = expected[2 * MIB:3 * MIB] = bytes(MIB)
    expected[3 * MIB + 7:3 * MIB + 1007] = bytes(1000)
    if handle.can_flush():
        handle.flush()
    assert stored(upstream)[:4 * MIB] == expected


def test_d74_trim_and_cache(handle):
    handle.pwrite(pattern(MIB), 0)
    if handle.can_trim():
        handle.trim(65536, 0)
        bytes(handle.pread(65536, 0))
    if handle.can_cache():
        handle.cache(65536, 0)
    assert bytes(handle.pread(MIB - 65536, 65536)) == pattern(MIB)[65536:]


def test_d80_df(handle):
    if handle.can_df():
        data = pattern(65536)
        handle.pwrite(data, 0)
        chunks = []
        handle.pread_structured(65536, 0, lambda buf, *_: chunks.append(len(buf)),
                                nbd.CMD_FLAG_DF)
        assert chunks == [65536]


def test_d88_block_status_equals_direct(handle, upstream):
    if not handle.can_meta_context("base:allocation"):
        return
    handle.pwrite(pattern(2 * MIB), 4 * MIB)
    handle.zero(MIB, 5 * MIB)
    handle.flush()

    def extents(h, flags=0):
        found = []
        at = 0
        while at < SIZE:
            piece = []
            h.block_status(SIZE - at, at, lambda name, offset, entries, err: piece.extend(entries),
                           flags)
            found += zip(piece[::2], piece[1::2])
            at = sum(length for length, _ in found)
        return found
    with connected(upstream.uri, contexts=["base:allocation"]) as direct:
        if not direct.can_meta_context("base:allocation"):
            return
        assert extents(handle) == extents(direct)
        assert extents(handle, nbd.CMD_FLAG_REQ_ONE) == extents(direct, nbd.CMD_FLAG_REQ_ONE)


def test_f122_random_io(handle, upstream):
    """Two hundred requests in flight at once, and a model to compare with."""
    import random
    rng = random.Random(42)
    model = bytearray(SIZE)
    slots = list(range(0, SIZE, 65536))
    rng.shuffle(slots)
    keep = []
    for at in slots[:200]:
        length = rng.randrange(1, 65536)
        offset = at + rng.randrange(0, 65536 - length + 1)
        data = rng.randbytes(length)
        model[offset:offset + length] = data
        buf = nbd.Buffer.from_bytearray(bytearray(data))
        keep.append(handle.aio_pwrite(buf, offset))
        while handle.aio_in_flight() > 60:
            handle.poll(-1)
    while handle.aio_in_flight():
        handle.poll(-1)
    for cookie in keep:
        assert handle.aio_command_completed(cookie)
    for at in slots[:200]:
        assert bytes(handle.pread(65536, at)) == model[at:at + 65536]
    if handle.can_flush():
        handle.flush()
    assert stored(upstream) == model


def test_d81_errors(handle):
    handle.set_strict_mode(0)
    assert error_of(handle.pread, 512, SIZE) == "EINVAL"
    assert error_of(handle.pwrite, b"x" * 512, SIZE) == "ENOSPC"
    assert error_of(handle.zero, 512, SIZE - 256) == "ENOSPC"
    assert bytes(handle.pread(512, 0)) == bytes(512)
