# SPDX-License-Identifier: BSD-3-Clause
"""Upstreams whose simple replies break the protocol: the session ends, and is never padded."""
import struct
import time

import pytest

from nbdtest import wire
from nbdtest.formats import kind_of, pairs
from nbdtest.rawclient import Closed
from nbdtest.rawserver import ModelUpstream


class Says(ModelUpstream):
    """Answers every READ by calling `answer(c, r)`."""
    answer = None

    def on_read(self, c, r):
        type(self).answer(c, r)
        c.wait_closed()


def good(r, payload=True):
    return wire.simple_reply(r.cookie, 0, bytes(r.length) if payload else b"")


BAD = {
    "g138_wrong_magic": lambda c, r: c.send(wire.simple_reply(r.cookie, 0, bytes(512), magic=1)),
    "g138_structured_though_simple": lambda c, r: c.send(
        wire.chunk(r.cookie, wire.OFFSET_DATA, struct.pack(">Q", r.offset) + bytes(r.length))),
    "g139_unknown_cookie": lambda c, r: c.send(wire.simple_reply(r.cookie ^ 1 << 40, 0, bytes(512))),
    "g139_unknown_cookie_error": lambda c, r: c.send(wire.simple_reply(r.cookie ^ 1 << 40, 5)),
    "g139_cookie_of_nobody": lambda c, r: c.send(wire.simple_reply(0xDEADBEEF, 0, bytes(512))),
}


@pytest.mark.smoke
@pytest.mark.parametrize("answer", BAD.values(), ids=BAD.keys())
def test_bad_reply(stage, answer):
    kind = type("Bad", (Says,), {"answer": staticmethod(answer)})
    s = stage(kind)
    with s.proxy.ends("upstream-breach"):
        c = s.client()
        c.start()
        c.request(wire.READ, 0, 512)
        reply = c.drain()
        assert len(reply) in (0, 16), reply
        if reply:
            assert struct.unpack(">IIQ", reply)[1] == wire.EIO
    s.upstream.wait_no_connection()
    assert s.proxy.lines("warn")


class Twice(ModelUpstream):
    """Answers each FLUSH twice."""

    def on_flush(self, c, r):
        c.send(wire.simple_reply(r.cookie), wire.simple_reply(r.cookie))


def test_g139_same_cookie_twice(stage):
    s = stage(Twice)
    with s.proxy.ends("upstream-breach"):
        c = s.client()
        c.start()
        assert c.call(wire.FLUSH) == 0
        c.expect_close()


class PayloadOnWrite(ModelUpstream):
    """Sends a payload where there is none."""

    def on_write(self, c, r):
        c.send(wire.simple_reply(r.cookie, 0, b"payload!" * 4))


def test_g141_payload_on_write(stage):
    s = stage(PayloadOnWrite)
    with s.proxy.ends("upstream-breach"):
        c = s.client()
        c.start()
        assert c.write(0, b"w" * 512) == 0
        c.expect_close()


class Unasked(ModelUpstream):
    """Says something before it is asked."""
    words = b""

    def transmit(self, c):
        c.send(self.words)
        c.wait_closed()


@pytest.mark.parametrize("words", [b"\x5a" * 4096, wire.simple_reply(1), wire.simple_reply(0, 5)],
                         ids=["junk", "reply", "error"])
def test_g139_g146_reply_before_any_request(stage, words):
    s = stage(Unasked, {"words": words})
    with s.proxy.ends("upstream-breach"):
        c = s.client()
        c.start()
        c.expect_close()
    s.upstream.wait_no_connection()


class OthersCookie(ModelUpstream):
    """Answers the request of one connection on another."""

    def on_read(self, c, r):
        if r.offset == 0:
            self.remembered = r.cookie
            c.wait_closed()
        c.send(wire.simple_reply(self.remembered, 0, bytes(r.length)))
        c.wait_closed()

    remembered = 0


def test_g139_cookie_of_another_client(stage):
    s = stage(OthersCookie)
    one, other = s.client(), s.client()
    one.start()
    other.start()
    one.request(wire.READ, 0, 512)
    s.upstream.wait_requests(1, wire.READ)
    other.cookie = 50
    other.request(wire.READ, 4096, 512)
    # Slot and generation may well be the same on both: then it is a correct reply to `other`.
    try:
        assert other.reply(512).cookie == 51
    except Closed:
        pass
    assert one.silent(0.2)
    one.close()


