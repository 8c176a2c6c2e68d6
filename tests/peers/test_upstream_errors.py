# SPDX-License-Identifier: BSD-3-Clause
"""Upstreams that fail requests, with errors that may or may not leave the proxy."""
import time

import pytest

from nbdtest import wire
from nbdtest.rawserver import ModelUpstream

COMMANDS = {"read": (wire.READ, 512), "write": (wire.WRITE, 512), "flush": (wire.FLUSH, 0),
            "trim": (wire.TRIM, 512), "cache": (wire.CACHE, 512),
            "write_zeroes": (wire.WRITE_ZEROES, 512), "block_status": (wire.BLOCK_STATUS, 512)}


class Fails(ModelUpstream):
    """Fails everything with `error` while it is not 0."""
    error = 0

    def serve(self, c, r):
        if self.error and r.command != wire.DISC:
            self.done(c, r, self.error)
        else:
            super().serve(c, r)


def passed_on(command, error):
    """What a client may see of an upstream's error."""
    if error in (wire.ENOTSUP, wire.EOVERFLOW):
        return {wire.EINVAL, wire.EIO, wire.EOVERFLOW} - (
            {wire.EOVERFLOW} if error == wire.ENOTSUP else set())
    if error in wire.WIRE_ERRORS:
        return {error}
    return {wire.EIO} if command in (wire.READ, wire.WRITE, wire.FLUSH) else {wire.EINVAL, wire.EIO}


@pytest.mark.parametrize("command, length", COMMANDS.values(), ids=COMMANDS.keys())
def test_f128_errors(stage, command, length):
    s = stage(Fails)
    c = s.client()
    c.start(structured=True, queries=["base:allocation"])
    for error in (1, 5, 12, 22, 28, 75, 95, 11, 110, 121, 0xFFFFFFFF):
        s.upstream.error = error
        c.request(command, 0, length, payload=b"w" * 512 if command == wire.WRITE else b"")
        got, chunks = c.either()
        if command == wire.WRITE_ZEROES and error == wire.ENOTSUP:
            assert got == wire.EIO, got  # zeroed by writing, which failed, too
        else:
            assert got in passed_on(command, error), f"{error} became {got}"
        if command == wire.READ:
            assert chunks, "a simple reply to a structured READ"
    s.upstream.error = 0
    c.request(wire.READ, 0, 512)
    assert c.either()[0] == 0


def test_g145_shutdown_then_close(stage):
    class ShutsDown(ModelUpstream):
        def on_read(self, c, r):
            self.done(c, r, wire.ESHUTDOWN)
            c.close()

    s = stage(ShutsDown)
    with s.proxy.ends("upstream-lost"):
        c = s.client()
        c.start()
        c.request(wire.READ, 0, 512)
        assert c.reply().error in (wire.ESHUTDOWN, wire.EIO)
        c.expect_close()


class NoZeroes(ModelUpstream):
    """Advertises WRITE_ZEROES and answers it with `error`."""
    error = wire.ENOTSUP

    def on_write_zeroes(self, c, r):
        self.done(c, r, self.error)


def test_e102_plain_zero_never_gets_enotsup(stage):
    s = stage(NoZeroes)
    s.upstream.disk[:] = b"\xaa" * s.upstream.size
    c = s.client()
    c.start()
    assert c.call(wire.WRITE_ZEROES, 4096, 8192) == 0
    assert s.upstream.disk[4096:12288] == bytes(8192)
    assert s.upstream.disk[:4096] == b"\xaa" * 4096
    assert s.upstream.disk[12288:12800] == b"\xaa" * 512


def test_e112_plain_einval_stays_einval(stage):
    s = stage(NoZeroes, {"error": wire.EINVAL})
    c = s.client()
    c.start()
    assert c.call(wire.WRITE_ZEROES, 4096, 8192) == wire.EINVAL


@pytest.mark.parametrize("error", [wire.EINVAL, wire.EOVERFLOW])
def test_e112_fast_zero_einval_becomes_enotsup(stage, error):
    s = stage(NoZeroes, {"error": error}, fast_zero="always")
    c = s.client()
    c.start()
    assert c.call(wire.WRITE_ZEROES, 4096, 8192, wire.FAST_ZERO) == wire.ENOTSUP


class FailsThird(ModelUpstream):
    """The third WRITE_ZEROES fails."""
    size = 64 << 20

    def on_write_zeroes(self, c, r):
        self.done(c, r, wire.EIO if len(self.requests(wire.WRITE_ZEROES)) == 3 else 0)


def test_e109_third_piece_of_64_fails(stage):
    s = stage(FailsThird, max_zero="1M", probe="off")
    c = s.client()
    c.start()
    assert c.call(wire.WRITE_ZEROES, 0, 64 << 20) == wire.EIO
    assert c.silent(0.2), "a second reply"
    # Pieces that were on their way may arrive: sixteen go side by side.
    assert 3 <= len(s.upstream.requests(wire.WRITE_ZEROES)) < 32
    assert c.read(0, 512) == bytes(512)


def test_e108_fua_of_a_split_zero(stage):
    s = stage(overrides={"size": 8 << 20}, max_zero="1M")
    c = s.client()
    c.start()
    assert c.call(wire.WRITE_ZEROES, 512 << 10, 3 << 20, wire.FUA) == 0
    zeroes = s.upstream.requests(wire.WRITE_ZEROES)
    # Cut at multiples of max-zero: half a piece, two whole ones, half a piece.
    assert sorted((r.offset >> 10, r.length >> 10) for r in zeroes) == [
        (512, 512), (1024, 1024), (2048, 1024), (3072, 512)]
    flushed = s.upstream.requests()[-1].command == wire.FLUSH
    assert flushed or all(r.flags & wire.FUA for r in zeroes)


class LateZero(ModelUpstream):
    """Takes its time for the second piece."""
    size = 4 << 20

    def on_write_zeroes(self, c, r):
        if r.offset == 1 << 20:
            time.sleep(0.3)
        self.good(c, r)


def test_e108_reply_comes_last(stage):
    s = stage(LateZero, max_zero="1M")
    s.upstream.disk[:] = b"\xaa" * s.upstream.size
    c = s.client()
    c.start()
    begin = time.monotonic()
    assert c.call(wire.WRITE_ZEROES, 0, 4 << 20) == 0
    assert time.monotonic() - begin > 0.3
    assert len(s.upstream.requests(wire.WRITE_ZEROES)) == 4
    assert s.upstream.disk == bytes(4 << 20)
