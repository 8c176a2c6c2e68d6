# SPDX-License-Identifier: BSD-3-Clause
"""Upstreams without FUA: a FLUSH behind the write keeps its promise, where there is FLUSH."""
import threading
import time

import pytest

from nbdtest import wire
from nbdtest.formats import all_clients, pairs, kind_of
from nbdtest.rawserver import ModelUpstream

WITHOUT_FUA = ModelUpstream.flags & ~wire.SEND_FUA
WRITING = {"write": wire.WRITE, "write_zeroes": wire.WRITE_ZEROES, "trim": wire.TRIM}
writing = pytest.mark.parametrize("command", WRITING.values(), ids=WRITING.keys())


class NoFua(ModelUpstream):
    """FLUSH takes its time; whatever carries FUA is a failure of the test."""
    flags = WITHOUT_FUA
    flush_error = 0
    flush_takes = 0.2
    error = 0
    flushed = 0.0

    def serve(self, c, r):
        assert not r.flags & wire.FUA, r
        if self.error and r.command in WRITING.values():
            self.done(c, r, self.error)
        else:
            super().serve(c, r)

    def on_flush(self, c, r):
        time.sleep(self.flush_takes)
        self.flushed = time.monotonic()
        self.done(c, r, self.flush_error)


def commands(s):
    return [r.command for r in s.upstream.requests()]


def ask(c, command, offset=4096, flags=wire.FUA):
    return c.call(command, offset, 512, flags, b"f" * 512 if command == wire.WRITE else b"")


@writing
@all_clients
def test_i157_flush_comes_before_the_reply(stage, command, client):
    s = stage(NoFua)
    c = s.client()
    assert c.start(fmt=client).flags & wire.SEND_FUA
    assert ask(c, command) == 0
    assert time.monotonic() >= s.upstream.flushed > 0, "answered before the FLUSH"
    assert commands(s) == [command, wire.FLUSH]
    assert ask(c, command, flags=0) == 0
    assert commands(s) == [command, wire.FLUSH, command]


@pairs
def test_i157_in_every_pair(stage, client, upstream):
    s = stage(kind_of(upstream, NoFua, flush_takes=0.0))
    c = s.client()
    c.start(fmt=client)
    for command in WRITING.values():
        assert ask(c, command) == 0
    assert commands(s)[1::2] == [wire.FLUSH] * 3


@writing
@all_clients
@pytest.mark.parametrize("error", [wire.EIO, wire.ENOSPC])
def test_i157_flush_fails(stage, command, client, error):
    """The write was done, but its promise was not kept."""
    s = stage(NoFua, {"flush_error": error, "flush_takes": 0.0})
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.start(fmt=client)
        assert ask(c, command) == error
        assert ask(c, command, flags=0) == 0
        s.upstream.flush_error = 0
        assert ask(c, command) == 0
        c.disconnect()


@writing
def test_i157_write_fails(stage, command):
    """Its error is the answer; one answer."""
    s = stage(NoFua, {"error": wire.ENOSPC, "flush_takes": 0.0})
    c = s.client()
    c.start()
    assert ask(c, command) == wire.ENOSPC
    assert c.silent(0.2)
    assert c.read(0, 512) == bytes(512)


def test_i157_of_commands_that_write_nothing(stage):
    """Legal wherever FUA is offered (spec: "Command flags"); nothing needs to follow."""
    s = stage(NoFua)
    c = s.client()
    c.start(structured=True, queries=["base:allocation"])
    for command in (wire.READ, wire.CACHE, wire.BLOCK_STATUS):
        assert ask(c, command) == 0
    assert c.call(wire.FLUSH, flags=wire.FUA) == 0
    assert commands(s).count(wire.FLUSH) == 1


def test_i157_every_write_has_a_flush_behind_it(stage):
    """Many at once: no reply before a FLUSH that began after that write was acknowledged."""
    class Ordered(NoFua):
        """Acknowledges a WRITE late, and meanwhile serves what comes behind it."""

        def __init__(self, *args, **overrides):
            super().__init__(*args, **overrides)
            self.written = set()
            self.durable = set()  # written, and flushed since

        def on_write(self, c, r):
            def acknowledge():
                self.written.add(r.offset)
                self.done(c, r)
            threading.Timer(0.05, acknowledge).start()

        def on_flush(self, c, r):
            self.durable |= self.written
            self.done(c, r)

    s = stage(Ordered)
    c = s.client()
    c.start()
    for n in range(16):
        c.request(wire.WRITE, n * 512, 512, wire.FUA, b"x" * 512, cookie=n)
    for _ in range(16):
        reply = c.reply()
        assert reply.error == 0 and reply.cookie * 512 in s.upstream.durable, reply


def test_i157_long_zero(stage):
    s = stage(NoFua, {"size": 8 << 20, "flush_takes": 0.0}, max_zero="1M")
    c = s.client()
    c.start(fmt="extended")
    assert c.call(wire.WRITE_ZEROES, 0, 8 << 20, wire.FUA) == 0
    assert commands(s).count(wire.WRITE_ZEROES) == 8 and commands(s)[-1] == wire.FLUSH


def test_i157_neither_fua_nor_flush(stage):
    """Nothing would keep the promise: it is not made."""
    s = stage(NoFua, {"flags": WITHOUT_FUA & ~wire.SEND_FLUSH})
    c = s.client()
    assert not c.start().flags & (wire.SEND_FUA | wire.SEND_FLUSH)
    for command in WRITING.values():
        assert ask(c, command) == wire.EINVAL
    assert not s.upstream.requests()


def test_i157_upstream_gone_between_write_and_flush(stage):
    class Dies(NoFua):
        def on_flush(self, c, r):
            c.close()

    s = stage(Dies)
    with s.proxy.ends("upstream-lost"):
        c = s.client()
        c.start()
        c.request(wire.WRITE, 0, 512, wire.FUA, b"w" * 512)
        said = c.drain()
        assert said == b"" or said == wire.simple_reply(1, wire.EIO)


def test_i157_client_gone_between_write_and_flush(stage):
    s = stage(NoFua)
    with s.proxy.ends("client-eof"):
        c = s.client()
        c.start()
        c.request(wire.WRITE, 0, 512, wire.FUA, b"w" * 512)
        s.upstream.wait_requests(1, wire.FLUSH)
        c.close()
    s.upstream.wait_no_connection()


def test_d91_disc_waits_for_the_flush(stage):
    s = stage(NoFua)
    c = s.client()
    c.start()
    c.request(wire.WRITE, 0, 512, wire.FUA, b"w" * 512)
    c.request(wire.DISC)
    assert c.drain() in (b"", wire.simple_reply(1))
    s.upstream.wait_no_connection()
    assert commands(s) == [wire.WRITE, wire.FLUSH, wire.DISC]
