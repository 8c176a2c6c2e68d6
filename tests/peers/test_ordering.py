# SPDX-License-Identifier: BSD-3-Clause
"""FLUSH and FUA: what was acknowledged is upstream before them, and their errors arrive."""
import time

from nbdtest import wire
from nbdtest.rawserver import ModelUpstream


class SlowWrite(ModelUpstream):
    """A WRITE takes 50 ms."""

    def on_write(self, c, r):
        time.sleep(0.05)
        self.good(c, r)


def test_i155_flush_after_acknowledged_writes(stage):
    s = stage(SlowWrite)
    c = s.client()
    c.start()
    assert c.write(0, b"a" * 512) == 0
    assert c.call(wire.FLUSH) == 0
    assert [r.command for r in s.upstream.requests()] == [wire.WRITE, wire.FLUSH]


class FlushFailsOnce(ModelUpstream):
    """The first FLUSH fails."""

    def on_flush(self, c, r):
        self.done(c, r, wire.EIO if len(self.requests(wire.FLUSH)) == 1 else 0)


def test_i156_flush_error_is_delivered(stage):
    s = stage(FlushFailsOnce)
    c = s.client()
    c.start()
    assert c.call(wire.FLUSH) == wire.EIO
    assert c.call(wire.FLUSH) == 0
    assert len(s.upstream.requests(wire.FLUSH)) == 2


def test_i157_fua_is_forwarded(stage):
    s = stage()
    c = s.client()
    assert c.start().flags & wire.SEND_FUA
    assert c.write(0, b"f" * 512, wire.FUA) == 0
    assert s.upstream.requests(wire.WRITE)[0].flags & wire.FUA


def test_i159_multi_conn_is_upstreams(stage):
    s = stage(overrides={"flags": ModelUpstream.flags | wire.CAN_MULTI_CONN})
    assert s.client().start().flags & wire.CAN_MULTI_CONN


def test_i159_no_multi_conn(stage):
    s = stage()
    assert not s.client().start().flags & wire.CAN_MULTI_CONN


def test_i161_read_your_write_across_connections(stage):
    s = stage(SlowWrite)
    one, other = s.client(), s.client()
    one.start()
    other.start()
    for n in range(1, 6):
        assert one.write(0, bytes([n]) * 512) == 0
        assert other.read(0, 512) == bytes([n]) * 512