class StopsInside(ModelUpstream):
    """Half a READ reply, and then `then(c)`."""
    then = None

    def on_read(self, c, r):
        c.send(wire.simple_reply(r.cookie) + b"h" * (r.length // 2))
        type(self).then(c)


ENDS = {
    "close": (lambda c: c.close(), "upstream-lost"),
    "stall": (lambda c: c.wait_closed(), "upstream-stalled"),
}


@pytest.mark.smoke
@pytest.mark.parametrize("then, ending", ENDS.values(), ids=ENDS.keys())
def test_g140_half_a_read(stage, then, ending):
    kind = type("Half", (StopsInside,), {"then": staticmethod(then)})
    s = stage(kind, io_timeout="700ms")
    with s.proxy.ends(ending):
        c = s.client()
        c.start()
        begin = time.monotonic()
        c.request(wire.READ, 0, 65536)
        got = c.drain()
        assert time.monotonic() - begin < 4
        # Nothing at all, an error, or a message that is visibly cut: never a whole success.
        if len(got) >= 16 and struct.unpack(">I", got[4:8])[0] == 0:
            assert 16 <= len(got) <= 16 + 32768
            assert set(got[16:]) <= {ord("h")}
    s.upstream.wait_no_connection()


class StopsInsideAChunk(ModelUpstream):
    """Half of a READ's data behind a header that promises all of it, and then `then(c)`."""
    then = None

    def on_read(self, c, r):
        half = b"h" * (r.length // 2)
        if c.chunked:
            c.send(c.chunk(r, wire.OFFSET_DATA, struct.pack(">Q", r.offset) + half,
                           length=8 + r.length))
        else:
            c.send(wire.simple_reply(r.cookie), half)
        type(self).then(c)


def collect(c, n):
    """n replies in whatever order: how many bytes of data came, and {cookie: error}."""
    sent, errors, done = 0, {}, 0
    while done < n:
        if c.format == "structured" and c.peek(4) == struct.pack(">I", wire.SIMPLE):
            reply = c.reply()
            errors[reply.cookie] = reply.error
            done += 1
            continue
        x = c.chunk()
        if x.kind & 0x8000:
            errors[x.cookie] = struct.unpack(">I", x.payload[:4])[0]
        elif x.kind == wire.OFFSET_DATA:
            sent += len(x.payload) - 8
        done += x.flags & wire.DONE
    return sent, errors


@pairs
@pytest.mark.parametrize("then, ending", ENDS.values(), ids=ENDS.keys())
def test_g140_half_a_chunk_in_every_pair(stage, client, upstream, then, ending):
    """A chunk that has begun is filled up, and an error follows (spec: NBD_CMD_READ); what was asked
    besides it fails, too. A simple reply that has begun cannot be saved."""
    s = stage(kind_of(upstream, StopsInsideAChunk, then=staticmethod(then)), io_timeout="700ms")
    with s.proxy.ends(ending):
        c = s.client()
        c.start(fmt=client)
        one = wire.extended_request if client == "extended" else wire.request
        c.send(one(wire.READ, 0, 65536, cookie=1) + one(wire.FLUSH, cookie=2))
        if client == "simple":
            said = c.drain()
            if upstream != "only_extended":
                assert said[:16] == wire.simple_reply(1) and set(said[16:]) <= {ord("h")}
                assert len(said) <= 16 + 32768
            else:
                assert wire.simple_reply(1, wire.EIO) in said and len(said) == 32
            return
        sent, errors = collect(c, 2)
        assert errors == {1: wire.EIO, 2: wire.EIO} and sent in (0, 65536)
        assert c.drain() == b""
    s.upstream.wait_no_connection()


class NeverAnswers(ModelUpstream):
    """Owes a reply."""

    def on_read(self, c, r):
        time.sleep(1.5)
        self.good(c, r)


def test_g140_a_reply_that_is_owed_has_no_deadline(stage):
    s = stage(NeverAnswers, io_timeout="500ms")
    c = s.client()
    c.start()
    assert c.read(0, 512) == bytes(512)


class FallsSilent(ModelUpstream):
    """Never answers READ again on this connection."""

    block_size = (4096, 4096, 1 << 20)

    def on_read(self, c, r):
        time.sleep(20)


def test_g140_but_not_while_others_wait_for_its_range(stage):
    """A repair reads what is around its bytes, and holds the block meanwhile."""
    s = stage(FallsSilent, io_timeout="700ms", block_size="repair")
    c, other = s.client(timeout=20), s.client(timeout=20)
    for one in (c, other):
        one.start()
    with s.proxy.ends("upstream-stalled"):
        c.request(wire.WRITE, 0, 512, payload=b"x" * 512)
        s.upstream.wait_requests(1, wire.READ)
        other.request(wire.WRITE, 0, 4096, payload=b"y" * 4096)
        assert c.reply().error == wire.EIO
    assert other.reply().error == 0 and s.upstream.disk[:4096] == b"y" * 4096


def test_g140_nor_when_its_client_has_gone(stage):
    s = stage(FallsSilent, io_timeout="700ms")
    c = s.client()
    c.start()
    with s.proxy.ends("upstream-stalled"):
        c.request(wire.READ, 0, 512)
        s.upstream.wait_requests(1, wire.READ)
        c.close()


class StopsReading(ModelUpstream):
    """Zero window: reads nothing after the handshake."""
    until = 0.0

    def transmit(self, c):
        while time.monotonic() < self.until or not self.until:
            time.sleep(0.05)
        super().transmit(c)


def test_g144_upstream_stops_reading(stage):
    s = stage(StopsReading, io_timeout="1s")
    before = s.proxy.process.rss()
    with s.proxy.ends("upstream-stalled"):
        c = s.client(timeout=1)
        c.start()
        try:
            for _ in range(300):
                c.request(wire.WRITE, 0, 1 << 20, payload=bytes(1 << 20))
            raise AssertionError("took 300 MiB")
        except (OSError, Closed):
            pass
        assert s.proxy.process.rss() - before < 96 << 20
    s.upstream.until = time.monotonic()
