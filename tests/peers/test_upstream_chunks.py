# SPDX-License-Identifier: BSD-3-Clause
"""Upstreams whose structured replies break the protocol."""
import struct

import pytest

from nbdtest import wire
from nbdtest.rawclient import Closed
from nbdtest.rawserver import ModelUpstream

LENGTH = 4096


def data(r, offset=0, length=LENGTH, **kwargs):
    return wire.chunk(r.cookie, wire.OFFSET_DATA,
                      struct.pack(">Q", r.offset + offset) + b"d" * length, **kwargs)


def hole(r, offset, length, **kwargs):
    return wire.chunk(r.cookie, wire.OFFSET_HOLE, struct.pack(">QI", r.offset + offset, length),
                      **kwargs)


def none(r, payload=b"", **kwargs):
    return wire.chunk(r.cookie, wire.NONE, payload, **kwargs)


def error(r, payload, kind=wire.CHUNK_ERROR, **kwargs):
    return wire.chunk(r.cookie, kind, payload, **kwargs)


BAD = {
    "data_shorter_than_its_offset": lambda r: wire.chunk(r.cookie, wire.OFFSET_DATA, b"\0" * 7),
    "data_of_nothing": lambda r: data(r, length=0),
    "data_beyond_the_request": lambda r: data(r, length=LENGTH + 1),
    "data_before_the_request": lambda r: data(r, offset=-512, length=512),
    "data_far_away": lambda r: data(r, offset=1 << 40, length=512),
    "overlapping_data": lambda r: data(r, 0, 2048, flags=0) + data(r, 1024, 3072),
    "data_of_4_gib": lambda r: wire.chunk(r.cookie, wire.OFFSET_DATA, length=2**32 - 1),
    "hole_of_nothing": lambda r: hole(r, 0, 0),
    "hole_beyond_the_end": lambda r: hole(r, 0, LENGTH + 1),
    "hole_too_short": lambda r: wire.chunk(r.cookie, wire.OFFSET_HOLE, b"\0" * 11),
    "none_with_payload": lambda r: none(r, b"x"),
    "none_without_done": lambda r: none(r, flags=0),
    "done_without_the_data": none,
    "done_with_half_of_it": lambda r: data(r, length=LENGTH // 2),
    "chunk_after_done": lambda r: data(r) + data(r),
    "unknown_type": lambda r: wire.chunk(r.cookie, 0x7FFE, b"?"),
    "unknown_cookie": lambda r: wire.chunk(r.cookie ^ 1 << 33, wire.NONE),
    "error_too_short": lambda r: error(r, b"\0\0\0\5\0"),
    "error_text_longer_than_chunk": lambda r: error(r, struct.pack(">IH", 5, 100) + b"abc"),
    "error_offset_too_short": lambda r: error(r, struct.pack(">IH", 5, 0),
                                              wire.CHUNK_ERROR_OFFSET),
    "simple_success": lambda r: wire.simple_reply(r.cookie, 0, bytes(LENGTH)),
    "status_to_a_read": lambda r: wire.chunk(r.cookie, wire.STATUS, struct.pack(">III", 7, 512, 0)),
}


class Says(ModelUpstream):
    """Answers READ with prepared chunks."""
    answer = None

    def on_read(self, c, r):
        c.send(type(self).answer(r))
        c.wait_closed()


def saying(answer):
    return type("Saying", (Says,), {"answer": staticmethod(answer)})


@pytest.mark.parametrize("answer", BAD.values(), ids=BAD.keys())
def test_g142_bad_chunk(stage, answer):
    s = stage(saying(answer))
    with s.proxy.ends("upstream-breach"):
        c = s.client()
        c.start(structured=True)
        c.request(wire.READ, 8192, LENGTH)
        success = False
        try:
            failed, chunks = c.either()
            success = not failed
            sent = sum(len(x.payload) - 8 for x in chunks if x.kind == wire.OFFSET_DATA)
            # After chunk_after_done the first reply was a good one.
            assert not success or sent == LENGTH
        except Closed:
            pass
        c.drain()
    s.upstream.wait_no_connection()


GOOD = {
    "out_of_order": lambda r: data(r, 2048, 2048, flags=0) + data(r, 0, 2048),
    "hole_and_data": lambda r: hole(r, 0, 1024, flags=0) + data(r, 1024, 3072, flags=0)
                               + none(r),
    "one_hole": lambda r: hole(r, 0, LENGTH),
}


@pytest.mark.parametrize("answer", GOOD.values(), ids=GOOD.keys())
def test_f124_chunks_in_any_order(stage, answer):
    s = stage(saying(answer))
    c = s.client()
    c.start(structured=True)
    c.request(wire.READ, 8192, LENGTH)
    failed, chunks = c.either()
    assert failed == 0
    got = bytearray(b"?" * LENGTH)
    for x in chunks:
        if x.kind == wire.NONE:
            continue
        at = struct.unpack(">Q", x.payload[:8])[0] - 8192
        piece = x.payload[8:] if x.kind == wire.OFFSET_DATA else \
            bytes(struct.unpack(">I", x.payload[8:])[0])
        got[at:at + len(piece)] = piece
    assert b"?" not in got and got.count(0) + got.count(b"d") == LENGTH


ERRORS = {
    "f123_simple_error_to_a_structured_read": lambda r: wire.simple_reply(r.cookie, 5),
    "f125_error_after_data": lambda r: data(r, 0, 512, flags=0)
                                       + error(r, struct.pack(">IH", 5, 0)),
    "error_offset": lambda r: error(r, struct.pack(">IHQ", 5, 0, r.offset),
                                    wire.CHUNK_ERROR_OFFSET),
    "error_with_text": lambda r: error(r, struct.pack(">IH", 5, 3) + b"bad"),
    "error_of_zero": lambda r: error(r, struct.pack(">IH", 0, 0)),
    "unknown_error_type": lambda r: error(r, struct.pack(">IH", 5, 0), 0x8765),
    "error_then_done": lambda r: error(r, struct.pack(">IH", 5, 0), flags=0) + none(r),
}


@pytest.mark.parametrize("answer", ERRORS.values(), ids=ERRORS.keys())
def test_read_error_is_a_chunk_and_the_session_lives(stage, answer):
    class ErrorsAtZero(Says):
        def on_read(self, c, r):
            if r.offset:
                self.good(c, r)
            else:
                c.send(answer(r))

    s = stage(ErrorsAtZero)
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.start(structured=True)
        c.request(wire.READ, 0, LENGTH)
        failed, chunks = c.either()
        assert failed == wire.EIO and chunks, "a simple reply to READ"
        c.request(wire.READ, 4096, LENGTH)
        assert c.either()[0] == 0
        c.disconnect()


class Interleaves(ModelUpstream):
    """Answers two READs together, chunk by chunk."""
    first = None

    def on_read(self, c, r):
        if self.first is None:
            self.first = r
            return
        a, b = self.first, r
        for half in (0, 2048):
            done = wire.DONE if half else 0
            for x in (b, a):
                c.send(wire.chunk(x.cookie, wire.OFFSET_DATA, struct.pack(">Q", x.offset + half)
                                  + bytes([x.offset // 4096]) * 2048, flags=done))
        self.first = None


def test_f126_interleaved_chunks(stage):
    s = stage(Interleaves)
    c = s.client()
    c.start(structured=True)
    for n in (3, 5):
        c.request(wire.READ, n * 4096, LENGTH, cookie=n)
    got = {3: b"", 5: b""}
    done = set()
    while len(done) < 2:
        x = c.chunk()
        if x.kind == wire.OFFSET_DATA:
            got[x.cookie] += x.payload[8:]
        if x.flags & wire.DONE:
            done.add(x.cookie)
    assert got == {3: b"\3" * LENGTH, 5: b"\5" * LENGTH}
