# SPDX-License-Identifier: BSD-3-Clause
"""Upstreams whose chunks break the protocol, structured and extended ones."""
import struct

import pytest

from nbdtest import wire
from nbdtest.formats import chunked_pairs, kind_of
from nbdtest.rawclient import Closed
from nbdtest.rawserver import ModelUpstream

LENGTH = 4096


def data(c, r, offset=0, length=LENGTH, offset_of_header=None, **kwargs):
    return c.chunk(r, wire.OFFSET_DATA, struct.pack(">Q", r.offset + offset) + b"d" * length,
                   offset=offset_of_header, **kwargs)


def hole(c, r, offset, length, **kwargs):
    return c.chunk(r, wire.OFFSET_HOLE, struct.pack(">QI", r.offset + offset, length), **kwargs)


def none(c, r, payload=b"", **kwargs):
    return c.chunk(r, wire.NONE, payload, **kwargs)


def error(c, r, payload, kind=wire.CHUNK_ERROR, **kwargs):
    return c.chunk(r, kind, payload, **kwargs)


BAD = {
    "data_shorter_than_its_offset": lambda c, r: c.chunk(r, wire.OFFSET_DATA, b"\0" * 7),
    "data_of_nothing": lambda c, r: data(c, r, length=0),
    "data_beyond_the_request": lambda c, r: data(c, r, length=LENGTH + 1),
    "data_before_the_request": lambda c, r: data(c, r, offset=-512, length=512),
    "data_far_away": lambda c, r: data(c, r, offset=1 << 40, length=512),
    "overlapping_data": lambda c, r: data(c, r, 0, 2048, flags=0) + data(c, r, 1024, 3072),
    "data_of_4_gib": lambda c, r: c.chunk(r, wire.OFFSET_DATA, length=2**32 - 1),
    "hole_of_nothing": lambda c, r: hole(c, r, 0, 0),
    "hole_beyond_the_end": lambda c, r: hole(c, r, 0, LENGTH + 1),
    "hole_too_short": lambda c, r: c.chunk(r, wire.OFFSET_HOLE, b"\0" * 11),
    "none_with_payload": lambda c, r: none(c, r, b"x"),
    "none_without_done": lambda c, r: none(c, r, flags=0),
    "done_without_the_data": none,
    "done_with_half_of_it": lambda c, r: data(c, r, length=LENGTH // 2),
    "chunk_after_done": lambda c, r: data(c, r) + data(c, r),
    "unknown_type": lambda c, r: c.chunk(r, 0x7FFE, b"?"),
    "unknown_cookie": lambda c, r: c.chunk(r, wire.NONE, cookie=r.cookie ^ 1 << 33),
    "error_too_short": lambda c, r: error(c, r, b"\0\0\0\5\0"),
    "error_text_longer_than_chunk": lambda c, r: error(c, r, struct.pack(">IH", 5, 100) + b"abc"),
    "error_offset_too_short": lambda c, r: error(c, r, struct.pack(">IH", 5, 0),
                                                 wire.CHUNK_ERROR_OFFSET),
    "error_offset_outside": lambda c, r: error(
        c, r, struct.pack(">IHQ", 5, 0, r.offset + LENGTH), wire.CHUNK_ERROR_OFFSET),
    "simple_success": lambda c, r: wire.simple_reply(r.cookie, 0, bytes(LENGTH)),
    "status_to_a_read": lambda c, r: c.chunk(r, wire.STATUS, struct.pack(">III", 7, 512, 0)),
}


EXTENDED = {
    "wrong_magic": lambda c, r: wire.extended_chunk(r.cookie, r.offset, wire.NONE, magic=1),
    "magic_of_a_request": lambda c, r: wire.extended_chunk(r.cookie, r.offset, wire.NONE,
                                                           magic=wire.EXTENDED_REQUEST),
    "compact_chunk": lambda c, r: wire.chunk(r.cookie, wire.OFFSET_DATA,
                                             struct.pack(">Q", r.offset) + bytes(LENGTH)),
    "simple_error": lambda c, r: wire.simple_reply(r.cookie, 5),
    "offset_of_the_data": lambda c, r: data(c, r, 0, 2048, flags=0) + data(
        c, r, 2048, 2048, offset_of_header=r.offset + 2048),
    "offset_zero": lambda c, r: data(c, r, offset_of_header=0),
    "offset_2_64": lambda c, r: none(c, r, offset=2**64 - 1),
    "length_2_32": lambda c, r: c.chunk(r, wire.OFFSET_DATA, struct.pack(">Q", r.offset)
                                        + bytes(LENGTH), length=2**32 + 8 + LENGTH),
    "length_2_63": lambda c, r: c.chunk(r, wire.OFFSET_DATA, length=2**63),
    "length_2_64": lambda c, r: c.chunk(r, wire.CHUNK_ERROR, length=2**64 - 1),
    "hole_of_16_bytes": lambda c, r: c.chunk(r, wire.OFFSET_HOLE, struct.pack(">QQ", r.offset,
                                                                              LENGTH)),
}


class Says(ModelUpstream):
    """Answers READ with prepared chunks."""
    answer = None

    def on_read(self, c, r):
        c.send(type(self).answer(c, r))
        c.wait_closed()


def saying(answer, upstream="structured"):
    return kind_of(upstream, Says, answer=staticmethod(answer))


def check_bad_chunk(s, client, flags=0):
    """The session ends by upstream's breach; what the client was told until then is no lie."""
    with s.proxy.ends("upstream-breach"):
        c = s.client()
        c.start(fmt=client)
        c.request(wire.READ, 8192, LENGTH, flags)
        try:
            if client == "simple":
                reply = c.reply(LENGTH)
                assert reply.error == wire.EIO or reply.payload == b"d" * LENGTH
            else:
                failed, chunks = c.either()
                sent = sum(len(x.payload) - 8 for x in chunks if x.kind == wire.OFFSET_DATA)
                # After chunk_after_done the first reply was a good one.
                assert failed == wire.EIO or (failed == 0 and sent == LENGTH)
        except Closed:
            pass
        c.drain()
    s.upstream.wait_no_connection()


@chunked_pairs
@pytest.mark.parametrize("answer", BAD.values(), ids=BAD.keys())
def test_g142_bad_chunk(stage, answer, client, upstream):
    check_bad_chunk(stage(saying(answer, upstream)), client)


@pytest.mark.parametrize("answer", BAD.values(), ids=BAD.keys())
def test_g142_bad_chunk_of_one_that_is_gathered(stage, answer):
    check_bad_chunk(stage(saying(answer)), "structured", wire.DF)


@pytest.mark.parametrize("client, upstream", [("simple", "only_extended"), ("extended", "extended"),
                                              ("structured", "only_extended")])
@pytest.mark.parametrize("answer", EXTENDED.values(), ids=EXTENDED.keys())
def test_g142_bad_extended_chunk(stage, answer, client, upstream):
    check_bad_chunk(stage(saying(answer, upstream)), client)


def test_g138_extended_chunk_on_a_structured_connection(stage):
    """The client's format is no excuse: upstream has not agreed to it."""
    s = stage(saying(lambda c, r: wire.extended_chunk(
        r.cookie, r.offset, wire.OFFSET_DATA, struct.pack(">Q", r.offset) + bytes(LENGTH))))
    check_bad_chunk(s, "extended")


GOOD = {
    "out_of_order": (lambda c, r: data(c, r, 2048, 2048, flags=0) + data(c, r, 0, 2048),
                     b"d" * LENGTH),
    "hole_and_data": (lambda c, r: hole(c, r, 0, 1024, flags=0) + data(c, r, 1024, 3072, flags=0)
                      + none(c, r), bytes(1024) + b"d" * 3072),
    "one_hole": (lambda c, r: hole(c, r, 0, LENGTH), bytes(LENGTH)),
    "byte_by_byte": (lambda c, r: b"".join(data(c, r, n, 1, flags=0) for n in range(LENGTH))
                     + none(c, r), b"d" * LENGTH),
}


@chunked_pairs
@pytest.mark.parametrize("answer, expected", GOOD.values(), ids=GOOD.keys())
def test_f124_chunks_in_any_order(stage, answer, expected, client, upstream):
    s = stage(saying(answer, upstream))
    c = s.client()
    c.start(fmt=client)
    assert c.read(8192, LENGTH) == expected


ERRORS = {
    "f125_error_after_data": lambda c, r: data(c, r, 0, 512, flags=0)
                                          + error(c, r, struct.pack(">IH", 5, 0)),
    "error_offset": lambda c, r: error(c, r, struct.pack(">IHQ", 5, 0, r.offset),
                                       wire.CHUNK_ERROR_OFFSET),
    "error_with_text": lambda c, r: error(c, r, struct.pack(">IH", 5, 3) + b"bad"),
    "error_of_zero": lambda c, r: error(c, r, struct.pack(">IH", 0, 0)),
    "unknown_error_type": lambda c, r: error(c, r, struct.pack(">IH", 5, 0), 0x8765),
    "error_then_done": lambda c, r: error(c, r, struct.pack(">IH", 5, 0), flags=0) + none(c, r),
}


class ErrorsAtZero(Says):
    """Fails what begins at 0."""

    def on_read(self, c, r):
        if r.offset:
            self.good(c, r)
        else:
            c.send(type(self).answer(c, r))


@chunked_pairs
@pytest.mark.parametrize("name", ERRORS)
def test_read_error_is_a_chunk_and_the_session_lives(stage, name, client, upstream):
    s = stage(kind_of(upstream, ErrorsAtZero, answer=staticmethod(ERRORS[name])))
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.start(fmt=client)
        c.request(wire.READ, 0, LENGTH)
        failed, chunks = c.either()
        assert failed == wire.EIO and (chunks or client == "simple"), "a simple reply to READ"
        assert c.read(4096, LENGTH) == bytes(LENGTH)
        c.disconnect()


@pytest.mark.parametrize("client", ["structured", "extended"])
@pytest.mark.parametrize("flags", [0, wire.DF], ids=["plain", "df"])
def test_f123_simple_error_to_a_structured_read(stage, client, flags):
    """nbd-server does it; clients are told in a chunk. A DF read is no exception."""
    s = stage(kind_of("structured", ErrorsAtZero,
                      answer=staticmethod(lambda c, r: wire.simple_reply(r.cookie, 5))))
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.start(fmt=client)
        c.request(wire.READ, 0, LENGTH, flags)
        (last,) = c.chunks()
        assert last.kind in (wire.CHUNK_ERROR, wire.CHUNK_ERROR_OFFSET)
        assert struct.unpack(">I", last.payload[:4])[0] == wire.EIO and last.flags & wire.DONE
        assert c.read(4096, LENGTH, flags) == bytes(LENGTH)
        c.disconnect()
